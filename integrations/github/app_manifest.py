"""Make a GitHub App of a manifest: what we ask for, where to send a person, and what comes back.

https://docs.github.com/apps/sharing-github-apps/registering-a-github-app-from-a-manifest
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlencode, urlsplit

from integrations.github.addresses import segment
from integrations.github.app import NewApp, read_new_app
from integrations.github.errors import NotFound
from integrations.github.http import API_HEADERS
from integrations.github.reading import JSONObject, parse_json
from integrations.github.refusals import refusal_of
from integrations.github.transport import send

# GitHub's limit on the name of an App.
NAME_LENGTH: Final = 34


def manifest(
    *,
    name: str,
    site_url: str,
    redirect_url: str,
    permissions: Mapping[str, str],
    events: Iterable[str],
    with_webhooks: bool,
) -> JSONObject:
    """Describe the App of a Rollcall at `site_url`; GitHub comes back to `redirect_url`."""
    site = site_url.rstrip("/")
    return {
        "name": name[:NAME_LENGTH],
        "url": site,
        "description": "Keeps a team's roster true to its GitHub organisation. Reads only.",
        "hook_attributes": {"url": f"{site}/webhooks/github/", "active": with_webhooks},
        "redirect_url": redirect_url,
        "callback_urls": [f"{site}/github/callback/"],
        "setup_url": f"{site}/github/setup/",
        # Nothing on its installation page is for Rollcall to hear of but installing itself.
        "setup_on_update": False,
        "request_oauth_on_install": False,
        # Whoever may sign in to this Rollcall may install it on their own organisation.
        "public": True,
        "default_permissions": dict(permissions),
        "default_events": list(events),
    }


def address(github_url: str, *, state: str, organization: str = "") -> str:
    """Return where a manifest is posted: for the person's own account, or an organisation's."""
    owner = f"/organizations/{segment(organization)}" if organization else ""
    return f"{github_url.rstrip('/')}{owner}/settings/apps/new?{urlencode({'state': state})}"


def convert(*, api_url: str, code: str) -> NewApp:
    """Exchange the code that GitHub came back with, once, for the App and its secrets.

    Raises GitHubError; NotFound for a code that was used or is over an hour old.
    """
    url = f"{api_url.rstrip('/')}/app-manifests/{segment(code)}/conversions"
    raw = send("POST", url, headers=API_HEADERS)
    if raw.status == 404:
        raise NotFound("the code was used already, or is too old", status=404)
    if raw.status != 201:
        raise refusal_of(raw)
    return read_new_app(parse_json(raw.content))


def is_reachable(url: str) -> bool:
    """Say whether GitHub can reach an address from outside, as far as the address itself tells."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or "." not in host.strip("."):
        return False
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return True
