"""`manage.py create_github_app`, against the sandbox's own pages."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

import pytest
import requests

from integrations.github import app_manifest
from integrations.github.errors import NotFound
from integrations.management.env_file import read_value, write_values
from tests.processes import Process, SandboxProcess

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.processes


def field(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found, page
    return html.unescape(found[1])


def action(page: str) -> str:
    found = re.search(r'action="([^"]*)"', page)
    assert found, page
    return html.unescape(found[1])


@pytest.fixture
def own_sandbox(tmp_path: Path) -> SandboxProcess:
    """A sandbox of this test alone: making an App replaces the one that there is."""
    sandbox = SandboxProcess(log_dir=tmp_path)
    sandbox.start()
    return sandbox


def test_from_nothing_to_an_app(
    tmp_path: Path, own_sandbox: SandboxProcess, wait_until: Callable[..., None]
) -> None:
    env_file = tmp_path / "rollcall.env"
    env_file.write_text("# Mine.\nDEBUG=true\nGITHUB_WEBHOOK_SECRET=old\n")
    command = Process(
        "manage.py", "create_github_app", "--no-browser", "--env-file", str(env_file),
        "--url", "https://rollcall.example.com", "--name", "Roster of Acme",
        name="create", log_dir=tmp_path,
        environment={
            "GITHUB_URL": own_sandbox.url, "GITHUB_API_URL": f"{own_sandbox.url}/api/v3",
        },
    )  # fmt: skip
    command.start()
    try:
        wait_until(lambda: "follow GitHub" in command.output, timeout_s=30)
        home = re.search(r"http://\S+/", command.output)
        assert home
        ours = requests.get(home[0], timeout=30).text
        # A callback that GitHub didn't make is refused, and the command waits on.
        forged = requests.get(f"{home[0]}callback?code=x&state=y", timeout=30)
        assert forged.status_code == 400
        manifest = {"manifest": field(ours, "manifest")}
        confirm = requests.post(action(ours), data=manifest, timeout=30).text
        answers = {name: field(confirm, name) for name in ("manifest", "state", "name")}
        back = requests.post(f"{own_sandbox.url}{action(confirm)}", data=answers, timeout=30)
        assert "Done" in back.text
        assert command.wait() == 0
    finally:
        command.stop()
        own_sandbox.stop()
    assert read_value(env_file, "GITHUB_APP_SLUG") == "roster-of-acme"
    assert "BEGIN RSA PRIVATE KEY" in read_value(env_file, "GITHUB_APP_PRIVATE_KEY")
    assert read_value(env_file, "GITHUB_WEBHOOK_SECRET").endswith(",old")
    assert env_file.read_text().startswith("# Mine.\nDEBUG=true\n")
    assert env_file.stat().st_mode & 0o077 == 0


def test_a_code_is_good_once(own_sandbox: SandboxProcess) -> None:
    try:
        with pytest.raises(NotFound):
            app_manifest.convert(api_url=f"{own_sandbox.url}/api/v3", code="used")
    finally:
        own_sandbox.stop()


def test_an_app_that_is_there_is_not_lost(tmp_path: Path) -> None:
    env_file = tmp_path / "rollcall.env"
    write_values(env_file, {"GITHUB_APP_ID": "7"})
    command = Process(
        "manage.py", "create_github_app", "--no-browser", "--env-file", str(env_file),
        name="create", log_dir=tmp_path, environment={},
    )  # fmt: skip
    command.start()
    assert command.wait() == 1
    assert "--replace" in command.output
    assert read_value(env_file, "GITHUB_APP_ID") == "7"


@pytest.mark.parametrize(
    ("url", "reachable"),
    [
        ("https://rollcall.example.com", True),
        ("https://8.8.8.8", True),
        ("http://127.0.0.1:8000", False),
        ("http://10.0.0.7", False),
        ("http://localhost:8000", False),
        ("http://rollcall", False),
    ],
)
def test_webhooks_are_asked_for_where_github_can_bring_them(url: str, reachable: bool) -> None:
    assert app_manifest.is_reachable(url) is reachable
