"""Rows for tests, one factory a model: required fields only, a test sets what it asserts on."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

from django.utils import timezone
from factory import LazyAttribute, LazyFunction, SelfAttribute, Sequence, SubFactory
from factory.django import DjangoModelFactory, Password

from integrations.constants import (
    ConnectionKind,
    MemberRole,
    MessageOutcome,
    RunKind,
    RunTrigger,
    TeamRole,
)
from integrations.models import (
    GitHubIntegration,
    IntegrationCredential,
    Membership,
    MessageAttempt,
    SyncRun,
    Team,
    TeamInvitation,
    TeamMember,
    TrackedRepository,
    User,
)

PASSWORD = "correct horse battery"


class UserFactory(DjangoModelFactory[User]):
    class Meta:
        model = User

    email = Sequence("person-{0}@example.com".format)
    password = Password(PASSWORD)


class TeamFactory(DjangoModelFactory[Team]):
    class Meta:
        model = Team

    name = Sequence("Team {0}".format)
    slug = Sequence("team-{0}".format)


class MembershipFactory(DjangoModelFactory[Membership]):
    class Meta:
        model = Membership

    team = SubFactory(TeamFactory)
    user = SubFactory(UserFactory)
    role = TeamRole.MEMBER


class TeamInvitationFactory(DjangoModelFactory[TeamInvitation]):
    """Open for a week; nobody knows its token."""

    class Meta:
        model = TeamInvitation

    team = SubFactory(TeamFactory)
    email = Sequence("invited-{0}@example.com".format)
    token_hash = Sequence("{0:064x}".format)
    expires_at = LazyFunction(lambda: timezone.now() + timedelta(days=7))


class IntegrationCredentialFactory(DjangoModelFactory[IntegrationCredential]):
    """A personal access token, really encrypted; the sandbox knows it as its demo owner's."""

    class Meta:
        model = IntegrationCredential

    team = SubFactory(TeamFactory)
    kind = ConnectionKind.TOKEN
    access_token = "ghp_sandbox_owner"
    scopes = "read:org repo user:email"
    github_user_id = Sequence(lambda number: 1_000 + number)
    github_username = "demo-owner"
    connected_at = LazyFunction(timezone.now)


class GitHubIntegrationFactory(DjangoModelFactory[GitHubIntegration]):
    """Connected, with an organisation chosen, never synced."""

    class Meta:
        model = GitHubIntegration

    team = SubFactory(TeamFactory)
    credential = SubFactory(IntegrationCredentialFactory, team=SelfAttribute("..team"))
    organization_id = Sequence(lambda number: 9_000_000 + number)
    organization_login = "acme"


class TrackedRepositoryFactory(DjangoModelFactory[TrackedRepository]):
    class Meta:
        model = TrackedRepository

    integration = SubFactory(GitHubIntegrationFactory)
    github_id = Sequence(lambda number: 5_000 + number)
    name = Sequence("repository-{0}".format)
    full_name = LazyAttribute(
        lambda repository: f"{repository.integration.organization_login}/{repository.name}"
    )


class TeamMemberFactory(DjangoModelFactory[TeamMember]):
    class Meta:
        model = TeamMember

    team = SubFactory(TeamFactory)
    github_id = Sequence(lambda number: 20_000 + number)
    github_username = Sequence("member-{0}".format)
    role = MemberRole.MEMBER
    joined_at = LazyFunction(timezone.now)
    updated_at = LazyFunction(timezone.now)


class SyncRunFactory(DjangoModelFactory[SyncRun]):
    """A run of the members, pending; `start_run` is the way to one with its subject moved too."""

    class Meta:
        model = SyncRun

    integration = SubFactory(GitHubIntegrationFactory)
    kind = RunKind.MEMBERS
    trigger = RunTrigger.MANUAL


class MessageAttemptFactory(DjangoModelFactory[MessageAttempt]):
    """A member sync's message that was worked on for 40 ms just now, and ended well."""

    class Meta:
        model = MessageAttempt

    message_id = LazyFunction(lambda: str(uuid4()))
    queue = "interactive"
    actor = "sync_github_members_task"
    outcome = MessageOutcome.DONE
    arguments = '{"args": [1], "kwargs": {}}'
    enqueued_at = LazyFunction(timezone.now)
    started_at = LazyFunction(timezone.now)
    finished_at = LazyFunction(timezone.now)
    waited_ms = 5
    ran_ms = 40
