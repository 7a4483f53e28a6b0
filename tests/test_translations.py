"""German, complete: every string there is, the same placeholders, and pages without English."""

from __future__ import annotations

import ast
import gettext
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polib
import pytest
from django.conf import settings
from django.template import engines
from django.template.base import Node, Template
from django.templatetags.i18n import BlockTranslateNode, TranslateNode
from django.urls import reverse
from django.utils import timezone, translation

from integrations.constants import SYNC_STATUS_CHOICES, MemberChangeKind, RunTrigger
from integrations.live.fragments import member_sync_event
from integrations.reasons import REASONS
from integrations.services import transitions
from integrations.services.runs import start_run
from tests.factories import GitHubIntegrationFactory, TeamMemberFactory, TrackedRepositoryFactory
from tests.processes import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.test import Client

    from integrations.models import GitHubIntegration, Team, User

CATALOGUE: Final = REPOSITORY / "integrations" / "locale" / "de" / "LC_MESSAGES" / "django.po"
TEMPLATES: Final = sorted((REPOSITORY / "templates").rglob("*.*"))
MODULES: Final = sorted(
    path
    for folder in ("integrations", "project")
    for path in (REPOSITORY / folder).rglob("*.py")
    if "sandbox" not in path.parts and "migrations" not in path.parts
)
MARKERS: Final = {"_", "gettext", "gettext_lazy", "ngettext"}
PLACEHOLDERS: Final = re.compile(r"%\(\w+\)[sd]|</?\w+[^>]*>")


@pytest.fixture(scope="module")
def german() -> polib.POFile:
    return polib.pofile(str(CATALOGUE))


def strings_of_module(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call) or getattr(node.func, "id", "") not in MARKERS:
            continue
        first = node.args[0] if node.args else None
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            yield first.value


def strings_of_template(path: Path) -> Iterator[str]:
    name = path.relative_to(REPOSITORY / "templates").as_posix()
    template: Template = engines["django"].get_template(name).template  # type: ignore[attr-defined]
    for node in template.nodelist.get_nodes_by_type(Node):
        if isinstance(node, TranslateNode):
            literal = node.filter_expression.var
            yield literal if isinstance(literal, str) else literal.literal
        elif isinstance(node, BlockTranslateNode):
            yield node.render_token_list(node.singular)[0]


class TestCatalogue:
    def test_every_string_has_its_german(self, german: polib.POFile) -> None:
        known = {entry.msgid for entry in german.translated_entries()}
        found = {(path.name, text) for path in MODULES for text in strings_of_module(path)}
        found |= {(path.name, text) for path in TEMPLATES for text in strings_of_template(path)}
        assert len(found) > 700
        assert {(name, text) for name, text in found if text not in known} == set()

    def test_no_template_translates_while_it_is_compiled(self) -> None:
        """`|yesno:_("Yes,No")` speaks the first reader's language for good."""
        assert [path.name for path in TEMPLATES if re.search(r":_\(", path.read_text())] == []

    def test_nothing_in_it_is_unfinished(self, german: polib.POFile) -> None:
        assert not german.fuzzy_entries()
        assert not german.untranslated_entries()
        assert not german.obsolete_entries()

    def test_each_keeps_its_placeholders_and_its_markup(self, german: polib.POFile) -> None:
        def marks(text: str) -> list[str]:
            return sorted(PLACEHOLDERS.findall(text))

        odd = [
            entry.msgid
            for entry in german
            if marks(entry.msgid_plural or entry.msgid)
            != marks(entry.msgstr_plural[1] if entry.msgid_plural else entry.msgstr)
        ]
        assert odd == []

    def test_the_compiled_one_says_the_same(self, german: polib.POFile) -> None:
        with CATALOGUE.with_suffix(".mo").open("rb") as file:
            compiled = gettext.GNUTranslations(file)
        for entry in german:
            if entry.msgid_plural:
                assert (
                    compiled.ngettext(entry.msgid, entry.msgid_plural, 2) == entry.msgstr_plural[1]
                )
            else:
                assert compiled.gettext(entry.msgid) == entry.msgstr


@pytest.mark.parametrize("code", sorted(REASONS))
def test_every_reason_is_told_in_german(code: str) -> None:
    english = REASONS[code].sentence
    with translation.override("de"):
        assert REASONS[code].sentence != english
        assert REASONS[code].mend.label


@pytest.mark.django_db
class TestPages:
    @pytest.fixture
    def made(self, acme: Team, alice: User) -> GitHubIntegration:
        """A team with something on each of its pages."""
        made: GitHubIntegration = GitHubIntegrationFactory(team=acme, onboarded_at=timezone.now())
        TeamMemberFactory(team=acme, two_factor_enabled=None)
        TeamMemberFactory(team=acme, is_active=False, left_at=timezone.now())
        TrackedRepositoryFactory(integration=made, is_tracked=True, is_archived=True)
        run = start_run(made, trigger=RunTrigger.MANUAL, person=alice).run
        transitions.fail(run, "saml_required")
        return made

    @pytest.mark.parametrize(
        "name",
        [
            "github_members", "github_repos", "github_history", "github_settings",
            "github_connection", "github_webhooks", "github_held", "onboarding_connect",
            "onboarding_done", "team_settings",
        ],
    )  # fmt: skip
    def test_none_of_their_words_is_english(
        self, client: Client, made: GitHubIntegration, alice: User, name: str, german: polib.POFile
    ) -> None:
        client.force_login(alice)
        response = client.get(reverse(name, args=["acme"]), headers={"accept-language": "de"})
        assert response.status_code == 200
        page = response.content.decode()
        assert '<html lang="de"' in page
        told = set(re.split(r"\s*<[^>]*>\s*", re.sub(r"\s+", " ", page)))
        told |= set(re.findall(r'(?:title|aria-label|placeholder)="([^"]*)"', page))
        english = {entry.msgid for entry in german if entry.msgid != entry.msgstr}
        same = {entry.msgstr for entry in german}
        assert (told & english) - same == set()

    def test_numbers_and_choices_are_german_as_well(
        self, client: Client, made: GitHubIntegration, alice: User
    ) -> None:
        client.force_login(alice)
        page = client.get(
            reverse("github_history", args=["acme"]), headers={"accept-language": "de"}
        ).content.decode()
        assert "Von Hand" in page
        with translation.override("de"):
            assert str(dict(SYNC_STATUS_CHOICES)["complete"]) == "Fertig"
            assert str(MemberChangeKind.JOINED.label) == "Beigetreten"

    def test_the_switch_is_remembered(self, client: Client) -> None:
        client.post(reverse("set_language"), {"language": "de", "next": "/"})
        assert '<html lang="de"' in client.get("/").content.decode()
        client.post(reverse("set_language"), {"language": "xx", "next": "https://evil.example/"})
        assert '<html lang="de"' in client.get("/").content.decode()

    def test_an_event_speaks_every_language(self, made: GitHubIntegration) -> None:
        run = made.runs.get()
        made.refresh_from_db()
        event: Any = member_sync_event(made, run)
        for code, _name in settings.LANGUAGES:
            assert f'lang="{code}"' in event.data
        assert "The last sync failed" in event.data
        assert "Der letzte Abgleich ist fehlgeschlagen" in event.data
        assert "Single Sign-on (SAML), bevor" in event.data
