"""Secrets are planted, everything fails that can, and then they are looked for everywhere.

GitHub repeats each secret that it is asked with (`echo.py`), actors raise and log them
(`failing/`), people open the links that were mailed; web, worker and ticker are real processes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import dramatiq
import pytest
from allauth.account.models import EmailAddress
from django.conf import settings
from django.db import connection
from django.urls import reverse
from django.utils import timezone
from dramatiq import Message

from integrations import tasks
from integrations.constants import ConnectionKind, MessageOutcome, RunTrigger, TeamRole
from integrations.github.webhooks import signature_of
from integrations.models import (
    GitHubIntegration,
    IntegrationCredential,
    MessageAttempt,
    Team,
    User,
)
from integrations.services.runs import start_run
from tests.factories import (
    GitHubIntegrationFactory,
    IntegrationCredentialFactory,
    MembershipFactory,
)
from tests.github.scripted import ScriptedGitHub, scripted_github
from tests.live.sse import SseClient
from tests.ops import letters
from tests.processes import Process, is_listening, wait_until
from tests.security import echo, surfaces
from tests.security.production import (
    HOST,
    SESSION_COOKIE,
    ProductionWeb,
    cookies_of,
    environment,
    session_of,
)
from tests.security.walk import MARK, addresses, plant
from tests.stack import database_url

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import requests

    from tests.environment import Surroundings

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]

# Made up, and found nowhere else. The key and those of the settings are the tests' own.
CLIENT_SECRET: Final = "planted7cl1ents3cret5ded2f9a"
WEBHOOK_SECRET: Final = "planted7webh00ks3cret81c0aa3"
METRICS_TOKEN: Final = "planted7metr1cst0ken66b1e2f4"
OAUTH_CODE: Final = "planted7c0de5f3b21"


def token_of(way: str) -> str:
    """Make a token in GitHub's form which says how GitHub is to answer it."""
    return f"ghp_planted{way}".ljust(40, "7")


@dataclass
class Planted:
    """What runs, who looks, every secret by its name, and all that was seen."""

    web: ProductionWeb
    worker: Process
    scheduler: Process
    github: ScriptedGitHub
    team: Team
    alice: User
    session_key: str
    mails: Path
    examples: dict[str, Any]
    markers: dict[str, str]
    seen: list[tuple[str, str]] = field(default_factory=list)

    def look(self, path: str, *, headers: dict[str, str] | None = None, **asked: Any) -> str:
        """Ask as alice, and keep all of the answer for the search."""
        cookie = {"Cookie": f"{SESSION_COOKIE}={self.session_key}"}
        return self.keep(path, self.web.ask(path, headers={**cookie, **(headers or {})}, **asked))

    def keep(self, path: str, response: requests.Response) -> str:
        headers = "\n".join(f"{name}: {value}" for name, value in response.headers.items())
        text = f"{response.status_code}\n{headers}\n{response.text}"
        self.seen.append((f"page {path}", text))
        return text

    def link_in_mail(self, pattern: str) -> str:
        """Return the path of the one link of a kind that was mailed."""
        found: set[str] = set()

        def is_there() -> bool:
            for mail in self.mails.glob("*.log"):
                found.update(re.findall(rf"https://{re.escape(HOST)}({pattern})", mail.read_text()))
            return bool(found)

        wait_until(is_there, what=f"a mail with {pattern}")
        [path] = found
        return path


@pytest.fixture
def github() -> Iterator[ScriptedGitHub]:
    with scripted_github() as scripted:
        scripted.improvise = echo.repeat
        yield scripted


