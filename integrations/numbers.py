"""Whole numbers as people, GitHub and addresses write them. Knows nothing of Django."""

from __future__ import annotations

from typing import Final

# What any bigint column takes. Python itself refuses to read thousands of digits.
DIGITS_MAX: Final = 18


def whole_number(text: str, *, digits_max: int = DIGITS_MAX) -> int | None:
    """Return what ASCII digits say; None for anything else, and for more digits than may be."""
    is_one = text.isascii() and text.isdigit() and len(text) <= digits_max
    return int(text) if is_one else None
