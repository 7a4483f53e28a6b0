"""Every setting is checked at the start: the sentence names variable, value and valid form."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured

from project.environment import Environment, numbered
from project.grip import GripProxy, read_grip_proxies
from tests.processes import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = Fernet.generate_key().decode()
PRODUCTION = {
    "SECRET_KEY": "a secret of these tests, of more than fifty characters in all",
    "FIELD_ENCRYPTION_KEYS": KEY,
    "ALLOWED_HOSTS": "rollcall.example.com",
    # An .env of whoever runs the tests must not answer for what a test leaves out.
    "DEBUG": "false",
    "HTTPS": "true",
}
PASSWORD = "pass-that-nobody-reads"


def refusal(read: Callable[[], Any]) -> str:
    with pytest.raises(ImproperlyConfigured) as raised:
        read()
    return str(raised.value)


class TestFlag:
    @pytest.mark.parametrize("word", ["true", "True", "on", "yes", "1", " true "])
    def test_it_reads_true(self, word: str) -> None:
        assert Environment({"HTTPS": word}).flag("HTTPS", default=False) is True

    @pytest.mark.parametrize("word", ["false", "FALSE", "off", "no", "0"])
    def test_it_reads_false(self, word: str) -> None:
        assert Environment({"HTTPS": word}).flag("HTTPS", default=True) is False

    def test_it_falls_back_to_the_default(self) -> None:
        assert Environment({}).flag("HTTPS", default=True) is True

    def test_it_refuses_a_misspelt_word(self) -> None:
        said = refusal(lambda: Environment({"HTTPS": "ture"}).flag("HTTPS", default=True))
        assert said == ("HTTPS is 'ture'. It has to be one of true, on, yes, 1, false, off, no, 0.")

    def test_it_refuses_nothing(self) -> None:
        said = refusal(lambda: Environment({"DEBUG": ""}).flag("DEBUG", default=True))
        assert said == "DEBUG is set, and empty. Give it a value, or unset it."


class TestSecrets:
    def test_one_that_begins_with_a_dollar_is_taken_as_it_stands(self) -> None:
        # django-environ reads it as the name of another variable, and then takes the default.
        env = Environment({"SECRET_KEY": "$ecret", "ecret": "another"})
        assert env.str("SECRET_KEY", default="the default") == "$ecret"

    def test_a_line_end_of_a_file_is_no_part_of_it(self) -> None:
        assert Environment({"METRICS_TOKEN": "token\n"}).str("METRICS_TOKEN") == "token"


class TestAddresses:
    def test_a_slash_at_the_end_goes(self) -> None:
        env = Environment({"GITHUB_API_URL": "https://github.example.com/api/v3/"})
        found = env.web_address("GITHUB_API_URL", default="")
        assert found == "https://github.example.com/api/v3"

    def test_redis_keeps_its_options_beside_the_database(self) -> None:
        # Heroku's own Redis has a certificate that nobody signed.
        given = "rediss://:p@redis.example.com:6380/?ssl_cert_reqs=none"
        found = Environment({"REDIS_URL": given}).redis_address("REDIS_URL", default="")
        assert numbered(found, 1) == "rediss://:p@redis.example.com:6380/1?ssl_cert_reqs=none"

    def test_a_database_is_read_as_django_wants_it(self) -> None:
        given = "postgres://u:p%23x@db.example.com:5433/rollcall?sslmode=require"
        found = Environment({"DATABASE_URL": given}).database("DATABASE_URL", default="")
        assert found["ENGINE"] == "django.db.backends.postgresql"
        assert (found["NAME"], found["PASSWORD"], found["PORT"]) == ("rollcall", "p#x", 5433)
        assert found["OPTIONS"] == {"sslmode": "require"}

    def test_mail_is_read_as_django_wants_it(self) -> None:
        given = "smtp://u:p@mail.example.com:587?tls=True"
        found = Environment({"EMAIL_URL": given}).email("EMAIL_URL", default="")
        assert (found["EMAIL_HOST"], found["EMAIL_PORT"]) == ("mail.example.com", 587)

    def test_hosts_may_be_patterns(self) -> None:
        given = "rollcall.example.com, .example.org,10.0.0.7,[::1],*"
        found = Environment({"ALLOWED_HOSTS": given}).hosts("ALLOWED_HOSTS", default=[])
        assert found == ["rollcall.example.com", ".example.org", "10.0.0.7", "[::1]", "*"]


# Reads the settings anew for each environment: a process for each would cost a second a value.
READ_SETTINGS = """
import json, os, runpy, sys
for environment in json.load(sys.stdin):
    os.environ.clear()
    os.environ.update(environment)
    try:
        runpy.run_path("project/settings.py")
    except Exception as error:
        print(json.dumps(f"{type(error).__name__}: {error}"))
    else:
        print(json.dumps("up"))