@pytest.fixture
def planted(
    transactional_db: None, surroundings: Surroundings, static_root: Path, tmp_path: Path,
    github: ScriptedGitHub, acme: Team, alice: User,
) -> Iterator[Planted]:  # fmt: skip
    User.objects.filter(pk=alice.pk).update(is_superuser=True, is_staff=True)
    EmailAddress.objects.create(user=alice, email=alice.email, verified=True, primary=True)
    mails = tmp_path / "mails"
    more = {
        "DJANGO_SETTINGS_MODULE": "tests.security.planted_settings",
        "GITHUB_URL": github.url, "GITHUB_API_URL": github.api_url,
        "GITHUB_CLIENT_SECRET": CLIENT_SECRET, "GITHUB_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "METRICS_TOKEN": METRICS_TOKEN, "EMAIL_URL": f"filemail:///{mails}",
    }  # fmt: skip
    web = ProductionWeb.on_test_database(log_dir=tmp_path, static_root=static_root, **more)
    surrounding = {**environment(static_root), "DATABASE_URL": database_url(), **more}
    worker = Process(
        "manage.py", "rundramatiq", "--processes", "1", "--threads", "4", "--skip-logging",
        name="worker", log_dir=tmp_path, environment=surrounding,
    )  # fmt: skip
    scheduler = Process(
        "manage.py", "run_scheduler", name="scheduler", log_dir=tmp_path, environment=surrounding
    )
    processes = (web.process, worker, scheduler)
    try:
        for process in processes:
            process.start()
        web.process.wait_ready(lambda: is_listening(web.port))
        worker.wait_ready(lambda: "ready for action" in worker.output)
        scheduler.wait_ready(lambda: "scheduler started" in scheduler.output)
        yield Planted(
            web, worker, scheduler, github, acme, alice, session_of(alice), mails,
            plant(acme, alice), settings_markers(),
        )  # fmt: skip
    finally:
        for process in processes:
            process.kill()


