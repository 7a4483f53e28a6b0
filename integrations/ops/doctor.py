"""The doctor: looks at everything from the environment to GitHub's answer, and says what to mend.

Each part ends by itself within seconds, whatever is away; what can't be asked is a finding too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from integrations.ops import doctor_github, doctor_parts, doctor_settings
from integrations.ops.findings import BAD, as_json, as_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integrations.ops.findings import Finding

__all__ = ["BAD", "as_json", "as_line", "examine"]


def examine() -> Iterator[Finding]:
    """Yield the findings as they come, from the settings outwards."""
    yield from doctor_settings.examine()
    yield from doctor_parts.examine()
    yield from doctor_github.examine()
