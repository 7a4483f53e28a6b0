"""Django's admin: every model is there, and no token is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.apps import apps
from django.contrib import admin
from django.urls import reverse
from django.utils import timezone

from integrations.constants import RunTrigger
from integrations.github.webhooks import Payload
from integrations.models import (
    DeliverySearch,
    HeldDeparture,
    InstallationRequest,
    OperatorAct,
    PausedQueue,
)
from integrations.services.runs import start_run
from integrations.services.switching import switch_member
from integrations.services.webhooks import intake
from tests.factories import (
    GitHubIntegrationFactory,
    IntegrationCredentialFactory,
    MessageAttemptFactory,
    TeamInvitationFactory,
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
def rows(acme: Team, alice: User) -> list[str]:
    """Rows of everything; returns the ciphertexts of the planted tokens, and a hash."""
    credential = IntegrationCredentialFactory(team=acme, access_token=PLANTED)
    integration = GitHubIntegrationFactory(team=acme, credential=credential)
    repository = TrackedRepositoryFactory(integration=integration)
    credential.refresh_token = PLANTED
    credential.save()
    repository.people.create(github_id=1, github_username="ada", permission="read")
    switch_member(TeamMemberFactory(team=acme), active=False, person=alice)
    run = start_run(integration, trigger=RunTrigger.MANUAL, person=alice).run
    run.planned_changes.create(github_id=1, github_username="ada", kind="joined")
    HeldDeparture.objects.create(member=TeamMemberFactory(team=acme), held_at=timezone.now())
    InstallationRequest.objects.create(
        team=acme, person=alice, github_user_id=1, github_username="ada",
        requested_at=timezone.now(),
    )  # fmt: skip
    payload = Payload("ping", {"zen": "Approachable is better than simple."})
    intake.store(payload, guid="a-1", body=b"{}", headers={}, secret_index=0)
    DeliverySearch.objects.create()
    acme.saved_filters.create(user=alice, name="a", querystring="q=a")
    acme.invitations.create(github_id=1, github_username="ada")
    acme.outside_collaborators.create(github_id=1, github_username="ada")
    acme.verified_emails.create(github_id=1, email="ada@example.com")
    acme.organization_teams.create(github_id=1, name="Core", slug="a").people.create(github_id=1)
    MessageAttemptFactory(actor="a")
    OperatorAct.objects.create(by="alice", kind="pause", subject="webhooks")
    PausedQueue.objects.create(queue="webhooks", paused_by=alice)
    token_hash = TeamInvitationFactory(team=acme, invited_by=alice).token_hash
    return [
        credential.encrypted_access_token,
        credential.encrypted_refresh_token,
        token_hash,
    ]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
class TestEveryModel:
    def test_it_is_registered(self, model: type[Model]) -> None:
        assert admin.site.is_registered(model)

    def test_its_pages_show_no_token(
        self, model: type[Model], admin_client: Client, rows: list[str]
    ) -> None:
        name = f"admin:integrations_{model._meta.model_name}"
        listed = admin_client.get(reverse(f"{name}_changelist"), {"q": "a"})
        assert listed.status_code == 200
        row = model._default_manager.first()
        assert row is not None
        shown = admin_client.get(reverse(f"{name}_change", args=[row.pk]))
        assert shown.status_code == 200
        for response in (listed, shown):
            for secret in (PLANTED, *rows):
                assert secret not in response.content.decode()


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
