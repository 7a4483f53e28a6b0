"""Alice and Bob at acme's pages, and Dora, whom Alice invites."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.core import mail
from django.urls import reverse

from integrations.constants import TeamRole
from integrations.services import invitations
from tests.factories import UserFactory
from tests.team.reading import link_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from integrations.models import Team, TeamInvitation, User


@pytest.fixture
def page(acme: Team) -> Callable[..., str]:
    """The address of one of acme's pages."""
    return lambda name, *args: reverse(name, args=[acme.slug, *args])


@pytest.fixture
def as_alice(client: Client, alice: User) -> Client:
    client.force_login(alice)
    return client


@pytest.fixture
def as_bob(client: Client, bob: User) -> Client:
    client.force_login(bob)
    return client


@pytest.fixture
def invited(acme: Team, alice: User) -> TeamInvitation:
    """An invitation that Alice sent to Dora."""
    return invitations.invite(acme, "dora@example.com", TeamRole.MEMBER, by=alice)


@pytest.fixture
def link(invited: TeamInvitation) -> str:
    return link_in(mail.outbox[-1])


@pytest.fixture
def dora(db: None) -> User:
    """A person with an account and no team."""
    dora: User = UserFactory(email="dora@example.com", first_name="Dora")
    return dora
