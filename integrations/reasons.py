"""The words for everything that can go wrong: code, sentence for a person, and what mends it.

Rows store the code and the sentence; templates offer the mend. It knows no model and no GitHub.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.db.models import TextChoices


class Mend(TextChoices):
    """What a person can press to mend a failure; the value names the button's partial."""

    RETRY = "retry", "Try again"
    RECONNECT = "reconnect", "Reconnect GitHub"
    CHOOSE_ORGANISATION = "choose_organisation", "Choose the organisation again"
    AUTHORISE_SAML = "authorise_saml", "Authorise on GitHub"
    ASK_OWNER = "ask_owner", "Ask an owner"
    WAIT = "wait", "Wait"


@dataclass(frozen=True)
class Reason:
    """One way to fail. The sentence says what happened and what still holds."""

    code: str
    sentence: str
    mend: Mend


KEPT: Final = "Your roster is as it was."

REASONS: Final[dict[str, Reason]] = {
    reason.code: reason
    for reason in (
        Reason(
            "bad_credentials",
            f"GitHub no longer accepts the connection: it was revoked or has expired. {KEPT}",
            Mend.RECONNECT,
        ),
        Reason(
            "credential_unreadable",
            f"The stored connection can't be read with this server's key. {KEPT}",
            Mend.RECONNECT,
        ),
        Reason("not_connected", f"GitHub is not connected. {KEPT}", Mend.RECONNECT),
        Reason("disconnected", f"GitHub was disconnected during the sync. {KEPT}", Mend.RECONNECT),
        Reason(
            "missing_scopes",
            f"The connection was not granted the right to read members (read:org). {KEPT}",
            Mend.RECONNECT,
        ),
        Reason(
            "saml_required",
            f"Your organisation asks for single sign-on (SAML) before it shows its members. {KEPT}",
            Mend.AUTHORISE_SAML,
        ),
        Reason(
            "permission_missing",
            f"The connection lacks a permission that an owner has to accept on GitHub. {KEPT}",
            Mend.ASK_OWNER,
        ),
        Reason(
            "oauth_app_restricted",
            f"The organisation doesn't allow this app to read it. An owner can approve it. {KEPT}",
            Mend.ASK_OWNER,
        ),
        Reason(
            "forbidden",
            f"GitHub doesn't allow this connection to read that. {KEPT}",
            Mend.ASK_OWNER,
        ),
        Reason(
            "not_found",
            f"GitHub says that it isn't there, or that this connection may not see it. {KEPT}",
            Mend.CHOOSE_ORGANISATION,
        ),
        Reason(
            "not_a_member",
            "The person who connected GitHub is not an active member of the organisation any "
            f"more, so GitHub would show public members only. {KEPT}",
            Mend.RECONNECT,
        ),
        Reason(
            "organisation_changed",
            "The organisation's name belongs to a different organisation now. Nothing was read. "
            f"{KEPT}",
            Mend.CHOOSE_ORGANISATION,
        ),
        Reason(
            "app_uninstalled",
            f"The GitHub App was uninstalled from the organisation. {KEPT}",
            Mend.RECONNECT,
        ),
        Reason(
            "app_suspended",
            "The GitHub App's installation is suspended; an owner of the organisation can lift "
            f"that on GitHub. {KEPT}",
            Mend.ASK_OWNER,
        ),
        Reason(
            "app_permission_missing",
            "The GitHub App may not read the organisation's members; an owner has to accept that "
            f"permission on GitHub. {KEPT}",
            Mend.ASK_OWNER,
        ),
        Reason(
            "app_refused",
            "GitHub doesn't accept this server's GitHub App. Its operator has to check the App's "
            f"id and private key. {KEPT}",
            Mend.ASK_OWNER,
        ),
        Reason(
            "app_clock_wrong",
            "GitHub refused this server's sign-in because its clock is wrong. Its operator has to "
            f"set it. {KEPT}",
            Mend.ASK_OWNER,
        ),
        Reason(
            "app_not_configured",
            f"This server has no GitHub App set up any more. {KEPT}",
            Mend.RECONNECT,
        ),
        Reason(
            "app_not_yours",
            "That installation is on no organisation that you own, so nothing was connected. "
            "Install the App from here, signed in to GitHub as an owner.",
            Mend.RECONNECT,
        ),
        Reason(
            "app_no_organisation",
            "The App is installed on no organisation that you own. Install it, or ask an owner to.",
            Mend.RECONNECT,
        ),
        Reason(
            "app_state_invalid",
            "This answer from GitHub doesn't belong to an installation you just started here, so "
            "nothing was connected. Open your team and connect the App from there.",
            Mend.RECONNECT,
        ),
        Reason(
            "organisation_deleted",
            "The organisation was deleted on GitHub. Your roster is as it was before.",
            Mend.CHOOSE_ORGANISATION,
        ),
        Reason(
            "rate_limited",
            "GitHub kept asking us to wait, so we stopped. People already read are in.",
            Mend.RETRY,
        ),
        Reason(
            "github_unavailable",
            "GitHub didn't answer properly, several times in a row. People already read are in.",
            Mend.RETRY,
        ),
        Reason(
            "page_too_large",
            "GitHub couldn't deliver even a small page of members. People already read are in.",
            Mend.RETRY,
        ),
        Reason(
            "unexpected_answer",
            "GitHub's answer made no sense to us. People already read are in.",
            Mend.RETRY,
        ),
        Reason(
            "list_stuck",
            "GitHub's list of members didn't move on to its next page. People already read are in.",
            Mend.RETRY,
        ),
        Reason("invalid_request", "GitHub refused the question as invalid.", Mend.RETRY),
        Reason("gone", f"GitHub says that it is gone for good. {KEPT}", Mend.CHOOSE_ORGANISATION),
        Reason(
            "queue_unreachable",
            "The job queue can't be reached right now, so the sync was not started. "
            "Try again in a moment.",
            Mend.RETRY,
        ),
        Reason(
            "gave_up",
            "The sync was interrupted several times without getting further, so we stopped. "
            "People already read are in.",
            Mend.RETRY,
        ),
        Reason(
            "cancelled",
            "Cancelled by hand. People already read are in; nobody was removed.",
            Mend.RETRY,
        ),
        Reason(
            "preview_stale",
            "The roster or the list on GitHub moved since this preview, so it was not applied.",
            Mend.RETRY,
        ),
        # Not failures, but why a run waited; its timeline says so.
        Reason("token_refreshed", "The connection's token had expired; it was renewed.", Mend.WAIT),
        Reason("preview_incomplete", "This preview didn't get to its end.", Mend.RETRY),
        Reason("preview_applied", "This preview was applied already.", Mend.RETRY),
        Reason("preview_expired", "This preview is too old. Make a new one.", Mend.RETRY),
        Reason("sync_running", "A sync is under way. Wait for its end.", Mend.WAIT),
        Reason(
            "internal_error",
            "Something failed on our side; it has been written down. People already read are in.",
            Mend.RETRY,
        ),
        # The ways that connecting can end on GitHub's side or on the way back:
        # https://docs.github.com/apps/oauth-apps/maintaining-oauth-apps/troubleshooting-authorization-request-errors
        Reason(
            "oauth_access_denied",
            "You cancelled on GitHub, so nothing was connected.",
            Mend.RECONNECT,
        ),
        Reason(
            "oauth_application_suspended",
            "GitHub has suspended this server's OAuth app. Its operator has to write to GitHub.",
            Mend.ASK_OWNER,
        ),
        Reason(
            "oauth_redirect_uri_mismatch",
            "This server's address is not the one registered with its OAuth app on GitHub. "
            "Its operator has to mend that.",
            Mend.ASK_OWNER,
        ),
        Reason(
            "oauth_incorrect_client_credentials",
            "GitHub doesn't accept this server's OAuth app. Its operator has to check the client "
            "id and secret.",
            Mend.ASK_OWNER,
        ),
        Reason(
            "oauth_bad_verification_code",
            "GitHub's confirmation was used already or came too late. Connect again.",
            Mend.RECONNECT,
        ),
        Reason(
            "oauth_unverified_user_email",
            "Your e-mail address is not verified on GitHub yet. Verify it there, then connect "
            "again.",
            Mend.RECONNECT,
        ),
        Reason(
            "oauth_state_invalid",
            "This answer from GitHub doesn't belong to a connection you just started here, so it "
            "was ignored. Connect again.",
            Mend.RECONNECT,
        ),
        Reason(
            "oauth_failed", "GitHub didn't complete the connection. Connect again.", Mend.RECONNECT
        ),
    )
}

UNKNOWN: Final = REASONS["internal_error"]


def reason_for(code: str) -> Reason:
    """Return the words for a code; an unknown code (an older row) gets the general ones."""
    return REASONS.get(code, UNKNOWN)


def oauth_reason_for(code: str) -> Reason:
    """Return the words for an `error` that GitHub's OAuth pages answer with."""
    return REASONS.get(f"oauth_{code}", REASONS["oauth_failed"])
