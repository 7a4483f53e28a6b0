"""A way to fail, and what a person can press to mend it. The ways themselves: reasons.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise


class Mend(TextChoices):
    """What a person can press to mend a failure; the value names the button's partial."""

    RETRY = "retry", _("Try again")
    RECONNECT = "reconnect", _("Reconnect GitHub")
    CHOOSE_ORGANISATION = "choose_organisation", _("Choose the organisation again")
    AUTHORISE_SAML = "authorise_saml", _("Authorise on GitHub")
    ASK_OWNER = "ask_owner", _("Ask an owner")
    WAIT = "wait", _("Wait")


@dataclass(frozen=True)
class Reason:
    """One way to fail: what happened, what mends it, and whether the roster stayed untouched."""

    code: str
    words: StrOrPromise
    mend: Mend
    keeps: bool = False

    @property
    def sentence(self) -> str:
        """What happened and what still holds, in the reader's language."""
        return f"{self.words} {KEPT}" if self.keeps else str(self.words)


KEPT: Final = _("Your roster is as it was.")
