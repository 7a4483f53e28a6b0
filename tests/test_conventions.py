"""The rules of the house that a machine can check."""

from __future__ import annotations

import ast
import re
import socket
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.environment import NetworkClosed, Surroundings
from tests.processes import REPOSITORY

MODULE_LINES_MAX = 300
FUNCTION_LINES_MAX = 50
STATUS_FIELDS = {"member_sync_status", "sync_status"}
# The one writer, and where a field is declared rather than written.
MAY_NAME_A_STATUS = ("integrations/services/transitions.py", "integrations/models/")
MAY_ASK_FOR_DEBUG = {
    "project/settings.py",
    "project/urls.py",
    "integrations/urls.py",
    # Warns of it.
    "integrations/ops/doctor_settings.py",
}


def modules(*folders: str) -> list[Path]:
    found = [path for folder in folders for path in sorted((REPOSITORY / folder).rglob("*.py"))]
    return [path for path in found if "migrations" not in path.parts]


PRODUCT = modules("integrations", "project")
EVERYTHING = [*PRODUCT, *modules("tests", "bench"), REPOSITORY / "manage.py"]


def name_of(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def functions_of(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def status_writes(tree: ast.AST) -> Iterator[int]:
    """Yield the lines that assign a status attribute or hand one to `update()` or a `create()`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if node.attr in STATUS_FIELDS:
                yield node.lineno
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            writes = node.func.attr.endswith(("update", "create", "update_or_create"))
            if writes and any(keyword.arg in STATUS_FIELDS for keyword in node.keywords):
                yield node.lineno
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            named = [a.value for a in node.args if isinstance(a, ast.Constant)]
            if node.func.id == "setattr" and STATUS_FIELDS & set(map(str, named)):
                yield node.lineno


class TestEveryModule:
    """Each rule names all that break it at once."""

    def test_it_says_what_it_owns(self) -> None:
        silent = [
            name_of(path)
            for path in EVERYTHING
            if path.read_text().strip() and not ast.get_docstring(tree_of(path))
        ]
        assert silent == []

    def test_its_functions_fit_a_screen(self) -> None:
        long = {
            f"{name_of(path)}:{function.name}": length
            for path in EVERYTHING
            for function in functions_of(tree_of(path))
            if (length := (function.end_lineno or 0) - function.lineno + 1) > FUNCTION_LINES_MAX
        }
        assert long == {}

    def test_it_imports_at_the_top(self) -> None:
        inner = [
            f"{name_of(path)}:{node.lineno}"
            for path in EVERYTHING
            for function in functions_of(tree_of(path))
            for node in ast.walk(function)
            if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        assert inner == []


class TestEveryModuleOfTheProduct:
    def test_it_is_short(self) -> None:
        counts = {name_of(path): len(path.read_text().splitlines()) for path in PRODUCT}
        assert {name: n for name, n in counts.items() if n > MODULE_LINES_MAX} == {}

    def test_it_leaves_the_status_to_transitions(self) -> None:
        writers = [
            f"{name_of(path)}:{line}"
            for path in PRODUCT
            if not name_of(path).startswith(MAY_NAME_A_STATUS)
            for line in status_writes(tree_of(path))
        ]
        assert writers == []

    def test_it_does_not_ask_whether_this_is_development(self) -> None:
        asking = [name_of(path) for path in PRODUCT if "settings.DEBUG" in path.read_text()]
        assert set(asking) <= MAY_ASK_FOR_DEBUG


class TestStatusWrites:
    """The search itself finds what it is for."""

    @pytest.mark.parametrize(
        "line",
        [
            "row.sync_status = 'error'",
            "rows.update(member_sync_status='error')",
            "Model.objects.create(sync_status='error')",
            "setattr(row, 'sync_status', 'error')",
        ],
    )
    def test_it_finds_a_write(self, line: str) -> None:
        assert list(status_writes(ast.parse(line))) == [1]

    @pytest.mark.parametrize("line", ["row.sync_status", "rows.filter(sync_status='error')"])
    def test_it_lets_reading_pass(self, line: str) -> None:
        assert list(status_writes(ast.parse(line))) == []


class TestEnvironment:
    EXAMPLE = REPOSITORY / ".env.example"

    def read_by_settings(self) -> set[str]:
        text = "".join(path.read_text() for path in modules("project"))
        return set(re.findall(r'\benv(?:\.\w+)?\(\s*"([A-Z][A-Z_]+)"', text))

    def explained(self) -> set[str]:
        return set(re.findall(r"^#?([A-Z][A-Z_]+)=", self.EXAMPLE.read_text(), re.MULTILINE))

    def test_the_example_explains_every_variable_and_no_other(self) -> None:
        # PORT is the Procfile's own.
        assert self.explained() == self.read_by_settings() | {"PORT"}

    def test_every_variable_has_words_above_it(self) -> None:
        above = ""
        for line in self.EXAMPLE.read_text().splitlines():
            assert not re.match(r"#?[A-Z][A-Z_]+=", line) or above.startswith("#"), line
            above = line


class TestTheRepository:
    # Spelled in two parts, so that this file passes its own test.
    FOREIGN = re.compile("/" + r"(?:home|work|root|Users)/\w")

    def test_it_names_no_path_of_a_machine(self) -> None:
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
            cwd=REPOSITORY, capture_output=True, text=True, check=True,
        ).stdout.splitlines()  # fmt: skip
        texts = {
            name: (REPOSITORY / name).read_bytes().decode(errors="replace")
            for name in listed
            if (REPOSITORY / name).is_file()
        }
        assert [name for name, text in texts.items() if self.FOREIGN.search(text)] == []

    def test_the_makefile_s_targets_are_short_and_explained(self) -> None:
        targets: dict[str, int] = {}
        for line in (REPOSITORY / "Makefile").read_text().splitlines():
            if match := re.match(r"([a-z]+):[^=]*## \S", line):
                name = match.group(1)
                targets[name] = 0
            elif line.startswith("\t") and targets:
                targets[name] += 1
            elif line.startswith("$("):
                break
        assert {"run", "test", "lint", "bench", "screenshots", "help"} <= targets.keys()
        assert max(targets.values()) <= 3


class TestNetwork:
    """No test can reach beyond this machine, whichever library it uses."""

    @pytest.mark.parametrize("host", ["192.0.2.1", "8.8.8.8", "2001:db8::1"])
    def test_an_address_elsewhere_is_refused(self, host: str) -> None:
        with pytest.raises(NetworkClosed), socket.socket(family_of(host)) as connection:
            connection.connect((host, 80))

    def test_a_name_is_not_even_looked_up(self) -> None:
        with pytest.raises(NetworkClosed):
            socket.getaddrinfo("api.github.com", 443)

    def test_this_machine_can_be_reached(self, surroundings: Surroundings) -> None:
        with socket.create_connection(("127.0.0.1", surroundings.valkey.port), timeout=5):
            pass


def family_of(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
