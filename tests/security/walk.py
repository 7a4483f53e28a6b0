"""Every address of the product, with an example for each of its parts, and who may know of it.

The addresses come from Django's resolver, so that a new one is walked without anybody thinking of
it; one with a part that has no example here fails every walk.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import redis
from asgiref.sync import iscoroutinefunction
from django.apps import apps
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db.models import CharField, Value
from django.db.models.functions import Cast, Concat
from django.urls import URLPattern, URLResolver, get_resolver

from integrations.constants import ConnectionKind, TeamRole
from integrations.github.webhooks import Payload
from integrations.models import (
    GitHubIntegration,
    IntegrationCredential,
    Team,
    TeamInvitation,
    TeamMember,
    TrackedRepository,
    WebhookDelivery,
)
from integrations.services.webhooks import intake
from tests.browser.everything import fill

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.models import Model

    from integrations.github.reading import JSONObject
    from integrations.models import User

# In every name of acme's: where it shows, somebody learned of acme.
MARK: Final = "PLANTED7"
SLUG: Final = "acme-planted7"


@dataclass(frozen=True)
class Address:
    """One pattern of the resolver: its name, its route, and the names of its parts."""

    name: str
    route: str
    parts: tuple[str, ...]
    template: str = field(repr=False)
    is_async: bool

    @property
    def is_of_a_team(self) -> bool:
        return self.route.startswith("t/")

    @property
    def is_of_operators(self) -> bool:
        return self.route.startswith("ops/") or self.name == "metrics"

    @property
    def is_of_the_admin(self) -> bool:
        return self.route.startswith("admin/")

    def path(self, examples: dict[str, Any]) -> str:
        """Fill in the parts. Raises KeyError for a part without an example."""
        return "/" + self.template % {part: examples[part] for part in self.parts}


def addresses() -> list[Address]:
    """Return every address there is."""
    return list(_walk(get_resolver(), ""))


def _walk(resolver: URLResolver, before: str) -> Iterator[Address]:
    for one in resolver.url_patterns:
        route = before + str(one.pattern)
        if isinstance(one, URLPattern):
            is_async = iscoroutinefunction(one.callback)
            yield Address(one.name or route, route, *_parts(one, before), is_async)
        else:
            yield from _walk(one, route)


def _parts(one: URLPattern, before: str) -> tuple[tuple[str, ...], str]:
    """Return the parts of an address, and what becomes the path by `%`."""
    root = get_resolver()
    if one.name:
        namespace = "admin:" if before.startswith("admin/") else ""
        found = _possibilities(root, one.name, namespace)
        for template, parts in found:
            if _begins_alike(template, before):
                return tuple(parts), template
    template = (before + str(one.pattern)).replace("<path:object_id>", "%(object_id)s")
    template = template.replace("(?P<url>.*)$", "%(url)s")
    assert "<" not in template, f"an address without a name: {template}"
    names = tuple(part for part in ("object_id", "url") if f"%({part})s" in template)
    return names, template


def _possibilities(root: URLResolver, name: str, namespace: str) -> list[tuple[str, list[str]]]:
    if namespace:
        prefix, root = root.namespace_dict["admin"]
    else:
        prefix = ""
    return [
        (prefix + template, parts)
        for possibility in root.reverse_dict.getlist(name)
        for template, parts in possibility[0]
    ]


def _begins_alike(template: str, before: str) -> bool:
    return template.startswith(before.partition("<")[0])


def plant(acme: Team, admin: User) -> dict[str, Any]:
    """Fill acme with rows that all bear the mark; return an example for each part of addresses."""
    fill(acme, admin)
    Team.objects.filter(pk=acme.pk).update(name=f"{MARK} Team", slug=SLUG)
    acme.refresh_from_db()
    TeamMember.objects.filter(team=acme).update(
        name=f"{MARK} Name", github_username=Concat(Value(MARK), Cast("github_id", CharField())),
        email=Concat(Value(f"{MARK}-"), Cast("github_id", CharField()), Value("@example.com")),
    )  # fmt: skip
    TrackedRepository.objects.filter(integration__team=acme).update(
        name=MARK, full_name=f"{MARK}/{MARK}", description=MARK
    )
    GitHubIntegration.objects.filter(team=acme).update(organization_login=MARK)
    TeamInvitation.objects.filter(team=acme).update(email=f"{MARK}@example.com")
    acme.saved_filters.update(name=MARK)
    integration = GitHubIntegration.objects.get(team=acme)
    # Connected by the App, whose deliveries are the team's to read.
    IntegrationCredential.objects.filter(team=acme).update(
        kind=ConnectionKind.APP, installation_id=7, github_username=MARK
    )
    body: JSONObject = {"organization": {"id": integration.organization_id, "login": MARK}}
    intake.store(
        Payload("organization", body), guid=MARK, body=MARK.encode(), headers={}, secret_index=0
    )
    return _examples(acme, integration)


def _examples(acme: Team, integration: GitHubIntegration) -> dict[str, Any]:
    def first(rows: Any) -> Any:
        return rows.order_by("pk").values_list("pk", flat=True)[0]

    return {
        "team_slug": acme.slug,
        "membership_id": first(acme.memberships),
        "invitation_id": first(acme.team_invitations),
        "member_id": first(TeamMember.objects.filter(team=acme)),
        "run_id": first(integration.runs),
        "delivery_id": first(WebhookDelivery.objects),
        "filter_id": first(acme.saved_filters),
        "repository_id": first(integration.repositories),
        "token": "a-token-of-nobody",
        "queue": "interactive",
        "process_id": "web-1",
        "message_id": "a-message",
        "object_id": acme.pk,
        "id": acme.memberships.get(role=TeamRole.ADMIN).user_id,
        "content_type_id": 1,
        "app_label": "integrations",
        "url": "nowhere",
        "key": "a-key",
        "uidb36": "a",
    }


def fingerprint(*, without: frozenset[type[Model]] = frozenset({Session})) -> dict[str, str]:
    """Return a hash of each table's rows, and of what the queues hold."""
    found = {
        model._meta.label: hashlib.sha256(
            repr(list(model._base_manager.order_by("pk").values_list())).encode()
        ).hexdigest()
        for model in apps.get_models()
        if model not in without
    }
    with redis.Redis.from_url(settings.BROKER_REDIS_URL) as client:
        keys = sorted(client.keys(f"{settings.BROKER_NAMESPACE}:*.msgs"))
        found["queues"] = str([(key, client.hlen(key)) for key in keys])
    return found


def changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    return [name for name, state in after.items() if state != before[name]]
