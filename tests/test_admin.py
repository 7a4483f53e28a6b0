"""Django's admin: every model is there, and no token is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.apps import apps
from django.contrib import admin
from django.urls import reverse
from django.utils import timezone

from integrations.constants import InvitationOutcome, RunTrigger, TeamRole
from integrations.github.webhooks import Payload
from integrations.models import (
    DeliverySearch,
    HeldDeparture,
    InstallationRequest,
    Membership,
    OperatorAct,
    PausedQueue,
    User,
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

    from integrations.models import Team

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
    admin_client: Client, acme: Team, alice: User, bob: User
) -> None:
    membership = bob.memberships.get()
    TeamInvitationFactory(team=acme, email=bob.email)
    address = reverse("admin:integrations_membership_delete", args=[membership.pk])
    admin_client.post(address, {"post": "yes"})
    assert not bob.memberships.exists()
    assert acme.team_invitations.get().outcome == InvitationOutcome.WITHDRAWN
    other = acme.memberships.create(user=bob)
    admin_client.post(
        reverse("admin:integrations_membership_changelist"),
        {"action": "delete_selected", "_selected_action": [other.pk], "post": "yes"},
    )
    assert not bob.memberships.exists()


def select(client: Client, *memberships: Membership) -> str:
    """Have these deleted from the list of memberships, and return what the page says."""
    response = client.post(
        reverse("admin:integrations_membership_changelist"),
        {
            "action": "delete_selected",
            "_selected_action": [one.pk for one in memberships],
            "post": "yes",
        },
    )
    return response.content.decode()


def switch_off(client: Client, person: User, **fields: str) -> str:
    """Take "Active" from an account as an operator does, and return what the page says."""
    at = {f"{name}_{part}": "" for name in ("last_login", "date_joined") for part in (0, 1)}
    at |= {"date_joined_0": "2026-01-01", "date_joined_1": "10:00"}
    address = reverse("admin:integrations_user_change", args=[person.pk])
    return client.post(address, {"email": person.email, **at, **fields}).content.decode()


def sign_in_is_possible(person: User) -> bool:
    return User.objects.get(pk=person.pk).is_active


class TestTheLastAdmin:
    """As on the team's own page: a team keeps somebody who can sign in and administers it."""

    def test_stays_when_deleted(self, admin_client: Client, alice: User, bob: User) -> None:
        membership = alice.memberships.get()
        address = reverse("admin:integrations_membership_delete", args=[membership.pk])
        response = admin_client.post(address, {"post": "yes"})
        assert "is the last admin of Acme" in response.content.decode()
        assert "is the last admin of Acme" in select(admin_client, membership)
        assert alice.memberships.exists()

    def test_two_do_not_go_at_once(self, admin_client: Client, alice: User, bob: User) -> None:
        Membership.objects.filter(user=bob).update(role=TeamRole.ADMIN)
        mine, other = alice.memberships.get(), bob.memberships.get()
        assert "is the last admin of Acme" in select(admin_client, mine, other)
        assert Membership.objects.filter(pk__in=[mine.pk, other.pk]).count() == 2
        select(admin_client, mine)
        assert not alice.memberships.exists()

    def test_keeps_the_role(self, admin_client: Client, acme: Team, alice: User) -> None:
        membership = alice.memberships.get()
        admin_client.post(
            reverse("admin:integrations_membership_change", args=[membership.pk]),
            {"team": acme.pk, "user": alice.pk, "role": "member"},
        )
        admin_client.post(
            reverse("admin:integrations_team_change", args=[acme.pk]),
            {
                "name": "Acme", "slug": "acme", "memberships-TOTAL_FORMS": "1",
                "memberships-INITIAL_FORMS": "1", "memberships-0-id": membership.pk,
                "memberships-0-team": acme.pk, "memberships-0-user": alice.pk,
                "memberships-0-role": "member",
            },
        )  # fmt: skip
        assert alice.memberships.get().is_admin

    def test_is_not_switched_off(
        self, admin_client: Client, acme: Team, alice: User, bob: User
    ) -> None:
        assert "is the last admin of Acme" in switch_off(admin_client, alice)
        assert sign_in_is_possible(alice)
        # Another one who can't sign in is none.
        Membership.objects.filter(user=bob).update(role=TeamRole.ADMIN)
        User.objects.filter(pk=bob.pk).update(is_active=False)
        assert "is the last admin of Acme" in switch_off(admin_client, alice)
        User.objects.filter(pk=bob.pk).update(is_active=True)
        switch_off(admin_client, alice)
        assert not sign_in_is_possible(alice)
        assert "is the last admin of Acme" in switch_off(admin_client, bob)
        # Who is off already can be changed, and who administers nothing can be switched off.
        assert "is the last admin" not in switch_off(admin_client, alice, first_name="Al")
        alice.refresh_from_db()
        assert alice.first_name == "Al"

    def test_is_not_deleted_with_the_account(
        self, admin_client: Client, alice: User, bob: User
    ) -> None:
        address = reverse("admin:integrations_user_delete", args=[alice.pk])
        response = admin_client.post(address, {"post": "yes"})
        assert "Acme would have no admin" in response.content.decode()
        both = {
            "action": "delete_selected", "_selected_action": [alice.pk, bob.pk], "post": "yes",
        }  # fmt: skip
        Membership.objects.filter(user=bob).update(role=TeamRole.ADMIN)
        response = admin_client.post(reverse("admin:integrations_user_changelist"), both)
        assert "Acme would have no admin" in response.content.decode()
        assert User.objects.filter(pk__in=[alice.pk, bob.pk]).count() == 2
        admin_client.post(address, {"post": "yes"})
        assert not User.objects.filter(pk=alice.pk).exists()

    def test_others_can_be_added(self, admin_client: Client, acme: Team, charlie: User) -> None:
        admin_client.post(
            reverse("admin:integrations_membership_add"),
            {"team": acme.pk, "user": charlie.pk, "role": "admin"},
        )
        assert acme.is_administered_by(charlie)