"""


def start(*environments: dict[str, str]) -> list[str]:
    """Read the settings with each of these; return "up", or what they raised."""
    # All that is set here, so that an .env of whoever runs the tests has no say.
    bare = {name: value for name, value in os.environ.items() if name in read_by_settings()}
    cases = [{**bare, **PRODUCTION, **environment} for environment in environments]
    done = subprocess.run(
        [sys.executable, "-c", READ_SETTINGS], input=json.dumps(cases), cwd=REPOSITORY,
        capture_output=True, text=True, timeout=100, check=True,
    )  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()]


def read_by_settings() -> set[str]:
    text = "".join(path.read_text() for path in sorted((REPOSITORY / "project").rglob("*.py")))
    return set(re.findall(r'\benv(?:\.\w+)?\(\s*"([A-Z][A-Z_]+)"', text))


class TestPushpins:
    KEY = "k" * 32

    def test_they_are_read_in_order(self) -> None:
        one, two = (f"http://10.0.0.{n}:5561?iss=rollcall&key={self.KEY}" for n in (1, 2))
        for given in (f"{one} {two}", f"{one},{two}", f" {one},\n {two} "):
            found = read_grip_proxies(given)
            assert found == [
                GripProxy("http://10.0.0.1:5561", "rollcall", self.KEY),
                GripProxy("http://10.0.0.2:5561", "rollcall", self.KEY),
            ]
            assert self.KEY not in repr(found)
        assert read_grip_proxies("") == []

    @pytest.mark.parametrize(
        "bad",
        [
            "localhost:5561?iss=rollcall&key={key}",
            "http://localhost:5561?key={key}",
            "http://localhost:5561?iss=rollcall",
            "http://localhost:5561?iss=rollcall&key={key}&key={key}",
            "http://localhost:5561?iss=rollcall&key=base64:{key}",
            "http://localhost:x?iss=rollcall&key={key}",
        ],
    )
    def test_it_refuses_half_of_one_and_does_not_say_its_key(self, bad: str) -> None:
        said = refusal(lambda: read_grip_proxies(bad.format(key=self.KEY)))
        assert said.startswith("GRIP_URL is ")
        assert self.KEY not in said


class TestTheSettings:
    def test_production_starts_with_three_variables(self) -> None:
        assert start({}) == ["up"]

    def test_it_refuses_to_start_without_them(self) -> None:
        said = start(
            {"SECRET_KEY": "not-a-secret-for-development-only"},
            {"SECRET_KEY": ""},
            {"FIELD_ENCRYPTION_KEYS": ""},
            {"ALLOWED_HOSTS": ""},
        )
        assert [line.partition(": ")[2].partition(". ")[0] for line in said] == [
            "SECRET_KEY is not set",
            "SECRET_KEY is not set",
            "FIELD_ENCRYPTION_KEYS is not set",
            "ALLOWED_HOSTS is ''",
        ]

    def test_django_finds_nothing_to_mend_in_a_deployment(self) -> None:
        given = {
            name: value for name, value in os.environ.items() if name not in read_by_settings()
        }
        done = subprocess.run(
            [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "INFO"],
            cwd=REPOSITORY, capture_output=True, text=True,
            env={**given, **PRODUCTION, "EMAIL_URL": "smtp://mail.example.com"},
            timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (
            0, "System check identified no issues (0 silenced).\n",
        ), done.stderr  # fmt: skip

    def test_a_process_ends_with_the_sentence(self) -> None:
        done = subprocess.run(
            [sys.executable, "manage.py", "check"], cwd=REPOSITORY, capture_output=True, text=True,
            env={**os.environ, "LOG_LEVEL": "LOUD"}, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1] == (
            "django.core.exceptions.ImproperlyConfigured: LOG_LEVEL is 'LOUD'. "
            "It has to be one of DEBUG, INFO, WARNING, ERROR."
        )


# Each with a value that its form doesn't have, and what the sentence has to say beside the name.
BAD: dict[str, tuple[str, str]] = {
    "DEBUG": ("maybe", "is 'maybe'. It has to be one of true"),
    "HTTPS": ("ja", "is 'ja'. It has to be one of true"),
    "FIELD_ENCRYPTION_KEYS": (
        f"{KEY},{PASSWORD}",
        "(number 2) is not valid. It has to be a Fernet",
    ),
    "ALLOWED_HOSTS": ("https://rollcall.example.com", "without scheme or port"),
    "CSRF_TRUSTED_ORIGINS": ("rollcall.example.com", "as https://HOST"),
    "TRUSTED_PROXY_COUNT": ("-1", "is '-1'. It has to be a whole number, 0 or more"),
    "DATABASE_URL": (
        f"mysql://u:{PASSWORD}@db/rollcall",
        "is 'mysql:...'. It has to be sqlite:///",
    ),
    "DATABASE_POOL_SIZE": ("0", "is '0'. It has to be a whole number, 1 or more"),
    "BROKER_URL": (f"http://:{PASSWORD}@redis:6379", "begins with 'http' or names no host."),
    "REDIS_URL": (f"http://:{PASSWORD}@redis:6379", "is 'http:...'. It has to be redis://"),
    "GRIP_URL": (
        f"http://pushpin:5561?iss=rollcall&key={PASSWORD}",
        "is 'http:...'. It has to be addresses of Pushpins' control ports",
    ),
    "BROKER_NAMESPACE": ("roll*", "is 'roll*'. It has to be letters"),
    "GITHUB_URL": ("github.com", "is 'github.com'. It has to be an address"),
    "GITHUB_API_URL": ("ftp://api.github.com", "is 'ftp://api.github.com'."),
    "GITHUB_APP_URL": ("https://", "is 'https://'. It has to be an address"),
    "GITHUB_CLIENT_ID": ("", "belong together. Missing: GITHUB_CLIENT_ID"),
    "GITHUB_CLIENT_SECRET": ("", "belong together. Missing: GITHUB_CLIENT_SECRET"),
    "GITHUB_APP_ID": ("", "The GitHub App is set up in part. Missing: GITHUB_APP_ID"),
    "GITHUB_APP_SLUG": ("", "The GitHub App is set up in part. Missing: GITHUB_APP_SLUG"),
    "GITHUB_APP_CLIENT_ID": ("", "Missing: GITHUB_APP_CLIENT_ID"),
    "GITHUB_APP_CLIENT_SECRET": ("", "Missing: GITHUB_APP_CLIENT_SECRET"),
    "GITHUB_APP_PRIVATE_KEY": (PASSWORD, "is no private key in PEM"),
    "SITE_URL": ("https://example.com/rollcall", "It has to be an address without a path"),
    "EMAIL_URL": (f"imap://u:{PASSWORD}@mail:25", "is 'imap:...'. It has to be SCHEME://"),
    "DEFAULT_FROM_EMAIL": ("Rollcall", "is 'Rollcall'. It has to be NAME <ADDRESS@HOST>"),
    "ACCOUNT_EMAIL_VERIFICATION": ("never", "It has to be one of mandatory, optional, none"),
    "LOG_LEVEL": ("LOUD", "is 'LOUD'. It has to be one of DEBUG"),
    "SENTRY_DSN": (PASSWORD, "is not valid. It has to be an address"),
    "SENTRY_TRACES_SAMPLE_RATE": ("2", "is '2'. It has to be a number from 0 to 1"),
}
# What may be any text.
FREE = {"SECRET_KEY", "GITHUB_WEBHOOK_SECRET", "METRICS_TOKEN", "SENTRY_ENVIRONMENT"}
BESIDE = {
    "DATABASE_POOL_SIZE": {"DATABASE_URL": "postgres://u:p@127.0.0.1/rollcall"},
    "SENTRY_TRACES_SAMPLE_RATE": {"SENTRY_DSN": "https://key@127.0.0.1/1"},
}


class TestEveryVariable:
    def test_each_is_checked_or_free(self) -> None:
        assert BAD.keys() | FREE == read_by_settings()
        assert not BAD.keys() & FREE

    def test_a_bad_value_stops_the_start(self) -> None:
        lines = start(*({**BESIDE.get(name, {}), name: BAD[name][0]} for name in BAD))
        unclear = {
            name: line
            for (name, (_, said)), line in zip(BAD.items(), lines, strict=True)
            if not (line.startswith("ImproperlyConfigured: ") and name in line and said in line)
        }
        assert unclear == {}
        assert PASSWORD not in "".join(lines)

    def test_the_readme_s_table_names_them_all(self) -> None:
        text = (REPOSITORY / "README.md").read_text()
        table = text.partition("## Configuration")[2].partition("\n## ")[0]
        named = {
            name
            for row in re.findall(r"^\| (`.*)$", table, re.MULTILINE)
            for name in re.findall(r"`([A-Z][A-Z_]+)`", row)
        }
        assert read_by_settings() - named == set()
