"""REST endpoints that an App's tokens ask: which installations, and what one reaches.

https://docs.github.com/rest/apps/installations
"""

from __future__ import annotations

from starlette.responses import Response

from integrations.sandbox.api.answers import GitHubJSON, Refusal, no_content
from integrations.sandbox.api.calls import Call
from integrations.sandbox.apps import payloads
from integrations.sandbox.rest import shapes
from integrations.sandbox.rest.people import authenticated_person
from integrations.sandbox.state import Sandbox
from integrations.sandbox.world.repositories import repositories_of


def list_user_installations(sandbox: Sandbox, call: Call) -> Response:
    """List those that the person may reach: on themselves, and where they belong."""
    person = authenticated_person(call)
    if call.token is None or call.token.client_id != sandbox.app.client_id:
        raise Refusal(403, "You must authenticate with an access token authorized to a GitHub App")
    theirs = {person.id, *(one.id for one in sandbox.world.organizations_of(person.id))}
    # An outside collaborator of a repository reaches the installation that reaches it, too.
    theirs |= {one.id for one in sandbox.world.organizations() if person.id in one.guests}
    listed = [
        payloads.installation(one, app=sandbox.app, world=sandbox.world, origin=call.origin)
        for one in sandbox.installations
        if one.account_id in theirs
    ]
    return GitHubJSON({"total_count": len(listed), "installations": listed})


def list_repositories(sandbox: Sandbox, call: Call) -> Response:
    installed = call.viewer.installation
    organization = sandbox.world.organization_by_id(installed.account_id) if installed else None
    if installed is None or organization is None:
        raise Refusal(403, "Resource not accessible by integration")
    listed = [
        shapes.repository(one, viewer=call.viewer, origin=call.origin)
        for one in repositories_of(organization)
    ]
    return GitHubJSON(
        {
            "total_count": len(listed),
            "repository_selection": installed.repository_selection,
            "repositories": listed[:100],
        }
    )


def revoke_token(sandbox: Sandbox, call: Call) -> Response:
    if call.token is None or call.token.installation_id is None:
        raise Refusal(403, "Resource not accessible by integration")
    sandbox.tokens.revoke(call.token)
    return no_content()
