"""A scripted GitHub for each test, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integrations.github.http import GitHubClient
from tests.github.scripted import ScriptedGitHub, scripted_github

TOKEN = "ghp_alicesToken0123456789"


@pytest.fixture
def github() -> Iterator[ScriptedGitHub]:
    with scripted_github() as scripted:
        yield scripted


@pytest.fixture
def client(github: ScriptedGitHub) -> GitHubClient:
    return GitHubClient(token=TOKEN, api_url=github.api_url)
