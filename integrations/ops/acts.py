"""What operators do is written down: who, what, to what, when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from integrations.constants import OperatorActKind
from integrations.masking import masked
from integrations.models import OperatorAct

if TYPE_CHECKING:
    from integrations.models import User

logger = structlog.get_logger(__name__)

COMMAND_LINE: Final = "command line"
SUBJECT_LENGTH: Final = 300


def note(person: User | None, kind: str, subject: str, *, count: int = 1) -> None:
    """Write an act down; without a person it was done from the command line.

    Raises ValueError for a kind that is none.
    """
    kind = OperatorActKind(kind).value
    by = COMMAND_LINE if person is None else person.email
    subject = masked(subject)[:SUBJECT_LENGTH]
    OperatorAct.objects.create(person=person, by=by, kind=kind, subject=subject, count=count)
    logger.info("operator act", by=by, kind=kind, subject=subject, count=count)