def settings_markers() -> dict[str, str]:
    lines = settings.GITHUB_APP_PRIVATE_KEY.splitlines()
    return {
        "SECRET_KEY": settings.SECRET_KEY,
        "FIELD_ENCRYPTION_KEYS": settings.FIELD_ENCRYPTION_KEYS[0],
        "GITHUB_CLIENT_SECRET": CLIENT_SECRET,
        "GITHUB_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "METRICS_TOKEN": METRICS_TOKEN,
        "GITHUB_APP_CLIENT_SECRET": settings.GITHUB_APP_CLIENT_SECRET,
        # Each line of it stands alone where it is wrapped, or its ends are escaped.
        "GITHUB_APP_PRIVATE_KEY": lines[len(lines) // 2],
    }


# Starts three processes from nothing, and asks for some three hundred pages.
@pytest.mark.timeout(180)
class TestPlantedSecrets:
    def test_none_is_found_where_it_does_not_belong(self, planted: Planted) -> None:
        planted.markers["session key"] = planted.session_key
        stream = listen(planted)
        fail_syncs(planted)
        bury_letters(planted)
        open_links(planted)
        deliver_badly(planted)
        look_at_everything(planted)
        wait_until(lambda: any('data-state="error"' in event.data for event in stream.events))
        stream.close()
        planted.seen.append(("stream", "\n".join(f"{e.id} {e.data}" for e in stream.events)))
        for process in (planted.web.process, planted.worker, planted.scheduler):
            planted.seen.append((f"output of {process.name}", process.output))
        planted.seen += [
            *surfaces.redis_texts(), *surfaces.table_texts(), *surfaces.file_texts(),
            *surfaces.session_texts(),
        ]  # fmt: skip
        assert_the_search_finds(planted)
        found = {
            (where, name)
            for where, text in planted.seen
            for name, secret in planted.markers.items()
            if secret in text
        }
        # The table's bytes are in one file of SQLite's or in the other.
        found -= {("file", "session key"), ("file-wal", "session key")}
        assert found == where_they_belong()


def where_they_belong() -> set[tuple[str, str]]:
    """Return the only places of any secret: a session's row is found by its key.

    And while somebody chooses a new password, allauth keeps the link's key in their session. Who
    could read either there could as well write a session of their own.
    """
    return {
        ("table django_session.session_key", "session key"),
        ("session's _password_reset_key", "password reset link"),
    }


def assert_the_search_finds(planted: Planted) -> None:
    """See that each kind of surface was searched, by what is no secret and stands on it."""
    outputs = {where: text for where, text in planted.seen if where.startswith("output")}
    assert {"run failed", "RuntimeError", "all of it", "token not refreshed"} <= {
        words
        for words in ("run failed", "RuntimeError", "all of it", "token not refreshed")
        if words in outputs["output of worker"]
    }
    assert "webhook refused" in outputs["output of production-web"]
    assert "the fault of the view" in outputs["output of production-web"]
    assert outputs["output of scheduler"]
    assert any(MARK in text for where, text in planted.seen if where == "stream")
    held = [text for where, text in planted.seen if where.startswith("redis")]
    assert any("fail_with_token" in text and "RuntimeError" in text for text in held)
    masked = [where for where, text in planted.seen if where.startswith("page") and "***" in text]
    assert sum("/ops/messages/" in where for where in masked) >= 3
    assert sum("/admin/integrations/messageattempt/" in where for where in masked) >= 3
    marked = [where for where, text in planted.seen if MARK in text]
    assert {where.split(" ")[0] for where in marked} >= {"page", "stream", "table"}
    assert connection.vendor != "sqlite" or {"file", "file-wal"} & set(marked)


def listen(planted: Planted) -> SseClient:
    address = reverse("live", args=[planted.team.slug])
    return SseClient(
        f"http://127.0.0.1:{planted.web.port}{address}?lastEventId=team-{planted.team.pk}:0",
        cookies={SESSION_COOKIE: planted.session_key},
        headers={"Host": HOST, "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"},
    )


def fail_syncs(planted: Planted) -> None:
    """Have a sync fail in each way, of each kind of connection; acme's is the one watched."""
    runs = []
    for way in echo.WAYS:
        token = planted.markers[f"token, {way}"] = token_of(way)
        runs.append(start_one(planted, access_token=token))
    refresh_token = planted.markers["refresh token"] = f"ghr_planted{'7' * 65}"
    oauth = {"kind": ConnectionKind.OAUTH, "expires_at": timezone.now() + timedelta(hours=8)}
    runs.append(
        start_one(planted, access_token=token_of("refused"), refresh_token=refresh_token, **oauth)
    )
    expired = timezone.now() - timedelta(hours=1)
    runs.append(
        start_one(
            planted, kind=ConnectionKind.APP, installation_id=8, expires_at=expired,
            access_token=token_of("app"),
        )
    )  # fmt: skip
    planted.markers["installation token"] = token_of("app")
    wait_until(
        lambda: set(MessageAttempt.objects.values_list("run_id", flat=True)) >= set(runs),
        timeout_s=30, what="an attempt at each run",
    )  # fmt: skip
    asked = [one.headers.get("authorization", "") for one in planted.github.asked]
    said = " ".join([*asked, *(one.content.decode() for one in planted.github.asked)])
    assert all(planted.markers[f"token, {way}"] in said for way in echo.WAYS)
    assert CLIENT_SECRET in said
    assert refresh_token in said
    [signed, *_] = [one for one in asked if one.startswith("Bearer eyJ")]
    planted.markers["the App's own token"] = signed.rpartition(".")[2]


def start_one(planted: Planted, **facts: Any) -> int:
    """Start a sync of a team of alice's, connected like that; return the run's id."""
    if "sso" in facts["access_token"]:
        credential = IntegrationCredential.objects.get(team=planted.team)
        credential.kind, credential.access_token = ConnectionKind.TOKEN, facts["access_token"]
        credential.save()
        integration = GitHubIntegration.objects.get(team=credential.team)
    else:
        team = MembershipFactory(user=planted.alice, role=TeamRole.ADMIN).team
        credential = IntegrationCredentialFactory.build(team=team, **facts)
        credential.save()
        integration = GitHubIntegrationFactory(team=team, credential=credential)
    run = start_run(integration, trigger=RunTrigger.MANUAL, person=planted.alice).run
    tasks.sync_github_members_later(run)
    return run.pk


def bury_letters(planted: Planted) -> None:
    """Have messages die with secrets in what killed them."""
    credential = IntegrationCredential.objects.get(team=planted.team)
    for actor in ("fail_with_token", "fail_twice"):
        letters.send(credential.pk, actor=actor)
    broker = dramatiq.get_broker()
    broker.enqueue(Message("interactive", "fail_with_settings", (), {}, {}))
    broker.enqueue(Message("interactive", "an_actor_of_nobody", (), {}, {}))
    dead = MessageAttempt.objects.filter(outcome=MessageOutcome.DEAD)
    wait_until(
        lambda: dead.values("actor").distinct().count() >= 4, timeout_s=20, what="dead letters"
    )


def open_links(planted: Planted) -> None:
    """Follow what is mailed, as people do; their own answers may say where they are."""
    web, session = planted.web, planted.session_key
    invited = web.submit(
        reverse("team_invite", args=[planted.team.slug]),
        {"email": "new7@example.com", "role": "member"}, session_key=session,
    )  # fmt: skip
    assert invited.status_code == 302
    link = planted.link_in_mail(r"/invitations/[\w-]+/")
    planted.markers["invitation link"] = link.split("/")[-2]
    assert web.ask(link).status_code == 200
    assert web.submit(link).headers["Location"].startswith(reverse("account_login"))
    assert web.ask(link, method="POST").status_code == 403

    planted.keep("reset", web.submit("/accounts/password/reset/", {"email": planted.alice.email}))
    link = planted.link_in_mail(r"/accounts/password/reset/key/[\w-]+/")
    planted.markers["password reset link"] = link.split("/")[-2].partition("-")[2]
    opened = web.ask(link)
    key = cookies_of(opened)[SESSION_COOKIE].value
    form = web.ask(opened.headers["Location"], headers={"Cookie": f"{SESSION_COOKIE}={key}"})
    planted.keep("the form for a new password", form)
    assert 'name="password1"' in form.text


def deliver_badly(planted: Planted) -> None:
    """Send webhooks that are refused, and one that is taken; paste a token; come back badly."""
    path, body = reverse("github_webhooks_receive"), b'{"zen": "Keep it logically awesome."}'
    sent = {
        "Content-Type": "application/json", "X-GitHub-Event": "ping",
        "X-GitHub-Delivery": "planted-delivery",
    }  # fmt: skip
    for secret, status in (("another", 403), (WEBHOOK_SECRET, 200)):
        signed = {**sent, "X-Hub-Signature-256": signature_of(secret, body)}
        response = planted.web.ask(path, method="POST", headers=signed, data=body)
        assert response.status_code == status
        planted.keep(path, response)
    token = planted.markers["pasted token"] = f"ghp_plantedforbidden{'8' * 20}"
    pasted = planted.web.submit(
        reverse("github_connect_token", args=[planted.team.slug]), {"token": token},
        session_key=planted.session_key,
    )  # fmt: skip
    assert pasted.status_code == 400
    planted.keep("the form with a token pasted", pasted)
    planted.markers["OAuth code"] = OAUTH_CODE
    for path in ("/github/callback/", "/github/setup/", "/fail/"):
        planted.look(f"{path}?code={OAUTH_CODE}&state={OAUTH_CODE}")


def look_at_everything(planted: Planted) -> None:
    """Look at every page and export, of every team, of operators, and of the admin site."""
    bearer = {"Authorization": f"Bearer {METRICS_TOKEN}"}
    assert "rollcall_" in planted.look("/metrics", headers=bearer)
    left_out = {"account_logout", "logout", "live", "ops_live"}
    paths = {one.path(planted.examples) for one in addresses() if one.name not in left_out}
    paths |= {*surfaces.operators_paths(), *surfaces.admin_paths()}
    for slug in Team.objects.for_user(planted.alice).values_list("slug", flat=True):
        paths |= {reverse("github_members", args=[slug]), *surfaces.run_paths(slug)}
    for path in sorted(paths):
        assert not planted.look(path).startswith("500"), path
    for path in ("/nowhere/", "/fail/"):
        planted.look(path)
