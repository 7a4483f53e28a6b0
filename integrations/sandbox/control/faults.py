"""Control API: faults, tokens, codes, latency, and the log of what was asked."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from integrations.sandbox.api.scopes import parse_scopes
from integrations.sandbox.control.reading import find_person, read_json, required, whole_number
from integrations.sandbox.faults.catalogue import KNOWN_FAULTS
from integrations.sandbox.faults.registry import FaultError
from integrations.sandbox.state import Sandbox

_EXPIRES_IN_MAX_S = 365 * 24 * 3600


class Controls:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def routes(self) -> list[Route]:
        return [
            Route("/_sandbox/faults/known", self.list_known_faults, methods=["GET"]),
            Route("/_sandbox/faults", self.list_faults, methods=["GET"]),
            Route("/_sandbox/faults", self.add_fault, methods=["POST"]),
            Route("/_sandbox/faults", self.remove_faults, methods=["DELETE"]),
            Route("/_sandbox/tokens", self.add_token, methods=["POST"]),
            Route("/_sandbox/tokens/{token}", self.revoke_token, methods=["DELETE"]),
            Route("/_sandbox/codes", self.add_code, methods=["POST"]),
            Route("/_sandbox/latency", self.set_latency, methods=["POST"]),
            Route("/_sandbox/requests", self.list_requests, methods=["GET"]),
            Route("/_sandbox/requests", self.forget_requests, methods=["DELETE"]),
        ]

    async def list_known_faults(self, request: Request) -> Response:
        return JSONResponse(
            {
                name: {"description": known.description, "kind": known.kind, "params": known.params}
                for name, known in KNOWN_FAULTS.items()
            }
        )

    async def list_faults(self, request: Request) -> Response:
        found = self._sandbox.faults.matching(**_filters(request))
        return JSONResponse([fault.as_json() for fault in found])

    async def add_fault(self, request: Request) -> Response:
        try:
            fault = self._sandbox.faults.add(await read_json(request))
        except FaultError as error:
            raise HTTPException(422, str(error)) from error
        return JSONResponse(fault.as_json(), status_code=201)

    async def remove_faults(self, request: Request) -> Response:
        faults = self._sandbox.faults
        return JSONResponse({"removed": faults.remove(faults.matching(**_filters(request)))})

    async def add_token(self, request: Request) -> Response:
        """Make a personal access token; with `expires_in` seconds a pair, as GitHub Apps get."""
        facts = await read_json(request)
        person = find_person(self._sandbox, required(facts, "login"))
        scopes, tokens = facts.get("scopes") or (), self._sandbox.tokens
        if "expires_in" in facts:
            seconds = whole_number(facts, "expires_in", least=0, most=_EXPIRES_IN_MAX_S)
            token = tokens.add_pair(
                person.id,
                scopes=scopes,
                client_id=self._sandbox.options.client_id,
                expires_in_s=seconds,
            )
        else:
            token = tokens.add_personal(person.id, scopes=scopes, text=facts.get("token"))
        made = {"token": token.text, "login": person.login, "scopes": list(token.scopes)}
        if token.refresh_text:
            made["refresh_token"] = token.refresh_text
        return JSONResponse(made, status_code=201)

    async def revoke_token(self, request: Request) -> Response:
        token = self._sandbox.tokens.get(request.path_params["token"])
        if token is None:
            raise HTTPException(404, "No such token")
        self._sandbox.tokens.revoke(token)
        return Response(status_code=204)

    async def add_code(self, request: Request) -> Response:
        """Make an authorization code as if somebody had consented, `age_seconds` ago."""
        facts = await read_json(request)
        person = find_person(self._sandbox, required(facts, "login"))
        code = self._sandbox.codes.add(
            person.id,
            scopes=tuple(parse_scopes(facts.get("scope", ""))),
            client_id=self._sandbox.options.client_id,
            redirect_uri=required(facts, "redirect_uri"),
            challenge=facts.get("code_challenge"),
            age_s=facts.get("age_seconds", 0),
        )
        return JSONResponse({"code": code.text}, status_code=201)

    async def set_latency(self, request: Request) -> Response:
        facts = await read_json(request)
        organization = required(facts, "organization").lower()
        latency_ms = facts.get("ms", 0)
        if not isinstance(latency_ms, int | float) or latency_ms < 0:
            raise HTTPException(422, "ms is a number of milliseconds")
        self._sandbox.latency_ms[organization] = latency_ms
        return JSONResponse({"organization": organization, "ms": latency_ms})

    async def list_requests(self, request: Request) -> Response:
        return JSONResponse(self._sandbox.calls.report(**_filters(request)))

    async def forget_requests(self, request: Request) -> Response:
        self._sandbox.calls.forget(**_filters(request))
        return Response(status_code=204)


def _filters(request: Request) -> dict[str, str | None]:
    organization = request.query_params.get("organization")
    return {
        "organization": organization.lower() if organization else None,
        "token": request.query_params.get("token"),
    }
