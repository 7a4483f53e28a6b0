"""The doctor finds what is wrong, from the settings to GitHub's answer, and how to mend it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import dramatiq
import pytest
import redis
from django.core.management import call_command

from integrations.ops import doctor, doctor_github, doctor_parts, doctor_settings
from integrations.ops.findings import BAD, GOOD, WARN, Finding
from tests.processes import Valkey, free_port

pytestmark = pytest.mark.django_db(transaction=True)


def by_subject(findings: Iterator[Finding]) -> dict[str, Finding]:
    """Keep the worst of each subject."""
    order = (GOOD, WARN, BAD)
    found: dict[str, Finding] = {}
    for one in findings:
        if one.subject not in found or order.index(one.tone) > order.index(found[one.subject].tone):
            found[one.subject] = one
    return found


class TestTheSettings:
    @pytest.fixture(autouse=True)
    def _production(self, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        settings.SECRET_KEY = "k" * 60
        settings.DEBUG = False
        settings.ALLOWED_HOSTS = ["rollcall.example.com"]
        settings.SITE_URL = "https://rollcall.example.com"
        settings.HTTPS = True
        settings.TRUSTED_PROXY_COUNT = 1
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.METRICS_TOKEN = "m" * 30
        monkeypatch.setenv("dramatiq_queue_prefetch", "4")

    def test_a_good_production_gives_no_complaint(self) -> None:
        assert {one.tone for one in doctor_settings.examine()} == {GOOD}

    @pytest.mark.parametrize(
        ("changes", "subject", "tone"),
        [
            ({"SECRET_KEY": "short"}, "secrets", WARN),
            ({"DEBUG": True}, "debug", WARN),
            ({"ALLOWED_HOSTS": []}, "hosts", BAD),
            ({"ALLOWED_HOSTS": ["*"]}, "hosts", WARN),
            ({"ALLOWED_HOSTS": ["other.example.com"]}, "hosts", BAD),
            ({"SITE_URL": "http://rollcall.example.com"}, "https", BAD),
            ({"TRUSTED_PROXY_COUNT": 0}, "https", WARN),
            ({"HTTPS": False}, "https", WARN),
            (
                {
                    "EMAIL_BACKEND": "django.core.mail.backends.console.EmailBackend",
                    "ACCOUNT_EMAIL_VERIFICATION": "mandatory",
                },
                "mail",
                BAD,
            ),
            ({"METRICS_TOKEN": ""}, "metrics", WARN),
            ({"METRICS_TOKEN": "short"}, "metrics", WARN),
        ],
    )
    def test_it_finds(
        self, changes: dict[str, Any], subject: str, tone: str, settings: Any
    ) -> None:
        for name, value in changes.items():
            setattr(settings, name, value)
        found = by_subject(doctor_settings.examine())
        assert found[subject].tone == tone
        assert found[subject].mend

    def test_it_finds_a_prefetch_that_is_not_set(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("dramatiq_queue_prefetch")
        assert by_subject(doctor_settings.examine())["prefetch"].tone == WARN


class TestTheParts:
    def test_it_finds_them_well(
        self, worker: dramatiq.Worker, wait_until: Callable[..., None]
    ) -> None:
        def found() -> dict[str, Finding]:
            return by_subject(doctor_parts.examine())

        wait_until(lambda: found()["worker"].tone == GOOD)
        tones = {subject: one.tone for subject, one in found().items()}
        for subject in ("database", "migrations", "redis live", "redis queue", "redis clock"):
            assert tones[subject] == GOOD, subject
        assert tones["namespace"] == GOOD
        assert tones["scheduler"] == BAD

    def test_it_finds_a_redis_that_forgets(self, valkey: Valkey) -> None:
        with redis.Redis.from_url(valkey.url) as client:
            before = client.config_get("maxmemory-policy")
            client.config_set("maxmemory-policy", "allkeys-lru")
            try:
                found = by_subject(doctor_parts.examine())
            finally:
                client.config_set("maxmemory-policy", str(before["maxmemory-policy"]))
        assert found["redis memory"].tone == BAD
        assert "noeviction" in found["redis memory"].mend

    def test_it_finds_a_redis_that_is_away(self, valkey: Valkey) -> None:
        valkey.stop()
        found = by_subject(doctor_parts.examine())
        assert found["redis live"].tone == BAD
        assert found["database"].tone == GOOD

    @pytest.mark.parametrize(("skew_s", "tone"), [(0.1, GOOD), (-5, WARN), (61, BAD)])
    def test_it_judges_clocks(self, skew_s: float, tone: str) -> None:
        assert doctor_parts.clock_finding("clock", skew_s).tone == tone


class TestGitHub:
    def test_it_finds_it_well(self) -> None:
        tones = {s: one.tone for s, one in by_subject(doctor_github.examine()).items()}
        assert tones == dict.fromkeys(
            ["github", "github clock", "oauth app", "github app", "webhooks"], GOOD
        )

    def test_it_finds_it_away(self, settings: Any) -> None:
        settings.GITHUB_API_URL = f"http://127.0.0.1:{free_port()}"
        assert by_subject(doctor_github.examine())["github"].tone == BAD

    def test_it_finds_a_wrong_secret(self, settings: Any) -> None:
        settings.GITHUB_CLIENT_SECRET = "wrong-secret-of-this-test"
        found = by_subject(doctor_github.examine())["oauth app"]
        assert found.tone == BAD
        assert "GITHUB_CLIENT_SECRET" in found.mend

    def test_it_finds_a_wrong_app(self, settings: Any) -> None:
        settings.GITHUB_APP_ID = "999999"
        assert by_subject(doctor_github.examine())["github app"].tone == BAD
        settings.GITHUB_APP_PRIVATE_KEY = "no key"
        assert by_subject(doctor_github.examine())["github app"].tone == BAD

    def test_it_finds_that_webhooks_are_refused(self, settings: Any) -> None:
        settings.GITHUB_WEBHOOK_SECRETS = []
        assert by_subject(doctor_github.examine())["webhooks"].tone == BAD


class TestTheCommand:
    def test_its_exit_code_says_that_something_is_bad(self) -> None:
        out = io.StringIO()
        with pytest.raises(SystemExit) as caught:
            call_command("ops", "doctor", "--json", stdout=out)
        assert caught.value.code == 1
        found = json.loads(out.getvalue())
        assert {one["tone"] for one in found} <= {GOOD, WARN, BAD}
        assert all(one["mend"] for one in found if one["tone"] != GOOD)

    def test_it_tells_no_secret(self, settings: Any) -> None:
        settings.GITHUB_API_URL = settings.GITHUB_API_URL.replace("http://", "http://u:hush-hush@")
        lines = "\n".join(doctor.as_line(one) for one in doctor.examine())
        for secret in (
            settings.SECRET_KEY, settings.GITHUB_CLIENT_SECRET, "hush-hush",
            settings.GITHUB_WEBHOOK_SECRETS[0], settings.GITHUB_APP_PRIVATE_KEY,
        ):  # fmt: skip
            assert secret not in lines
