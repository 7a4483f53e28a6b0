"""The ways that connecting by OAuth can end, on GitHub's side or on the way back.

https://docs.github.com/apps/oauth-apps/maintaining-oauth-apps/troubleshooting-authorization-request-errors
"""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext_lazy as _

from integrations.mends import Mend, Reason

OAUTH_REASONS: Final = (
    Reason(
        "oauth_access_denied",
        _("You cancelled on GitHub, so nothing was connected."),
        Mend.RECONNECT,
    ),
    Reason(
        "oauth_application_suspended",
        _("GitHub has suspended this server's OAuth app. Its operator has to write to GitHub."),
        Mend.ASK_OWNER,
    ),
    Reason(
        "oauth_redirect_uri_mismatch",
        _(
            "This server's address is not the one registered with its OAuth app on GitHub. "
            "Its operator has to mend that."
        ),
        Mend.ASK_OWNER,
    ),
    Reason(
        "oauth_incorrect_client_credentials",
        _(
            "GitHub doesn't accept this server's OAuth app. Its operator has to check the "
            "client id and secret."
        ),
        Mend.ASK_OWNER,
    ),
    Reason(
        "oauth_bad_verification_code",
        _("GitHub's confirmation was used already or came too late. Connect again."),
        Mend.RECONNECT,
    ),
    Reason(
        "oauth_unverified_user_email",
        _(
            "Your e-mail address is not verified on GitHub yet. Verify it there, then "
            "connect again."
        ),
        Mend.RECONNECT,
    ),
    Reason(
        "oauth_state_invalid",
        _(
            "This answer from GitHub doesn't belong to a connection you just started here, "
            "so it was ignored. Connect again."
        ),
        Mend.RECONNECT,
    ),
    Reason(
        "oauth_failed",
        _("GitHub didn't complete the connection. Connect again."),
        Mend.RECONNECT,
    ),
)
