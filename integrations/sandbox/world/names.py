"""What people are called, in every way that has broken somebody's page.

Pure functions of a number; knows nothing of ids, logins or organisations.
"""

from __future__ import annotations

NAME_LENGTH_MAX = 255  # GitHub's limit on a profile name

GIVEN = (
    "Ada", "Alan", "Amina", "Barbara", "Carla", "Chidi", "Dana", "Edsger", "Elif", "Emil",
    "Fatima", "Frances", "Grace", "Hana", "Ines", "Ivan", "Jean", "Joan", "Karen", "Katherine",
    "Lars", "Leila", "Linus", "Margaret", "Mei", "Nadia", "Niklaus", "Olga", "Priya", "Radia",
    "Rosa", "Samir", "Shafi", "Sofia", "Tim", "Tomas", "Vera", "Wanda", "Yuki", "Zofia",
)  # fmt: skip
FAMILY = (
    "Allen", "Backus", "Bartik", "Berg", "Castro", "Dijkstra", "Easley", "Engel", "Fischer",
    "Goldberg", "Hamilton", "Holberton", "Hopper", "Ito", "Johnson", "Kahn", "Keller", "Kim",
    "Lamport", "Liskov", "Lovelace", "Meitner", "Mori", "Novak", "Okafor", "Perlman", "Rossi",
    "Sato", "Silva", "Spark", "Thompson", "Turing", "Vaughan", "Weber", "Wilson", "Wirth",
)  # fmt: skip
_ACCENTED = ("Amélie Dupré", "Łukasz Żółć", "Bjørn Ångström", "Çağla Şimşek", "Nguyễn Thị Ánh")
_RIGHT_TO_LEFT = ("محمد العلي", "ليلى حداد", "נועה כהן", "דוד בן־עמי")
_EAST_ASIAN = ("田中 さくら", "王小明", "김민준", "鈴木 一郎", "陳美玲")
_EMOJI = ("Kim 🚀", "👩🏽‍💻 Rosa", "🦄", "Ivan 🇧🇬 Petrov")
_MARKUP = ("<b>Bold</b>", "<script>alert('name')</script>", 'Rosa & "Rex" <rosa>', "{{ name }}")


def given_and_family(number: int) -> tuple[str, str]:
    return GIVEN[number % len(GIVEN)], FAMILY[number // len(GIVEN) % len(FAMILY)]


def display_name(number: int) -> str | None:
    """Return a profile name: mostly plain, one in ten missing, one in four awkward."""
    kind, pick = number % 100, number // 100
    awkward = _awkward_names(kind)
    if kind < 10:
        return None
    if kind == 10:
        return long_name(pick)
    if awkward:
        return awkward[pick % len(awkward)]
    return " ".join(given_and_family(number))


def long_name(number: int) -> str:
    """Return a name of exactly the greatest length GitHub takes."""
    words = " ".join(given_and_family(number + step)[0] for step in range(NAME_LENGTH_MAX))
    return f"{words[: NAME_LENGTH_MAX - 1]}x"


def _awkward_names(kind: int) -> tuple[str, ...]:
    if 11 <= kind < 16:
        return _RIGHT_TO_LEFT
    if 16 <= kind < 21:
        return _EAST_ASIAN
    if 21 <= kind < 26:
        return _ACCENTED
    if 26 <= kind < 29:
        return _EMOJI
    if kind == 29:
        return _MARKUP
    return ()
