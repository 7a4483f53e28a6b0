"""Numbers beyond reason in every address, query and form: never a fault of ours.

Python reads no number of more than 4,300 digits, no column takes more than nineteen, and "²" is a
digit to `str.isdigit`, but none to `int`.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import pytest
from allauth.account.models import EmailAddress
from django.db import transaction
from django.test import Client

from tests.processes import REPOSITORY
from tests.security.walk import addresses, plant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integrations.models import Team, User

pytestmark = pytest.mark.django_db

BEYOND_COLUMNS: Final = "9" * 30
NUMBERS: Final = (BEYOND_COLUMNS, "9" * 5_000, "\u00b2", "-1")
# A stream's own number is refused in tests/live; signing out would end the walk.
LEFT_OUT: Final = {"live", "ops_live", "account_logout", "logout"}


def names_that_are_read() -> list[str]:
    """Return the fields of every form, and the parameters that any view asks for."""
    forms = [path.read_text() for path in (REPOSITORY / "templates").rglob("*.html")]
    sources = [path.read_text() for path in (REPOSITORY / "integrations").rglob("*.py")]
    found = re.findall(r'\bname="([a-z_]+)"', "\n".join(forms))
    found += re.findall(
        r'(?:GET|POST|data|query)\.get(?:list)?\(\s*"([a-z_]+)"', "\n".join(sources)
    )
    return sorted(set(found))


@pytest.fixture
def examples(acme: Team, alice: User) -> dict[str, Any]:
    found = plant(acme, alice)
    alice.is_staff = alice.is_superuser = True
    alice.save(update_fields=["is_staff", "is_superuser"])
    return found


@pytest.fixture
def everything(examples: dict[str, Any], alice: User) -> Client:
    """Somebody who may do everything, and hears of a fault by its status."""
    client = Client(raise_request_exception=False)
    client.force_login(alice)
    EmailAddress.objects.create(user=alice, email=alice.email, verified=True, primary=True)
    return client


def paths(examples: dict[str, Any], number: str) -> Iterator[str]:
    """Yield each address as it is, and with the number in place of its own ones."""
    beyond = {part: number if isinstance(at, int) else at for part, at in examples.items()}
    for address in addresses():
        if address.name not in LEFT_OUT and not address.is_of_the_admin:
            yield from {address.path(examples), address.path(beyond)}


def test_the_fields_are_found() -> None:
    known = {"organization_id", "repository", "shown", "member", "ids", "page", "installation_id"}
    assert known <= set(names_that_are_read())


@pytest.mark.parametrize("number", NUMBERS, ids=["30 digits", "5,000 digits", "superscript", "-1"])
def test_no_number_is_a_fault_of_ours(
    everything: Client, examples: dict[str, Any], number: str
) -> None:
    fields = dict.fromkeys(names_that_are_read(), number)
    # What a form does is told by these: with a number in their place nothing else would be read.
    deeds: tuple[dict[str, str], ...] = ({}, {"decision": "remove"}, {"active": "true"})
    faults = []
    for path in paths(examples, number):
        for method, data in [("get", fields), *(("post", fields | deed) for deed in deeds)]:
            with transaction.atomic():
                response = getattr(everything, method)(path, data)
                transaction.set_rollback(True)
            # Other 5xx are true of what stands behind us: no worker, a GitHub that refuses.
            if response.status_code == HTTPStatus.INTERNAL_SERVER_ERROR:
                faults.append((method, path[:80]))
    assert faults == []
