"""systemd's units, the container file and compose.yaml run what the Procfile runs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from tests.processes import REPOSITORY
from tests.security.production import web_command

if TYPE_CHECKING:
    from pathlib import Path

DEPLOY: Final = REPOSITORY / "docs" / "deploy"
UNITS: Final = sorted((DEPLOY / "systemd").iterdir())
PLACE: Final = "/opt/rollcall"
SERVICES: Final = {
    "web": "rollcall-web@.service",
    "worker": "rollcall-worker@.service",
    "scheduler": "rollcall-scheduler.service",
}
# What the Procfile's own words for where to listen are elsewhere.
LISTENING: Final = {
    "systemd": ("--host 0.0.0.0 --port ${PORT:-8000}", "--host 127.0.0.1 --port %i"),
    "container": ("", ""),
}


def procfile() -> dict[str, str]:
    lines = (REPOSITORY / "Procfile").read_text().splitlines()
    return dict(line.split(": ", 1) for line in lines if line)


def settings_of(unit: Path) -> dict[str, list[str]]:
    """Return a unit's settings by name, each with all its values in order."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        if line and line[0] not in "#[":
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def without_environment(command: str) -> tuple[dict[str, str], str]:
    """Split `env NAME=VALUE command` in two."""
    words = command.split()
    if words[0] != "env":
        return {}, command
    given = [word for word in words[1:] if re.fullmatch(r"\w+=\w+", word)]
    return dict(word.split("=") for word in given), " ".join(words[1 + len(given) :])


def test_the_web_process_leaves_the_proxy_s_headers_to_django() -> None:
    """uvicorn would believe 127.0.0.1, whatever TRUSTED_PROXY_COUNT says."""
    for command in (procfile()["web"], " ".join(web_command(1))):
        assert "--no-proxy-headers" in command.split()


class TestUnits:
    @pytest.mark.parametrize("name", SERVICES)
    def test_each_runs_the_procfile_s_command(self, name: str) -> None:
        unit = settings_of(DEPLOY / "systemd" / SERVICES[name])
        environment, command = without_environment(procfile()[name])
        [ours] = unit["ExecStart"]
        assert ours.removeprefix(f"{PLACE}/.venv/bin/") == command.replace(*LISTENING["systemd"])
        assert unit.get("Environment", []) == [f"{n}={v}" for n, v in environment.items()]

    def test_the_release_does_what_the_procfile_s_does(self) -> None:
        unit = settings_of(DEPLOY / "systemd" / "rollcall-release.service")
        ours = [line.removeprefix(f"{PLACE}/.venv/bin/") for line in unit["ExecStart"]]
        assert " && ".join(ours) == procfile()["release"]

    @pytest.mark.parametrize("name", SERVICES)
    def test_each_comes_back_and_has_the_time_to_go(self, name: str) -> None:
        unit = settings_of(DEPLOY / "systemd" / SERVICES[name])
        assert unit["Restart"] == ["always"]
        command = procfile()[name]
        graceful_s = [int(n) for n in re.findall(r"graceful-shutdown (\d+)", command)]
        graceful_s += [
            int(n) // 1000 for n in re.findall(r"worker-shutdown-timeout (\d+)", command)
        ]
        assert int(unit["TimeoutStopSec"][0]) > max(graceful_s, default=0) + 10

    @pytest.mark.parametrize("unit", [u for u in UNITS if "EnvironmentFile" in u.read_text()])
    def test_each_of_ours_has_no_more_rights_than_it_needs(self, unit: Path) -> None:
        found = settings_of(unit)
        assert found["User"] == ["rollcall"]
        for name in ("NoNewPrivileges", "PrivateTmp", "ProtectHome", "RestrictNamespaces"):
            assert found[name] == ["yes"], name
        assert found["ProtectSystem"] == ["strict"]
        assert found["CapabilityBoundingSet"] == [""]

    def test_the_backup_may_write_where_it_writes(self) -> None:
        unit = settings_of(DEPLOY / "systemd" / "rollcall-backup.service")
        [place] = unit["ReadWritePaths"]
        assert unit["ExecStart"] == [f"{PLACE}/.venv/bin/python manage.py backup {place}/"]
        assert f" {place} " in unit["ExecStartPost"][0]
        assert (DEPLOY / "systemd" / "rollcall-backup.timer").exists()

    def test_the_target_wants_each_of_them(self) -> None:
        wanted = " ".join(settings_of(DEPLOY / "systemd" / "rollcall.target")["Wants"]).split()
        assert {re.sub(r"@\w+", "@", name) for name in wanted} >= set(SERVICES.values())
        upstream = re.findall(r"server 127.0.0.1:(\d+)", (DEPLOY / "nginx.conf").read_text())
        assert [n for n in wanted if "web@" in n] == [f"rollcall-web@{p}.service" for p in upstream]

    @pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
    def test_systemd_understands_them(self, tmp_path: Path) -> None:
        """The same files, with a Python that is there; systemd looks for what they start."""
        for unit in UNITS:
            text = unit.read_text()
            text = text.replace(f"{PLACE}/.venv/bin/python", sys.executable)
            text = text.replace(f"{PLACE}/.venv/bin/uvicorn", sys.executable)
            (tmp_path / unit.name).write_text(text)
        names = [str(tmp_path / unit.name.replace("@.", "@1.")) for unit in UNITS]
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", *names], capture_output=True, text=True,
            env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"}, timeout=60, check=False,
        )  # fmt: skip
        ours = [line for line in done.stderr.splitlines() if "rollcall" in line]
        assert (done.returncode, ours) == (0, []), done.stderr


