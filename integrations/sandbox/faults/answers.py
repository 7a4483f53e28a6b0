"""Faults that answer instead of the API, and the one that spoils an answer already made.

Faults that change a page of members are in `shapes.py`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from starlette.responses import HTMLResponse, Response

from integrations.sandbox.api.answers import (
    DroppedConnection,
    GitHubJSON,
    Refusal,
    graphql_refusal,
    not_found,
)
from integrations.sandbox.api.calls import Call
from integrations.sandbox.faults.registry import Fault

Answer = Callable[[Call, Fault], Response]

_LIMITS_PAGE = "https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api"
SECONDARY_LIMIT = (
    "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
)
_SAML = (
    "Resource protected by organization SAML enforcement. You must grant your personal access "
    "token access to this organization."
)
_UNICORN = "<!DOCTYPE html><html><head><title>Unicorn!</title></head><body>{}</body></html>"


def answer_instead(call: Call) -> Response | None:
    """Return what the first fault with an answer of its own says, if there is one."""
    for fault in call.faults:
        answer = INSTEAD.get(fault.name)
        if answer is not None:
            return answer(call, fault)
    return None


def spoil(call: Call, response: Response) -> Response:
    partial = call.fault("sso_partial_results")
    if partial is not None:
        organizations = partial.params["organizations"]
        response.headers["X-GitHub-SSO"] = f"partial-results; organizations={organizations}"
    if call.fault("repeated_entry") is not None:
        _replace_body(response, _with_first_twice(bytes(response.body)))
    if call.fault("truncated_json") is not None:
        _replace_body(response, bytes(response.body)[: len(response.body) // 2])
    return response


def _with_first_twice(body: bytes) -> bytes:
    listed = json.loads(body)
    is_list = isinstance(listed, list)
    return json.dumps([*listed, *listed[:1]]).encode() if is_list else body


def _replace_body(response: Response, body: bytes) -> None:
    response.body = body
    response.headers["Content-Length"] = str(len(body))


def _bad_credentials(call: Call, fault: Fault) -> Response:
    return Refusal(401, "Bad credentials").answer()


def _unauthorized(call: Call, fault: Fault) -> Response:
    return Refusal(401, "Requires authentication").answer()


def _sso_required(call: Call, fault: Fault) -> Response:
    path = f"/orgs/{call.organization}/sso?authorization_request=SANDBOX"
    headers = {"X-GitHub-SSO": f"required; url={fault.params['url'] or call.origin + path}"}
    return _forbidden(call, _SAML, headers=headers, extensions={"saml_failure": True})


def _integration_forbidden(call: Call, fault: Fault) -> Response:
    headers = {"X-Accepted-GitHub-Permissions": "members=read"}
    return _forbidden(call, "Resource not accessible by integration", headers=headers)


def _oauth_app_restricted(call: Call, fault: Fault) -> Response:
    message = (
        f"Although you appear to have the correct authorization credentials, the "
        f"`{call.organization}` organization has enabled OAuth App access restrictions, meaning "
        "that data access to third-parties is limited. For more information on these "
        "restrictions, including how to enable this app, visit "
        "https://docs.github.com/articles/restricting-access-to-your-organization-s-data/"
    )
    return _forbidden(call, message)


def _forbidden(
    call: Call,
    message: str,
    *,
    headers: dict[str, str] | None = None,
    extensions: dict[str, bool] | None = None,
) -> Response:
    if call.kind == "rest":
        return Refusal(403, message, headers=headers).answer()
    body = graphql_refusal(
        "FORBIDDEN",
        message,
        path=["organization"],
        extensions=extensions or {"saml_failure": False},
    )
    return GitHubJSON(body, headers=headers)


def _not_found(call: Call, fault: Fault) -> Response:
    if call.kind == "rest":
        return not_found().answer()
    message = f"Could not resolve to an Organization with the login of '{call.organization}'."
    return GitHubJSON(graphql_refusal("NOT_FOUND", message, path=["organization"]))


def _primary_limit(status: int) -> Answer:
    def answer(call: Call, fault: Fault) -> Response:
        return Refusal(
            status,
            _limit_message(call),
            headers=_used_up(fault.params["seconds"]),
            documentation_url=_LIMITS_PAGE,
        ).answer()

    return answer


def _secondary_limit(call: Call, fault: Fault) -> Response:
    return Refusal(
        fault.params["status"],
        SECONDARY_LIMIT,
        headers=_retry_after(fault),
        documentation_url=f"{_LIMITS_PAGE}#about-secondary-rate-limits",
    ).answer()


def _graphql_rate_limited(call: Call, fault: Fault) -> Response:
    body = graphql_refusal(fault.params["error_type"], _limit_message(call))
    return GitHubJSON(body, headers=_used_up(fault.params["seconds"]))


def _graphql_secondary(call: Call, fault: Fault) -> Response:
    if fault.params["status"] != 200:
        return _secondary_limit(call, fault)
    return GitHubJSON(graphql_refusal(None, SECONDARY_LIMIT), headers=_retry_after(fault))


def _server_error(call: Call, fault: Fault) -> Response:
    status = fault.params["status"]
    # GitHub sends the end of the hour with every answer; as a time to wait it is wrong here.
    headers = {"X-RateLimit-Reset": str(int(time.time()) + 3_600)}
    if fault.params["body"] == "json":
        return GitHubJSON({"message": "Server Error"}, status_code=status, headers=headers)
    return HTMLResponse(_UNICORN.format(status), status_code=status, headers=headers)


def _too_big(call: Call, fault: Fault) -> Response:
    return HTMLResponse(_UNICORN.format("We couldn't respond in time"), status_code=502)


def _garbage(call: Call, fault: Fault) -> Response:
    return HTMLResponse(_UNICORN.format("<h1>Welcome to the hotel's network</h1>"))


def _dropped(call: Call, fault: Fault) -> Response:
    return DroppedConnection()


def _something_went_wrong(call: Call, fault: Fault) -> Response:
    message = (
        "Something went wrong while executing your query. This may be the result of a timeout, or "
        f"it could be a GitHub bug. Please include `{call.request_id}` when reporting this issue."
    )
    return GitHubJSON(graphql_refusal(None, message))


def _organization_null(call: Call, fault: Fault) -> Response:
    return GitHubJSON({"data": {"organization": None}})


def _limit_message(call: Call) -> str:
    person = call.viewer.person
    whom = f"user ID {person.id}" if person else "your address"
    return f"API rate limit exceeded for {whom}. If you reach out, include {call.request_id}."


def _used_up(seconds: float) -> dict[str, str]:
    return {
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": str(int(time.time() + seconds)),
    }


def _retry_after(fault: Fault) -> dict[str, str]:
    seconds = fault.params["retry_after"]
    return {} if seconds is None else {"Retry-After": str(seconds)}


INSTEAD: dict[str, Answer] = {
    "bad_credentials": _bad_credentials,
    "unauthorized_sporadic": _unauthorized,
    "sso_required": _sso_required,
    "integration_forbidden": _integration_forbidden,
    "oauth_app_restricted": _oauth_app_restricted,
    "not_found": _not_found,
    "primary_rate_limit": _primary_limit(403),
    "primary_rate_limit_429": _primary_limit(429),
    "secondary_rate_limit": _secondary_limit,
    "graphql_rate_limited": _graphql_rate_limited,
    "graphql_secondary": _graphql_secondary,
    "server_error": _server_error,
    "too_big_502": _too_big,
    "garbage": _garbage,
    "drop_connection": _dropped,
    "something_went_wrong": _something_went_wrong,
    "organization_null": _organization_null,
}
