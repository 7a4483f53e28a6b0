"""What a machine can check of the front: tokens, contrast, sizes, and what the policy forbids.

The colours are computed from `static/css/tokens.css` itself, so a change of hue is tested as well.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest
from django.template.loader import render_to_string
from django.utils import timezone

from integrations.live.cards import MemberSyncCard
from integrations.live.repository_cards import RepositorySyncCard
from tests.processes import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SCRIPT_LINES_MAX: Final = 60
SCRIPT_BYTES_MAX: Final = 30_000
TEMPLATE_LINES_MAX: Final = 150
STYLES: Final = sorted((REPOSITORY / "static" / "css").glob("*.css"))
SCRIPTS: Final = sorted((REPOSITORY / "static" / "js").glob("*.js"))
TEMPLATES: Final = sorted((REPOSITORY / "templates").rglob("*.html"))
TOKENS: Final = (REPOSITORY / "static" / "css" / "tokens.css").read_text()
TONES: Final = ("accent", "good", "warn", "bad")
GROUNDS: Final = ("surface", "surface-raised", "surface-sunken")
THEMES: Final = (0, 1)  # light, dark: their places in light-dark()
LIVE_STATES: Final = (
    "not_connected",
    "never",
    "pending",
    "syncing",
    "waiting",
    "complete",
    "error",
)


def name_of(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def without_comments(path: Path) -> str:
    return re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)


def files_with(pattern: str, paths: Iterable[Path]) -> list[str]:
    """Return the files in which the pattern is found."""
    return [name_of(path) for path in paths if re.search(pattern, path.read_text())]


@dataclass(frozen=True)
class Colour:
    """A colour in OKLCH, as tokens.css writes it."""

    lightness: float
    chroma: float
    hue_degrees: float

    @property
    def luminance(self) -> float:
        """Relative luminance of the colour in sRGB, where a screen clips it.

        https://bottosson.github.io/posts/oklab/ and https://www.w3.org/TR/WCAG22/#dfn-relative-luminance
        """
        a = self.chroma * math.cos(math.radians(self.hue_degrees))
        b = self.chroma * math.sin(math.radians(self.hue_degrees))
        long = (self.lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
        medium = (self.lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
        short = (self.lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
        red = 4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short
        green = -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short
        blue = -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short
        red, green, blue = (min(1.0, max(0.0, part)) for part in (red, green, blue))
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def roles() -> dict[str, tuple[Colour, Colour]]:
    """Return the opaque colour roles, each for light and for dark."""
    number = r"([\d.]+)"
    oklch = rf"oklch\({number}% {number} {number}\)"
    found = re.findall(rf"--([\w-]+): light-dark\({oklch}, {oklch}\)", TOKENS)
    return {
        name: (
            Colour(float(parts[0]) / 100, float(parts[1]), float(parts[2])),
            Colour(float(parts[3]) / 100, float(parts[4]), float(parts[5])),
        )
        for name, *parts in found
    }


def contrast(one: str, other: str, *, theme: int) -> float:
    """Return the contrast of two roles, 1 to 21, as WCAG defines it."""
    colours = roles()
    darker, lighter = sorted(colours[name][theme].luminance for name in (one, other))
    return (lighter + 0.05) / (darker + 0.05)


class TestTokens:
    def test_every_one_that_is_used_is_defined(self) -> None:
        styles = {path: without_comments(path) for path in STYLES}
        defined = set(re.findall(r"(--[\w-]+)\s*:", "".join(styles.values())))
        undefined = {
            f"{name_of(path)}: {name}"
            for path, text in styles.items()
            for name in re.findall(r"var\((--[\w-]+)\s*\)", text)
            if name not in defined
        }
        assert undefined == set()

    def test_every_one_that_is_defined_is_used(self) -> None:
        everything = "".join(map(without_comments, STYLES))
        defined = set(re.findall(r"^\s*(--[\w-]+):", TOKENS, re.MULTILINE))
        assert {name for name in defined if f"var({name})" not in everything} == set()

    def test_colour_values_are_here_and_nowhere_else(self) -> None:
        others = [path for path in STYLES if path.name != "tokens.css"]
        colour = r"#[0-9a-fA-F]{3,8}\b|\b(?:rgb|hsl|oklch|oklab|lch|lab)a?\("
        assert files_with(colour, others) == []

    def test_each_colour_has_a_light_and_a_dark_value(self) -> None:
        lines = [line for line in TOKENS.splitlines() if "oklch(" in line]
        assert [line for line in lines if "light-dark(" not in line] == []


@pytest.mark.parametrize("theme", THEMES, ids=["light", "dark"])
class TestContrast:
    """https://www.w3.org/TR/WCAG22/: 1.4.6 for words, 1.4.3 for the muted, 1.4.11 for lines."""

    @pytest.mark.parametrize("ground", [*GROUNDS, *(f"{tone}-soft" for tone in TONES)])
    def test_words_are_easy_to_read(self, ground: str, theme: int) -> None:
        assert contrast("ink", ground, theme=theme) >= 7

    @pytest.mark.parametrize("ground", [*GROUNDS, *(f"{tone}-soft" for tone in TONES)])
    def test_muted_words_are_readable(self, ground: str, theme: int) -> None:
        assert contrast("ink-muted", ground, theme=theme) >= 4.5

    @pytest.mark.parametrize("tone", TONES)
    def test_badges_are_readable(self, tone: str, theme: int) -> None:
        assert contrast(tone, f"{tone}-soft", theme=theme) >= 4.5

    @pytest.mark.parametrize("ground", GROUNDS)
    @pytest.mark.parametrize("tone", TONES)
    def test_toned_words_are_readable(self, tone: str, ground: str, theme: int) -> None:
        assert contrast(tone, ground, theme=theme) >= 4.5

    @pytest.mark.parametrize("ground", ["accent", "accent-strong", "bad"])
    def test_buttons_are_readable(self, ground: str, theme: int) -> None:
        ink = "bad-ink" if ground == "bad" else "accent-ink"
        assert contrast(ink, ground, theme=theme) >= 4.5

    @pytest.mark.parametrize("number", range(1, 7))
    def test_initials_are_easy_to_read(self, number: int, theme: int) -> None:
        assert contrast("ink", f"tint-{number}", theme=theme) >= 7

    @pytest.mark.parametrize("ground", GROUNDS)
    @pytest.mark.parametrize("line", ["line", "focus"])
    def test_edges_of_what_can_be_used_are_seen(self, line: str, ground: str, theme: int) -> None:
        assert contrast(line, ground, theme=theme) >= 3

    def test_progress_is_seen_on_its_track(self, theme: int) -> None:
        for tone in ("accent", "warn"):
            assert contrast(tone, "hairline", theme=theme) >= 3


