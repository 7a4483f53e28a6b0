"""Everything that people, GitHub and the clock ask of the product, in rounds of the same size."""

from __future__ import annotations

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import requests
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.urls import reverse
from django.utils import timezone

from integrations.constants import DeliveryStatus
from integrations.github.webhooks import signature_of
from integrations.models import (
    GitHubIntegration,
    MemberChange,
    MessageAttempt,
    SyncRun,
    User,
    WebhookDelivery,
)
from tests.drills.viewers import admin_of
from tests.factories import PASSWORD, UserFactory
from tests.live.sse import SseClient
from tests.processes import wait_until
from tests.webhook_deliveries import ADDRESS, SECRET, guid_at, organization_of, person

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from random import Random

    from tests.drills.harness import Drill
    from tests.kills import Site

    Act = Callable[[], None]

# What GitHub tells of an organisation, without what would take it away from the team.
WEBHOOKS: Final = (
    ("organization", "member_added"), ("organization", "member_removed"),
    ("organization", "member_invited"), ("membership", "added"), ("membership", "removed"),
    ("member", "added"), ("member", "removed"), ("repository", "created"),
    ("repository", "deleted"), ("installation", "suspend"), ("installation_repositories", "added"),
    ("github_app_authorization", "revoked"), ("ping", ""), ("push", ""),
)  # fmt: skip
PAGES: Final = (
    ("github_members", ""), ("github_members", "?q=person&sort=-login"), ("github_members_csv", ""),
    ("github_history", ""), ("github_repos", ""), ("github_settings", ""), ("github_webhooks", ""),
)  # fmt: skip
OPS_PAGES: Final = ("/ops/", "/ops/runs/", "/ops/messages/", "/metrics", "/healthz", "/readyz")
# Whom webhooks let join and leave: always the same, so that the roster stays as long as it is.
STRANGERS: Final = range(9_900_001, 9_900_004)
HANDS: Final = 4
TIMEOUT_S: Final = 20
# Older than anything is kept.
AGE: Final = timedelta(days=800)


