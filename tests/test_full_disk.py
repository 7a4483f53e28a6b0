"""The database has no disk left: what was asked for is refused with a sentence, and not done."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest
from django.db import OperationalError, connection
from django.urls import reverse

from integrations.constants import SYNC_STATUS_PENDING
from integrations.models import StatusTransition, SyncRun, WebhookDelivery
from tests.webhook_deliveries import membership_payload, person, post

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.models import Model
    from django.test import Client

    from integrations.models import GitHubIntegration, Team, User

pytestmark = pytest.mark.django_db(transaction=True)

# On SQLite each new row takes more pages than the file may have; the errors are the engines' own.
SQLITE: Final = (
    "CREATE TABLE ballast (bytes BLOB)",
    (
        "CREATE TRIGGER no_room AFTER INSERT ON {table} "
        "BEGIN INSERT INTO ballast VALUES (zeroblob(100000000)); END"
    ),
)
SQLITE_AFTER: Final = ("DROP TRIGGER no_room", "DROP TABLE ballast")
POSTGRES: Final = (
    (
        "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; "
        "END $$"
    ),
    "CREATE TRIGGER no_room AFTER INSERT ON {table} EXECUTE FUNCTION no_room()",
)
POSTGRES_AFTER: Final = ("DROP TRIGGER no_room ON {table}", "DROP FUNCTION no_room")
UNBOUNDED: Final = 0xFFFFFFFE


@contextmanager
def no_room_for(model: type[Model]) -> Iterator[None]:
    """Have every new row of the table fail as it does on a full disk."""
    is_sqlite = connection.vendor == "sqlite"
    before, after = (SQLITE, SQLITE_AFTER) if is_sqlite else (POSTGRES, POSTGRES_AFTER)
    with connection.cursor() as cursor:
        for statement in before:
            cursor.execute(statement.format(table=model._meta.db_table))
        if is_sqlite:
            cursor.execute("PRAGMA page_count")
            cursor.execute(f"PRAGMA max_page_count = {cursor.fetchone()[0] + 100}")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            if is_sqlite:
                cursor.execute(f"PRAGMA max_page_count = {UNBOUNDED}")
            for statement in after:
                cursor.execute(statement.format(table=model._meta.db_table))


class TestAClick:
    def test_it_is_refused_with_a_sentence_and_leaves_nothing(
        self,
        client: Client,
        acme: Team,
        alice: User,
        integration: GitHubIntegration,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        client.force_login(alice)
        address = reverse("github_members_sync", args=[acme.slug])
        with no_room_for(SyncRun):
            response = client.post(address, HTTP_HX_REQUEST="true")
        assert response.status_code == 503
        assert "disk is full" in response.text
        assert response.headers["Retry-After"] == "60"
        assert "no-store" in response.headers["Cache-Control"]
        assert "the database's disk is full, make room" in caplog.text
        assert not SyncRun.objects.exists()
        assert not StatusTransition.objects.exists()
        integration.refresh_from_db()
        assert integration.member_sync_status == SYNC_STATUS_PENDING
        # There is room again.
        assert client.post(address, HTTP_HX_REQUEST="true").status_code == 200
        assert SyncRun.objects.count() == 1

    def test_german_readers_are_told_in_german(
        self, client: Client, acme: Team, alice: User, integration: GitHubIntegration
    ) -> None:
        client.force_login(alice)
        with no_room_for(SyncRun):
            response = client.post(
                reverse("github_members_sync", args=[acme.slug]), HTTP_ACCEPT_LANGUAGE="de"
            )
        assert "Festplatte" in response.text

    def test_another_fault_of_the_database_is_an_error_as_ever(
        self,
        client: Client,
        acme: Team,
        alice: User,
        integration: GitHubIntegration,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def fail(*_: object, **__: object) -> None:
            raise OperationalError("database is locked")

        monkeypatch.setattr("integrations.views.github.start_run", fail)
        client.force_login(alice)
        with pytest.raises(OperationalError, match="locked"):
            client.post(reverse("github_members_sync", args=[acme.slug]))


class TestAWebhook:
    def test_github_is_told_to_keep_it(
        self, client: Client, integration: GitHubIntegration
    ) -> None:
        payload = membership_payload(integration, "member_added", person(7))
        with no_room_for(WebhookDelivery):
            refused = post(client, "organization", payload, guid="one")
        assert refused.status_code == 503
        assert not WebhookDelivery.objects.exists()
        assert post(client, "organization", payload, guid="one").status_code == 202
