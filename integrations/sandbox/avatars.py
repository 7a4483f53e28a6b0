"""A small picture for everybody: their initials on a colour of their own."""

from __future__ import annotations

from html import escape

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from integrations.sandbox.state import Sandbox
from integrations.sandbox.world.chance import mix

_PICTURE = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64" width="64" height="64">'
    '<rect width="64" height="64" fill="hsl({hue} 45% 38%)"/>'
    '<text x="32" y="33" fill="#fff" font-family="system-ui, sans-serif" font-size="26" '
    'text-anchor="middle" dominant-baseline="central">{initials}</text></svg>'
)


class Avatars:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def routes(self) -> list[Route]:
        return [Route("/avatars/{number:int}.svg", self.show, methods=["GET"])]

    async def show(self, request: Request) -> Response:
        number: int = request.path_params["number"]
        person = self._sandbox.world.people.get(number)
        organization = self._sandbox.world.organization_by_id(number)
        words = (person and (person.name or person.login)) or (organization and organization.login)
        picture = _PICTURE.format(hue=mix(number) % 360, initials=escape(initials(words or "?")))
        headers = {"Cache-Control": "public, max-age=86400"}
        return Response(picture, media_type="image/svg+xml", headers=headers)


def initials(words: str) -> str:
    """Return the first letters of the first and last word; only letters, so never markup."""
    letters = [next((one for one in word if one.isalnum()), "") for word in words.split()]
    found = [letter for letter in letters if letter]
    return "".join(dict.fromkeys([*found[:1], *found[-1:]])).upper() or "?"
