"""What the doctor finds: one line a thing looked at, good or not, and then what to mend."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

from integrations.masking import masked

GOOD: Final = "good"
WARN: Final = "warn"
BAD: Final = "bad"


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it is, and what to do when it is not well."""

    subject: str
    tone: str
    sentence: str
    mend: str = ""


def good(subject: str, sentence: str) -> Finding:
    return Finding(subject, GOOD, masked(sentence))


def warn(subject: str, sentence: str, mend: str) -> Finding:
    return Finding(subject, WARN, masked(sentence), masked(mend))


def bad(subject: str, sentence: str, mend: str) -> Finding:
    return Finding(subject, BAD, masked(sentence), masked(mend))


def as_line(finding: Finding) -> str:
    """Return it for a terminal; what to mend stands below."""
    line = f"{finding.tone:<5}{finding.subject:<16}{finding.sentence}"
    return f"{line}\n{'':<21}{finding.mend}" if finding.mend else line


def as_json(finding: Finding) -> dict[str, str]:
    return asdict(finding)
