"""The words and looks that templates share: a state's tone and label, numbers, times, initials.

It knows values only: no request, no query.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from django import template
from django.templatetags.static import static
from django.urls import get_script_prefix
from django.utils.formats import date_format, number_format
from django.utils.html import format_html
from django.utils.safestring import mark_safe
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise
    from django.utils.safestring import SafeString

    from integrations.views.member_query import MemberQuery

register = template.Library()

# A card's state, a credential's status or a message's level to its colour role; colour never says
# it alone.
TONES: Final = {
    "pending": "accent",
    "syncing": "accent",
    "waiting": "warn",
    "complete": "good",
    "held": "warn",
    "cancelled": "neutral",
    "error": "bad",
    "active": "good",
    "revoked": "bad",
    "success": "good",
    "warning": "warn",
    "danger": "bad",
}
LABELS: Final[dict[str, _StrPromise]] = {
    "not_connected": _("Not connected"),
    "never": _("Not synced yet"),
    "pending": _("Waiting for a worker"),
    "syncing": _("Syncing"),
    "waiting": _("Waiting for GitHub"),
    "complete": _("Up to date"),
    "held": _("Waiting for a decision"),
    "cancelled": _("Cancelled"),
    "error": _("Sync failed"),
    "active": _("Active"),
    "revoked": _("Refused by GitHub"),
}
# What happened to a person, as a colour role.
CHANGE_TONES: Final = {
    "joined": "good",
    "returned": "good",
    "switched_on": "good",
    "left": "bad",
    "switched_off": "bad",
    "held": "warn",
    "promoted": "accent",
    "demoted": "accent",
}
FIELD_LABELS: Final[dict[str, _StrPromise]] = {
    "github_username": _("Login"),
    "name": _("Name"),
    "email": _("E-mail"),
    "role": _("Role"),
    "two_factor_enabled": _("2FA"),
}
# Why a whole list still proved nothing about who left: services/departures.py writes these codes.
DOUBTS: Final[dict[str, _StrPromise]] = {
    "people_skipped": _("Some people could not be read, so nobody was marked as having left."),
    "empty_list": _("GitHub's list was empty, so nobody was marked as having left."),
    "short_list": _(
        "GitHub's list was shorter than GitHub said it would be, so nobody was marked as having "
        "left."
    ),
    "membership_unknown": _(
        "GitHub doesn't tell this connection who is a member, so nobody was marked as having left."
    ),
    "list_disputed": _(
        "GitHub's list left out people who are members, so nobody was marked as having left."
    ),
}
DOUBT: Final = _("GitHub's list could not be trusted to the end, so nobody counts as having left.")
# Styles of `moment` that go by the second.
SCRIPTED: Final = frozenset({"countdown", "left"})
TINT_COUNT: Final = 6
MINUTE: Final = 60
HOUR: Final = 3_600


@register.filter
def tone(state: str) -> str:
    """Return the colour role of a state: accent, good, warn, bad or neutral."""
    return TONES.get(state, "neutral")


@register.filter
def state_label(state: str) -> str:
    """Return a state in words."""
    return str(LABELS.get(state, state))


@register.filter
def doubt(code: str) -> str:
    """Return the sentence for a reason why departures were not concluded."""
    return str(DOUBTS.get(code, DOUBT))


@register.filter
def change_tone(kind: str) -> str:
    """Return the colour role of a change of a person."""
    return CHANGE_TONES.get(kind, "neutral")


@register.filter
def moves(fields: dict[str, list[Any]]) -> list[tuple[str, str, str]]:
    """Return a change's fields as label, before and after, for people."""
    return [
        (str(FIELD_LABELS.get(name, name)), _value_words(before), _value_words(after))
        for name, (before, after) in fields.items()
    ]


def _value_words(value: Any) -> str:
    words = {True: gettext("On"), False: gettext("Off"), None: gettext("Unknown"), "": "–"}
    return words[value] if value in words else str(value)


@register.filter
def grouped(number: int | None) -> str:
    """Return a count as people read it: 2,310."""
    return "" if number is None else number_format(number, use_l10n=True, force_grouping=True)


@register.filter
def initials(name: str) -> str:
    """Return one or two letters for an avatar; a name without any letter gives a mark instead."""
    words = ["".join(filter(str.isalnum, word)) for word in name.split()]
    letters = [word[0].upper()[0] for word in words if word]
    return "".join(letters[:1] + letters[1:][-1:]) or "·"


@register.filter
def tint(number: int | None) -> int:
    """Return which of the tints an id has, 1 to 6: the same one everywhere."""
    return (number or 0) % TINT_COUNT + 1


@register.filter
def duration(length: timedelta) -> str:
    """Return a length of time as people say it, in its two largest units: "2 min 5 s"."""
    seconds = int(length.total_seconds())
    if seconds < MINUTE:
        return gettext("%(seconds)s s") % {"seconds": max(1, seconds)}
    if seconds < HOUR:
        parts = {"minutes": seconds // MINUTE, "seconds": seconds % MINUTE}
        return gettext("%(minutes)s min %(seconds)s s") % parts
    parts = {"hours": seconds // HOUR, "minutes": seconds % HOUR // MINUTE}
    return gettext("%(hours)s h %(minutes)s min") % parts


@register.filter
def words(text: str) -> list[str]:
    """Return the words of a text, to loop over."""
    return text.split()


@register.simple_tag
def moment(at: datetime | None, style: str = "date") -> SafeString | str:
    """Render `<time>`: UTC for those without scripts, which `times.js` puts in the reader's zone.

    Styles: relative ("2 hours ago"), upcoming ("tonight 02:10"), clock ("at 14:32"), date, and
    countdown and left ("12 s"), which only a script can show.
    """
    if at is None:
        return ""
    at = at.astimezone(UTC)
    if style in SCRIPTED or style == "date":
        words = date_format(at, "j M Y")
    elif style == "clock":
        words = date_format(at, "H:i") + " UTC"
    else:
        words = date_format(at, "j M Y, H:i") + " UTC"
    return format_html(
        '<time class="nowrap" datetime="{}" data-time="{}"{}>{}</time>',
        at.isoformat(timespec="seconds"),
        style,
        mark_safe(" hidden") if style in SCRIPTED else "",
        words,
    )


@register.simple_tag
def icon(name: str) -> SafeString:
    """Render an icon of `static/img/icons.svg`, which says nothing to a screen reader."""
    return _icon(name, get_script_prefix())


# Each time anew, its address alone was a seventh of a page.
@lru_cache(maxsize=256)
def _icon(name: str, _script_prefix: str) -> SafeString:
    return format_html(
        '<svg class="icon" aria-hidden="true" focusable="false"><use href="{}#{}"/></svg>',
        static("img/icons.svg"),
        name,
    )


@register.simple_tag
def address(query: MemberQuery, **changes: Any) -> str:
    """Return the address of the members page with some of its query changed."""
    return f"?{query.querystring(**changes)}"


@register.inclusion_tag("components/sort_header.html")
def sort_header(query: MemberQuery, column: str, label: str, *, size: str = "") -> dict[str, str]:
    """Render a column's heading as a link that sorts by it, or turns its order."""
    order = {column: "ascending", f"-{column}": "descending"}.get(query.sort, "")
    wanted = f"-{column}" if order == "ascending" else column
    return {
        "label": label,
        "size": size,
        "order": order,
        "address": address(query, sort=wanted),
    }