class MixedWork:
    """Rounds of clicks, nights, webhooks, streams, pages, sign-ins and operators' pages."""

    def __init__(self, drill: Drill, sites: list[Site], random: Random) -> None:
        self._drill, self._sites, self._random = drill, sites, random
        self._url = drill.stack.url
        self.unit_count = self.doubled_count = 0
        # Of each round: how long what it led to went on after its last act.
        self.settled_s: list[float] = []
        self.counts: dict[str, int] = Counter()
        self._admins = {
            site.integration.pk: self._session_of(admin_of(site.integration.team)) for site in sites
        }
        self._operator = self._session_of(UserFactory(is_staff=True))
        # As the processes hash it; the tests' own way is quicker, and theirs alone.
        self._visitor: User = UserFactory(password="")
        hashed = PBKDF2PasswordHasher().encode(PASSWORD, "salt-of-the-soak")
        User.objects.filter(pk=self._visitor.pk).update(password=hashed)

    def round(self) -> None:
        """Do a round, and return once all that followed from it is over."""
        self._change_github()
        acts = self._acts()
        with ThreadPoolExecutor(HANDS) as hands:
            for done in [hands.submit(act) for act in acts]:
                done.result()
        done_s = time.monotonic()
        wait_until(self._is_quiet, timeout_s=60, what="the end of a round's work")
        self.settled_s.append(time.monotonic() - done_s)
        self._count(acts)

    def _count(self, acts: list[Act]) -> None:
        """Count what was done, and what of it was written down more often than it happened."""
        self.unit_count += len(acts)
        delivered_count = WebhookDelivery.objects.count()
        failed_count = WebhookDelivery.objects.filter(status=DeliveryStatus.FAILED).count()
        self.doubled_count += delivered_count - len(WEBHOOKS) * len(self._sites)
        self.counts["deliveries"] += delivered_count
        self.counts["deliveries failed"] += failed_count
        self.counts["rows of messages"] += MessageAttempt.objects.count()
        self.counts["rows of changes"] += MemberChange.objects.count()

    def untrue_rosters(self) -> list[Site]:
        """Read every organisation once more; return those whose roster is not GitHub's list."""
        for site in self._sites:
            self._click(site)
        wait_until(self._is_quiet, timeout_s=60, what="the last reads")
        return [site for site in self._sites if site.roster() != site.truth()]

    def forget_history(self) -> None:
        """Let all history be too old, and return once the ticker has forgotten it."""
        before = timezone.now() - AGE
        tables = (MemberChange, WebhookDelivery, MessageAttempt)

        def is_forgotten() -> bool:
            if not any(table._default_manager.exists() for table in tables):
                return True
            # Once more: a message's outcome may be written after all that it did was over.
            age_history(before)
            return False

        age_history(before)
        GitHubIntegration.objects.update(next_prune_at=None)
        try:
            wait_until(is_forgotten, timeout_s=30, what="the history being forgotten")
        except TimeoutError as error:
            left = {table.__name__: list(table._default_manager.values()[:3]) for table in tables}
            raise TimeoutError(f"{error}: {left}") from error

    def _change_github(self) -> None:
        for site in self._sites[::2]:
            site.change(self._random)
            # Two left and one came: after hours nobody would be left.
            site.organization.add()
            site.ended_count += 1
        nights = [site.integration.pk for site in self._sites[1::2]]
        GitHubIntegration.objects.filter(pk__in=nights).update(
            schedule_enabled=True, next_sync_at=timezone.now()
        )

    def _acts(self) -> list[Act]:
        acts: list[Act] = [self._sign_in_and_out]
        acts.append(partial(self._look_on, self._operator, "/ops/live/"))
        acts += [partial(self._ask, self._operator, path) for path in OPS_PAGES]
        for site in self._sites:
            stream = reverse("live", args=[site.integration.team.slug])
            admin = self._admins[site.integration.pk]
            acts += [partial(self._click, site), *[partial(self._look_on, admin, stream)] * 2]
            acts += [partial(self._page, site, name, query) for name, query in PAGES]
            acts += [partial(self._deliver, site, *kind) for kind in WEBHOOKS]
        self._random.shuffle(acts)
        return acts

    def _is_quiet(self) -> bool:
        return not (
            SyncRun.objects.active().exists()
            or WebhookDelivery.objects.filter(status=DeliveryStatus.PENDING).exists()
            or self._drill.stack.queue_length()
        )

    def _session_of(self, user: User | None) -> dict[str, str]:
        with self._drill.stack.browser_session(user) as session:
            return dict(session.cookies.get_dict())

    def _click(self, site: Site) -> None:
        address = f"{self._url}{reverse('github_members_sync', args=[site.integration.team.slug])}"
        cookies = self._admins[site.integration.pk]
        headers = {"X-CSRFToken": cookies["csrftoken"], "Referer": address, "HX-Request": "true"}
        answer = requests.post(address, cookies=cookies, headers=headers, timeout=TIMEOUT_S)
        assert answer.ok, (answer.status_code, answer.text[:300])

    def _page(self, site: Site, name: str, query: str) -> None:
        path = reverse(name, args=[site.integration.team.slug])
        self._ask(self._admins[site.integration.pk], f"{path}{query}")

    def _ask(self, cookies: dict[str, str], path: str) -> None:
        answer = requests.get(f"{self._url}{path}", cookies=cookies, timeout=TIMEOUT_S)
        assert answer.ok, (path, answer.status_code, answer.text[:300])

    def _look_on(self, cookies: dict[str, str], path: str) -> None:
        """Open a stream, hear its first event and leave."""
        client = SseClient(f"{self._url}{path}", cookies=cookies)
        try:
            wait_until(lambda: client.events, timeout_s=TIMEOUT_S, what=f"an event of {path}")
        finally:
            client.close()

    def _deliver(self, site: Site, event: str, action: str) -> None:
        """Send a delivery twice, as GitHub does when it saw no answer to the first."""
        who = person(self._random.choice(STRANGERS))
        payload: dict[str, Any] = {
            "action": action,
            "organization": organization_of(site.integration),
            "membership": {"state": "active", "role": "member", "user": who},
            "member": who,
            "sender": person(1, "octocat"),
            "repository": {"id": 1, "name": "rocket", "full_name": "acme/rocket", "private": True},
            "installation": {"id": 1, "account": organization_of(site.integration)},
        }
        body = json.dumps({name: value for name, value in payload.items() if value}).encode()
        headers = {
            "Content-Type": "application/json",
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": guid_at(timezone.now()),
            "X-Hub-Signature-256": signature_of(SECRET, body),
        }
        for expected in ({200, 202}, {200}):
            answer = requests.post(
                f"{self._url}{ADDRESS}", data=body, headers=headers, timeout=TIMEOUT_S
            )
            assert answer.status_code in expected, (event, answer.status_code, answer.text[:300])

    def _sign_in_and_out(self) -> None:
        cookies = self._session_of(None)
        form = {"login": self._visitor.email, "password": PASSWORD}
        for path, data in (("/accounts/login/", form), ("/accounts/logout/", {})):
            address = f"{self._url}{path}"
            answer = requests.post(
                address,
                data=data,
                cookies=cookies,
                headers={"X-CSRFToken": cookies["csrftoken"], "Referer": address},
                timeout=TIMEOUT_S,
                allow_redirects=False,
            )
            assert answer.status_code == HTTPStatus.FOUND, (path, answer.text[:300])
            # Signing in brings a session, and another token.
            cookies |= answer.cookies.get_dict()


def age_history(before: datetime) -> None:
    """Date all that is newer back to that moment; of changes it is the ticker's turn again."""
    SyncRun.objects.filter(finished_at__gt=before).update(finished_at=before)
    WebhookDelivery.objects.filter(received_at__gt=before).update(received_at=before)
    MessageAttempt.objects.filter(finished_at__gt=before).update(finished_at=before)
    if MemberChange.objects.filter(at__gt=before).update(at=before):
        GitHubIntegration.objects.update(next_prune_at=None)
