"""The addresses of the API, REST and GraphQL, each sent through the gateway."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from integrations.sandbox.api.answers import Refusal, not_found
from integrations.sandbox.api.calls import Call
from integrations.sandbox.api.gateway import Gateway
from integrations.sandbox.graph.documents import prepare
from integrations.sandbox.graph.endpoint import answer_query
from integrations.sandbox.rest import installations, organizations, people, repositories, teams
from integrations.sandbox.state import Sandbox
from integrations.sandbox.world.repositories import REPOSITORIES_MAX

Endpoint = Callable[[Sandbox, Call], Response]

REST_ROOT = "/api/v3"
GRAPHQL_PATH = "/api/graphql"


def _nothing_here(sandbox: Sandbox, call: Call) -> Response:
    raise not_found()


REST_ENDPOINTS: tuple[tuple[str, Endpoint], ...] = (
    ("/rate_limit", people.show_rate_limit),
    ("/user", people.show_authenticated_user),
    ("/user/orgs", people.list_own_organizations),
    ("/user/installations", installations.list_user_installations),
    ("/installation/repositories", installations.list_repositories),
    ("/user/memberships/orgs", people.list_own_memberships),
    ("/user/memberships/orgs/{organization}", people.show_own_membership),
    ("/user/{user_id:int}", people.show_user_by_id),
    ("/users/{login}", people.show_user),
    ("/orgs/{organization}", organizations.show_organization),
    ("/orgs/{organization}/members", organizations.list_members),
    ("/orgs/{organization}/members/{username}", organizations.check_member),
    ("/orgs/{organization}/memberships/{username}", organizations.show_membership),
    ("/orgs/{organization}/public_members", organizations.list_public_members),
    ("/orgs/{organization}/public_members/{username}", organizations.check_public_member),
    ("/orgs/{organization}/repos", repositories.list_repositories),
    ("/orgs/{organization}/invitations", teams.list_invitations),
    ("/orgs/{organization}/outside_collaborators", teams.list_outside_collaborators),
    ("/orgs/{organization}/teams", teams.list_teams),
    ("/orgs/{organization}/teams/{team_slug}/members", teams.list_team_members),
    ("/organizations/{organization_id:int}/invitations", teams.list_invitations),
    (
        "/organizations/{organization_id:int}/outside_collaborators",
        teams.list_outside_collaborators,
    ),
    ("/organizations/{organization_id:int}/teams", teams.list_teams),
    (
        "/organizations/{organization_id:int}/team/{team_id:int}/members",
        teams.list_members_of_team_by_id,
    ),
    ("/organizations/{organization_id:int}", organizations.show_organization),
    ("/organizations/{organization_id:int}/members", organizations.list_members),
    ("/organizations/{organization_id:int}/public_members", organizations.list_public_members),
    ("/organizations/{organization_id:int}/repos", repositories.list_repositories),
    ("/repos/{owner}/{repository}", repositories.show_repository),
    ("/repos/{owner}/{repository}/collaborators", repositories.list_collaborators),
    ("/repositories/{repository_id:int}", repositories.show_repository),
    ("/repositories/{repository_id:int}/collaborators", repositories.list_collaborators),
    ("/{anything:path}", _nothing_here),
)

# "This endpoint does not count against your REST API rate limit."
# https://docs.github.com/rest/rate-limit/rate-limit
FREE_ENDPOINTS = frozenset({people.show_rate_limit})


def api_routes(sandbox: Sandbox) -> list[Route]:
    gateway = Gateway(sandbox)
    rest = [
        Route(f"{REST_ROOT}{path}", _rest(sandbox, gateway, endpoint), methods=["GET"])
        for path, endpoint in REST_ENDPOINTS
    ]
    revoke = _rest(sandbox, gateway, installations.revoke_token)
    rest.insert(0, Route(f"{REST_ROOT}/installation/token", revoke, methods=["DELETE"]))
    return [*rest, Route(GRAPHQL_PATH, _graphql(sandbox, gateway), methods=["POST"])]


def _rest(sandbox: Sandbox, gateway: Gateway, endpoint: Endpoint) -> Callable[[Request], Any]:
    async def serve(request: Request) -> Response:
        call = Call(
            request,
            "rest",
            organization=_organization_of(sandbox, request),
            points=0 if endpoint in FREE_ENDPOINTS else 1,
        )
        return await gateway.answer(call, lambda: endpoint(sandbox, call))

    return serve


def _organization_of(sandbox: Sandbox, request: Request) -> str | None:
    """Return the login, in lower case, of the organisation that the address is about."""
    params = request.path_params
    named = params.get("organization") or params.get("owner")
    if named is not None:
        return str(named).lower()
    organization_id = params.get("organization_id")
    if "repository_id" in params:
        organization_id = params["repository_id"] // REPOSITORIES_MAX
    found = sandbox.world.organization_by_id(organization_id) if organization_id else None
    return None if found is None else found.login.lower()


def _graphql(sandbox: Sandbox, gateway: Gateway) -> Callable[[Request], Any]:
    async def serve(request: Request) -> Response:
        try:
            question = _question(await request.body())
        except Refusal as refusal:
            return await gateway.answer(Call(request, "graphql"), refusal.answer)
        prepared = prepare(question["query"])
        variables = question.get("variables") or {}
        call = Call(
            request,
            "graphql",
            organization=prepared.organization(variables),
            page_size=prepared.page_size(variables),
            operation=prepared.operation_name,
        )

        def endpoint() -> Response:
            operation = question.get("operationName")
            return answer_query(
                sandbox.world, call, prepared=prepared, variables=variables, operation=operation
            )

        return await gateway.answer(call, endpoint)

    return serve


def _question(body: bytes) -> dict[str, Any]:
    try:
        question: Any = json.loads(body)
    except ValueError as error:
        raise Refusal(400, "Problems parsing JSON") from error
    if not isinstance(question, dict) or not isinstance(question.get("query"), str):
        raise Refusal(400, "A query attribute must be specified and must be a string.")
    if not isinstance(question.get("variables") or {}, dict):
        raise Refusal(400, "Variables must be an object.")
    return question
