"""What we depend on comes from the package index, in versions with a beginning and an end.

Known vulnerabilities are looked up by `pip-audit` (SECURITY.md), which needs the network.
"""

from __future__ import annotations

from importlib import metadata

import pytest
from packaging.requirements import Requirement

from tests.processes import REPOSITORY

FILES = ("requirements.txt", "requirements-dev.txt")


def lines_of(name: str) -> list[str]:
    read = (REPOSITORY / name).read_text().splitlines()
    stripped = (line.partition("#")[0].strip() for line in read)
    return [line for line in stripped if line and line != "-r requirements.txt"]


@pytest.mark.parametrize("line", [line for name in FILES for line in lines_of(name)])
def test_each_is_bounded_and_what_is_installed_is_within(line: str) -> None:
    """No other index, no address, no option: those would have a line that is no requirement."""
    found = Requirement(line)
    assert found.url is None
    [bound] = found.specifier
    assert bound.operator == "~=", "at least this release, and below the next that may break us"
    assert bound.version.count(".") >= 1
    assert metadata.version(found.name) in found.specifier


def test_none_is_named_twice() -> None:
    names = [Requirement(line).name.lower() for name in FILES for line in lines_of(name)]
    assert len(names) == len(set(names)) > 30