class TestStyles:
    def test_each_file_lives_in_a_layer(self) -> None:
        others = [path for path in STYLES if path.name != "tokens.css"]
        layered = files_with(r"@layer (?:reset|base|components|utilities) \{", others)
        assert layered == [name_of(path) for path in others]

    def test_nothing_shouts_outside_the_utilities(self) -> None:
        assert files_with("!important", STYLES) in ([], ["static/css/utilities.css"])

    def test_each_file_is_linked(self) -> None:
        links = render_to_string("components/stylesheets.html")
        assert [path.name for path in STYLES if f"css/{path.name}" not in links] == []

    def test_motion_has_an_end_for_those_who_asked(self) -> None:
        moving = [path for path in STYLES if "infinite" in path.read_text()]
        assert files_with("prefers-reduced-motion", moving) == [name_of(path) for path in moving]


class TestScripts:
    def test_each_fits_a_screen(self) -> None:
        counts = {
            name_of(path): sum(1 for line in path.read_text().splitlines() if line.strip())
            for path in SCRIPTS
        }
        assert {name: n for name, n in counts.items() if n > SCRIPT_LINES_MAX} == {}

    def test_together_they_are_small(self) -> None:
        assert sum(path.stat().st_size for path in SCRIPTS) <= SCRIPT_BYTES_MAX

    def test_each_says_what_it_is_for(self) -> None:
        assert files_with(r"\A// ", SCRIPTS) == [name_of(path) for path in SCRIPTS]

    def test_they_bring_no_words_of_their_own_to_the_page(self) -> None:
        """Words stand in templates, where they can be translated; a script only puts HTML there."""
        assert files_with(r"\binnerHTML\b|\balert\(|\bconfirm\(", SCRIPTS) == []

    def test_they_import_only_each_other(self) -> None:
        names = {f"./{path.name}" for path in SCRIPTS}
        imported = {
            name
            for path in SCRIPTS
            for name in re.findall(r'^import .*?"([^"]+)";', path.read_text(), re.MULTILINE)
        }
        assert imported <= names


