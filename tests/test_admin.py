"""Django's admin: every model is there, and no token is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.apps import apps
from django.contrib import admin
from django.urls import reverse

from integrations.constants import RunTrigger
from integrations.services.roster import switch_member
from integrations.services.runs import start_run
from tests.factories import (
    GitHubIntegrationFactory,
    IntegrationCredentialFactory,
    TeamMemberFactory,
    TrackedRepositoryFactory,
)

if TYPE_CHECKING:
    from django.db.models import Model
    from django.test import Client

    from integrations.models import Team, User

pytestmark = pytest.mark.django_db

MODELS = list(apps.get_app_config("integrations").get_models())
PLANTED = "gho_planted_token"


@pytest.fixture
def rows(acme: Team, alice: User) -> str:
    """Rows of everything; returns the ciphertext of the planted token."""
    credential = IntegrationCredentialFactory(team=acme, access_token=PLANTED)
    integration = GitHubIntegrationFactory(team=acme, credential=credential)
    repository = TrackedRepositoryFactory(integration=integration)
    repository.people.create(github_id=1, github_username="ada", permission="read")
    switch_member(TeamMemberFactory(team=acme), active=False, person=alice)
    start_run(integration, trigger=RunTrigger.MANUAL, person=alice)
    return str(credential.encrypted_access_token)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
class TestEveryModel:
    def test_it_is_registered(self, model: type[Model]) -> None:
        assert admin.site.is_registered(model)

    def test_its_pages_show_no_token(
        self, model: type[Model], admin_client: Client, rows: str
    ) -> None:
        name = f"admin:integrations_{model._meta.model_name}"
        listed = admin_client.get(reverse(f"{name}_changelist"), {"q": "a"})
        assert listed.status_code == 200
        row = model._default_manager.first()
        assert row is not None
        shown = admin_client.get(reverse(f"{name}_change", args=[row.pk]))
        assert shown.status_code == 200
        for response in (listed, shown):
            assert PLANTED not in response.content.decode()
            assert rows not in response.content.decode()


def test_taking_somebody_out_of_a_team_goes_through_the_service(
    admin_client: Client, acme: Team, bob: User
) -> None:
    membership = bob.memberships.get()
    address = reverse("admin:integrations_membership_delete", args=[membership.pk])
    admin_client.post(address, {"post": "yes"})
    assert not bob.memberships.exists()
    other = acme.memberships.create(user=bob)
    admin_client.post(
        reverse("admin:integrations_membership_changelist"),
        {"action": "delete_selected", "_selected_action": [other.pk], "post": "yes"},
    )
    assert not bob.memberships.exists()
