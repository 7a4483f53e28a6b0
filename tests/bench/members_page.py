"""The members page at 100,000 people: as it is, and as Django's tutorial would have it."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.core.paginator import Paginator
from django.db import connection
from django.db.models import Q
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from integrations.models import Team, TeamMember
from tests.bench.table import Row, Samples, percentile
from tests.bench.viewers import admin_of
from tests.factories import GitHubIntegrationFactory

if TYPE_CHECKING:
    from tests.bench.rows import Bench

SIZE: Final = 100_000
ROUND_COUNT: Final = 5
BAR_MS: Final = 100
QUERY_BAR: Final = 12
# What people ask of the page: plain, searched, filtered, in each order, and far down.
QUERIES: Final = (
    "", "?q=ada", "?q=nobody", "?q=person-4242", "?q=a", "?page=900", "?page=1799",
    "?active=all&page=2000", "?active=inactive", "?sort=-name", "?sort=email", "?sort=role",
    "?sort=two_factor", "?sort=-joined&page=1000", "?role=admin", "?two_factor=off", "?joined=30",
    "?left=30", "?q=grace&sort=joined&two_factor=on", "?source=github",
)  # fmt: skip


def members_page(_bench: Bench) -> list[Row]:
    """Time every kind of question to the page, with its counting and its rendering."""
    team = _team_of_many()
    client = Client()
    client.force_login(admin_of(team))
    address = reverse("github_members", args=[team.slug])
    client.get(address)
    took_ms, query_counts = [], []
    for query in QUERIES * ROUND_COUNT:
        begun = time.perf_counter()
        client.get(address + query)
        took_ms.append((time.perf_counter() - begun) * 1000)
    for query in QUERIES:
        with CaptureQueriesContext(connection) as queries:
            client.get(address + query)
        query_counts.append(len(queries))
    p95, most, naive_ms = percentile(took_ms, 95), max(query_counts), _naive_ms(team)
    return [
        Row(
            f"members page at {SIZE:,} people (p95, {len(QUERIES)} kinds of question)",
            f"{p95:.0f} ms, {most} queries at the most",
            f"{BAR_MS} ms, {QUERY_BAR} queries",
            f"{percentile(naive_ms, 95):.0f} ms (icontains on three columns, sorted without "
            "an index, before any HTML)",
            p95 <= BAR_MS and most <= QUERY_BAR,
            Samples("ms", BAR_MS, took_ms, naive_ms),
        )
    ]


def _team_of_many() -> Team:
    integration = GitHubIntegrationFactory(onboarded_at=timezone.now())
    now = timezone.now()
    names = ("Ada", "Bob", "Émile", "Grace", "Linus", "Mary", "Noor", "Omar", "Zoë", "Kim")
    TeamMember.objects.bulk_create(
        (
            TeamMember(
                team=integration.team,
                github_id=number,
                github_username=f"{names[number % 7].lower()}-{number}",
                name=f"{names[number % 10]} {names[number % 9]}son",
                email=f"person-{number}@example.com",
                role="admin" if number % 49 == 1 else "member",
                two_factor_enabled=(True, False, None)[number % 3],
                is_active=number % 10 != 0,
                left_at=now - timedelta(days=number % 900) if number % 10 == 0 else None,
                joined_at=now - timedelta(minutes=number),
                updated_at=now,
            )
            for number in range(SIZE)
        ),
        batch_size=2_000,
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    team: Team = integration.team
    return team


def _naive_ms(team: Team) -> list[float]:
    """Search and sort as one would at first, a page of fifty; return the times in ms."""
    took_ms = []
    for text in ("ada", "nobody", "person-4242", "a") * ROUND_COUNT:
        begun = time.perf_counter()
        found = Q(name__icontains=text) | Q(github_username__icontains=text)
        rows = TeamMember.objects.filter(found | Q(email__icontains=text), team=team)
        list(Paginator(rows.order_by("role", "name"), 50).get_page(1))
        took_ms.append((time.perf_counter() - begun) * 1000)
    return took_ms