class TestTemplates:
    def test_each_is_short(self) -> None:
        counts = {name_of(path): len(path.read_text().splitlines()) for path in TEMPLATES}
        assert {name: n for name, n in counts.items() if n > TEMPLATE_LINES_MAX} == {}

    def test_none_has_an_inline_style(self) -> None:
        assert files_with(r"\sstyle=|<style\b", TEMPLATES) == []

    def test_none_has_an_inline_script(self) -> None:
        inline = r"<script(?![^>]*\bsrc=)|\son[a-z]+=[\"']|\shx-on|javascript:"
        assert files_with(inline, TEMPLATES) == []

    def test_none_asks_another_server_for_anything(self) -> None:
        assert files_with(r"""(?:src|<link[^>]*href)=["'](?:https?:)?//""", TEMPLATES) == []

    def test_partials_and_components_name_their_inputs(self) -> None:
        pieces = [path for path in TEMPLATES if path.parent.name in {"partials", "components"}]
        explained = files_with(r"\A\{(?:#|% comment %)", pieces)
        assert explained == [name_of(path) for path in pieces]


def pieces_of(name: str) -> set[str]:
    """Return a template and all that it includes."""
    text = (REPOSITORY / "templates" / name).read_text()
    included = re.findall(r"""{% include ["']([^"']+)["']""", text)
    return {name}.union(*map(pieces_of, included))


def member_card(state: str) -> MemberSyncCard:
    return MemberSyncCard(
        state=state,
        status="syncing",
        organization_login="acme",
        revision=7,
        seen_count=140,
        expected_count=None if state == "pending" else 231,
        resume_at=timezone.now(),
    )


class TestLivePieces:
    PARTIALS = (
        "integrations/partials/member_sync_progress.html",
        "integrations/partials/repository_sync_status.html",
    )

    @pytest.mark.parametrize("partial", PARTIALS)
    def test_they_are_the_same_for_every_viewer(self, partial: str) -> None:
        viewer = r"\brequest\b(?!,| and| or)|\buser\.|\bperms\b|csrf_token|can_edit|\{% url"
        found = {
            name: match.group()
            for name in pieces_of(partial)
            for text in [(REPOSITORY / "templates" / name).read_text()]
            if (match := re.search(viewer, re.sub(r"\{#.*?#\}", "", text)))
        }
        assert found == {}

    @pytest.mark.parametrize("state", LIVE_STATES)
    def test_the_card_speaks_in_every_state(self, state: str) -> None:
        text = render_to_string(self.PARTIALS[0], {"card": member_card(state)})
        assert text.count('id="member-sync-status"') == 1
        assert f'data-state="{state}"' in text
        assert 'data-revision="7"' in text
        assert 'role="status"' in text
        assert ('role="progressbar"' in text) is (state in {"pending", "syncing", "waiting"})

    @pytest.mark.parametrize("state", LIVE_STATES[1:])
    def test_the_line_speaks_in_every_state(self, state: str) -> None:
        card = RepositorySyncCard(
            repository_id=3,
            name="rocket",
            state=state,
            revision=7,
            completed_at=timezone.now(),
            ended_at=timezone.now(),
            resume_at=timezone.now(),
            people_count=14,
            error_sentence="It isn't there.",
        )
        text = render_to_string(self.PARTIALS[1], {"card": card})
        assert text.count('id="repository-3-sync"') == 1
        assert 'data-revision="7"' in text
        assert 'role="status"' in text

    def test_a_hostile_organisation_is_text(self) -> None:
        card = MemberSyncCard(
            state="syncing",
            status="syncing",
            organization_login='"><script>alert(1)</script>',
            revision=1,
        )
        text = render_to_string(self.PARTIALS[0], {"card": card})
        assert "<script>" not in text
        assert '="">' not in text
