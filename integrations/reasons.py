"""The words for everything that can go wrong: code, sentence for a person, and what mends it.

Rows store the code and the sentence; templates offer the mend. It knows no model and no GitHub.
"""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext_lazy as _

from integrations.mends import Mend, Reason
from integrations.oauth_reasons import OAUTH_REASONS

REASONS: Final[dict[str, Reason]] = {
    reason.code: reason
    for reason in (
        Reason(
            "bad_credentials",
            _("GitHub no longer accepts the connection: it was revoked or has expired."),
            Mend.RECONNECT,
            keeps=True,
        ),
        Reason(
            "credential_unreadable",
            _("The stored connection can't be read with this server's key."),
            Mend.RECONNECT,
            keeps=True,
        ),
        Reason("not_connected", _("GitHub is not connected."), Mend.RECONNECT, keeps=True),
        Reason(
            "disconnected",
            _("GitHub was disconnected during the sync."),
            Mend.RECONNECT,
            keeps=True,
        ),
        Reason(
            "missing_scopes",
            _("The connection was not granted the right to read members (read:org)."),
            Mend.RECONNECT,
            keeps=True,
        ),
        Reason(
            "saml_required",
            _("Your organisation asks for single sign-on (SAML) before it shows its members."),
            Mend.AUTHORISE_SAML,
            keeps=True,
        ),
        Reason(
            "permission_missing",
            _("The connection lacks a permission that an owner has to accept on GitHub."),
            Mend.ASK_OWNER,
            keeps=True,
        ),
        Reason(
            "oauth_app_restricted",
            _("The organisation doesn't allow this app to read it. An owner can approve it."),
            Mend.ASK_OWNER,
            keeps=True,
        ),
        Reason(
            "forbidden",
            _("GitHub doesn't allow this connection to read that."),
            Mend.ASK_OWNER,
            keeps=True,
        ),
        Reason(
            "not_found",
            _("GitHub says that it isn't there, or that this connection may not see it."),
            Mend.CHOOSE_ORGANISATION,
            keeps=True,
        ),
        Reason(
            "not_a_member",
            _(
                "The person who connected GitHub is not an active member of the organisation "
                "any more, so GitHub would show public members only."
            ),
            Mend.RECONNECT,
            keeps=True,
        ),
        Reason(
            "organisation_changed",
            _("The organisation's name belongs to a different organisation now. Nothing was read."),
            Mend.CHOOSE_ORGANISATION,
            keeps=True,
        ),
        Reason(
            "app_uninstalled",
            _("The GitHub App was uninstalled from the organisation."),
            Mend.RECONNECT,
            keeps=True,
        ),
        Reason(
            "app_suspended",
            _(
                "The GitHub App's installation is suspended; an owner of the organisation can "
                "lift that on GitHub."
            ),
            Mend.ASK_OWNER,
            keeps=True,
        ),
        Reason(
            "app_permission_missing",
            _(
                "The GitHub App may not read the organisation's members; an owner has to accept "
                "that permission on GitHub."
            ),
            Mend.ASK_OWNER,
            keeps=True,
        ),
        Reason(
            "app_refused",
            _(
                "GitHub doesn't accept this server's GitHub App. Its operator has to check the "
                "App's id and private key."
            ),
            Mend.ASK_OWNER,
            keeps=True,
        ),
        Reason(
            "app_clock_wrong",
            _(
                "GitHub refused this server's sign-in because its clock is wrong. Its operator "
                "has to set it."
            ),
            Mend.ASK_OWNER,
            keeps=True,
        ),
        Reason(
            "app_not_configured",
            _("This server has no GitHub App set up any more."),
            Mend.RECONNECT,
            keeps=True,
        ),
        Reason(
            "app_not_yours",
            _(
                "That installation is on no organisation that you own, so nothing was "
                "connected. Install the App from here, signed in to GitHub as an owner."
            ),
            Mend.RECONNECT,
        ),
        Reason(
            "app_no_organisation",
            _(
                "The App is installed on no organisation that you own. Install it, or ask an "
                "owner to."
            ),
            Mend.RECONNECT,
        ),
        Reason(
            "app_state_invalid",
            _(
                "This answer from GitHub doesn't belong to an installation you just started "
                "here, so nothing was connected. Open your team and connect the App from there."
            ),
            Mend.RECONNECT,
        ),
        Reason(
            "organisation_deleted",
            _("The organisation was deleted on GitHub. Your roster is as it was before."),
            Mend.CHOOSE_ORGANISATION,
        ),
        Reason(
            "rate_limited",
            _("GitHub kept asking us to wait, so we stopped. People already read are in."),
            Mend.RETRY,
        ),
        Reason(
            "github_unavailable",
            _("GitHub didn't answer properly, several times in a row. People already read are in."),
            Mend.RETRY,
        ),
        Reason(
            "page_too_large",
            _("GitHub couldn't deliver even a small page of members. People already read are in."),
            Mend.RETRY,
        ),
        Reason(
            "unexpected_answer",
            _("GitHub's answer made no sense to us. People already read are in."),
            Mend.RETRY,
        ),
        Reason(
            "list_stuck",
            _(
                "GitHub's list of members didn't move on to its next page. People already read "
                "are in."
            ),
            Mend.RETRY,
        ),
        Reason("invalid_request", _("GitHub refused the question as invalid."), Mend.RETRY),
        Reason(
            "gone", _("GitHub says that it is gone for good."), Mend.CHOOSE_ORGANISATION, keeps=True
        ),
        Reason(
            "queue_unreachable",
            _(
                "The job queue can't be reached right now, so the sync was not started. Try "
                "again in a moment."
            ),
            Mend.RETRY,
        ),
        Reason(
            "gave_up",
            _(
                "The sync was interrupted several times without getting further, so we stopped. "
                "People already read are in."
            ),
            Mend.RETRY,
        ),
        Reason(
            "cancelled",
            _("Cancelled by hand. People already read are in; nobody was removed."),
            Mend.RETRY,
        ),
        Reason(
            "preview_stale",
            _("The roster or the list on GitHub moved since this preview, so it was not applied."),
            Mend.RETRY,
        ),
        # Not failures, but why a run waited; its timeline says so.
        Reason(
            "token_refreshed", _("The connection's token had expired; it was renewed."), Mend.WAIT
        ),
        Reason("preview_incomplete", _("This preview didn't get to its end."), Mend.RETRY),
        Reason("preview_applied", _("This preview was applied already."), Mend.RETRY),
        Reason("preview_expired", _("This preview is too old. Make a new one."), Mend.RETRY),
        Reason("sync_running", _("A sync is under way. Wait for its end."), Mend.WAIT),
        Reason(
            "internal_error",
            _(
                "Something failed on our side; it has been written down. People already read "
                "are in."
            ),
            Mend.RETRY,
        ),
        *OAUTH_REASONS,
    )
}

UNKNOWN: Final = REASONS["internal_error"]


def reason_for(code: str) -> Reason:
    """Return the words for a code; an unknown code (an older row) gets the general ones."""
    return REASONS.get(code, UNKNOWN)


def oauth_reason_for(code: str) -> Reason:
    """Return the words for an `error` that GitHub's OAuth pages answer with."""
    return REASONS.get(f"oauth_{code}", REASONS["oauth_failed"])
