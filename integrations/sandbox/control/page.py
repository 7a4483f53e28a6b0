"""The page for people at /_sandbox/: what there is, and buttons to stir it in a demonstration."""

from __future__ import annotations

from html import escape

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from integrations.sandbox.control.reading import find_organization, find_person
from integrations.sandbox.faults.catalogue import KNOWN_FAULTS
from integrations.sandbox.page_parts import button_form, option, page, row, stylesheet
from integrations.sandbox.state import Sandbox
from integrations.sandbox.world.cast import DEMO_OWNER

_HOME = "/_sandbox/"
_TOKENS_SHOWN_MAX = 50


class ControlPage:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def routes(self) -> list[Route]:
        return [
            Route(_HOME, self.show, methods=["GET"]),
            Route("/_sandbox/sandbox.css", self.style, methods=["GET"]),
            Route("/_sandbox/page/join", self.join, methods=["POST"]),
            Route("/_sandbox/page/leave", self.leave, methods=["POST"]),
            Route("/_sandbox/page/faults", self.switch_on, methods=["POST"]),
            Route("/_sandbox/page/faults/remove", self.switch_off, methods=["POST"]),
            Route("/_sandbox/page/revoke", self.revoke, methods=["POST"]),
        ]

    async def style(self, request: Request) -> Response:
        return Response(stylesheet(), media_type="text/css")

    async def show(self, request: Request) -> Response:
        organizations = list(self._sandbox.world.organizations())
        churn_seconds = self._sandbox.options.churn_seconds
        return page(
            "control",
            notice=f"Somebody of tiny-team comes or goes every {churn_seconds:g} s."
            if churn_seconds
            else "",
            organizations=self._organization_rows(),
            organization_options="".join(option(one.login, one.login) for one in organizations),
            faults=self._fault_rows(),
            known_faults="".join(
                option(name, f"{name}: {known.description}") for name, known in KNOWN_FAULTS.items()
            ),
            people="".join(
                row(escape(person.login), str(person.id), escape(person.name or ""))
                for person in self._sandbox.people_who_can_sign_in()[:_TOKENS_SHOWN_MAX]
            ),
            tokens=self._token_rows(),
        )

    async def join(self, request: Request) -> Response:
        organization = find_organization(self._sandbox, await _field(request, "organization"))
        people = self._sandbox.world.people
        person = people.add(f"newcomer-{people.count()}", name="Nora Newcomer")
        organization.add(person.id)
        self._sandbox.events.member_added(organization, person)
        return _back()

    async def leave(self, request: Request) -> Response:
        organization = find_organization(self._sandbox, await _field(request, "organization"))
        owner = find_person(self._sandbox, DEMO_OWNER)
        newest = next((one for one in reversed(organization.member_ids) if one != owner.id), None)
        if newest is not None:
            self._sandbox.events.member_removed(organization, self._sandbox.world.people[newest])
            organization.remove(newest)
        return _back()

    async def switch_on(self, request: Request) -> Response:
        form = await request.form()
        times = str(form.get("times") or "")
        self._sandbox.faults.add(
            {
                "fault": str(form.get("fault")),
                "organization": str(form.get("organization")),
                "times": int(times) if times.isdecimal() else None,
            }
        )
        return _back()

    async def switch_off(self, request: Request) -> Response:
        wanted = await _field(request, "id")
        faults = self._sandbox.faults
        faults.remove([one for one in faults.matching() if str(one.id) == wanted])
        return _back()

    async def revoke(self, request: Request) -> Response:
        token = self._sandbox.tokens.get(await _field(request, "token"))
        if token is not None:
            self._sandbox.tokens.revoke(token)
        return _back()

    def _organization_rows(self) -> str:
        return "".join(
            row(
                escape(one.login),
                str(one.id),
                f"{len(one.member_ids):,}",
                str(len(one.owner_ids)),
                str(one.repository_count),
                button_form("/_sandbox/page/join", "Somebody joins", organization=one.login)
                + button_form("/_sandbox/page/leave", "Somebody leaves", organization=one.login),
            )
            for one in self._sandbox.world.organizations()
        )

    def _fault_rows(self) -> str:
        return "".join(
            row(
                escape(one.name),
                escape(one.organization or one.token or ""),
                "for ever" if one.times is None else str(one.times),
                str(one.happened_count),
                button_form("/_sandbox/page/faults/remove", "Switch off", id=str(one.id)),
            )
            for one in self._sandbox.faults.matching()
        ) or row("None is on", "", "", "", "")

    def _token_rows(self) -> str:
        people = self._sandbox.world.people
        return "".join(
            row(
                f"<code>{escape(one.text)}</code>",
                escape(people[one.person_id].login if one.person_id else "the App"),
                escape(", ".join(one.scopes) or "none"),
                button_form("/_sandbox/page/revoke", "Revoke", token=one.text),
            )
            for one in list(self._sandbox.tokens)[-_TOKENS_SHOWN_MAX:]
        )


async def _field(request: Request, name: str) -> str:
    return str((await request.form()).get(name) or "")


def _back() -> Response:
    return RedirectResponse(_HOME, status_code=303)