def instructions() -> list[tuple[str, str]]:
    text = (DEPLOY / "Containerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


class TestContainerfile:
    def test_it_runs_the_procfile_s_web_process(self) -> None:
        [command] = [yaml.safe_load(rest) for word, rest in instructions() if word == "CMD"]
        assert command == ["sh", "-c", f"exec {procfile()['web']}"]

    def test_it_copies_what_there_is_and_nothing_secret(self) -> None:
        copied = [rest.split() for word, rest in instructions() if word == "COPY"]
        own = [words[0] for words in copied if not words[0].startswith("--from")]
        assert own == [
            "requirements.txt", "manage.py", "project", "integrations", "templates", "static",
        ]  # fmt: skip
        assert all((REPOSITORY / name).exists() for name in own)

    def test_nobody_in_it_is_root(self) -> None:
        words = [word for word, _ in instructions()]
        assert dict(instructions())["USER"] == "10001"
        # Whatever needs root stands before it.
        assert set(words[words.index("USER") + 1 :]) <= {
            "EXPOSE",
            "STOPSIGNAL",
            "HEALTHCHECK",
            "CMD",
        }

    def test_its_static_files_can_be_made_without_any_setting(self, tmp_path: Path) -> None:
        [command] = [rest for word, rest in instructions() if "collectstatic" in rest]
        for _, rest in instructions():
            names = rest.split()
            if rest.startswith(("manage.py", "project", "integrations", "templates", "static")):
                (tmp_path / names[0]).symlink_to(REPOSITORY / names[0])
        # These two look for their own place, which is to be there.
        for name in ("project", "manage.py"):
            (tmp_path / name).unlink()
        shutil.copytree(REPOSITORY / "project", tmp_path / "project")
        shutil.copy(REPOSITORY / "manage.py", tmp_path)
        subprocess.run(
            ["sh", "-ec", command], cwd=tmp_path, check=True, timeout=60, capture_output=True,
            env={"PATH": f"{shlex.quote(os.path.dirname(sys.executable))}:/usr/bin:/bin"},
        )  # fmt: skip
        made = tmp_path / "staticfiles" / "staticfiles.json"
        assert made.exists()

    def test_its_health_check_reads_the_health_page(self) -> None:
        [rest] = [rest for word, rest in instructions() if word == "HEALTHCHECK"]
        _, flag, script = yaml.safe_load(rest.partition("CMD ")[2])
        assert flag == "-c"
        assert "/healthz" in script
        compile(script, "HEALTHCHECK", "exec")


class TestCompose:
    @pytest.fixture
    def services(self) -> dict[str, Any]:
        found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
        return found

    @pytest.mark.parametrize("name", ["worker", "scheduler"])
    def test_each_runs_the_procfile_s_command(self, services: dict[str, Any], name: str) -> None:
        environment, command = without_environment(procfile()[name])
        assert services[name]["command"] == command
        assert environment.items() <= services[name]["environment"].items()

    def test_web_runs_what_the_image_runs(self, services: dict[str, Any]) -> None:
        assert "command" not in services["web"]

    def test_each_waits_for_the_migrations(self, services: dict[str, Any]) -> None:
        for name in ("web", "worker", "scheduler"):
            assert services[name]["depends_on"] == {
                "release": {"condition": "service_completed_successfully"}
            }
        assert services["release"]["command"] == procfile()["release"].split(" && ")[0]
