"""A team with something on each of its pages, and the addresses of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.urls import reverse
from django.utils import timezone

from integrations.constants import (
    SYNC_STATUS_COMPLETE,
    DeactivatedBy,
    MemberChangeKind,
    OperatorActKind,
    RunKind,
    RunTrigger,
)
from integrations.models import (
    HeldDeparture,
    MemberChange,
    OperatorAct,
    RepositoryAccess,
    SavedMemberFilter,
    TeamInvitation,
)
from integrations.ops.message_shapes import DEAD
from integrations.services import transitions
from integrations.services.runs import start_run
from tests.factories import (
    GitHubIntegrationFactory,
    MembershipFactory,
    MessageAttemptFactory,
    SyncRunFactory,
    TeamMemberFactory,
    TrackedRepositoryFactory,
)
from tests.ops import letters

if TYPE_CHECKING:
    from integrations.models import (
        GitHubIntegration,
        SyncRun,
        Team,
        TeamMember,
        TrackedRepository,
        User,
    )

STYLEGUIDE: Final = "/styleguide/"
NOWHERE: Final = "/nowhere/"
# Names that have broken pages elsewhere: markup, a writing direction, no break, look-alikes.
HOSTILE_NAMES: Final = (
    "<img src=x onerror=alert(1)><script>alert('Rollcall')</script>",
    "\u202egnp.exe\u202c \u0645\u0631\u062d\u0628\u0627",
    "x" * 255,
    "🧑‍🚀 Zoë 🇫🇮 &amp; {{ 7*7 }}",
    "раypal-аdmin",
    "محمد الأمين",
    '"><svg/onload=alert(1)>',
)


PAGES: Final = (
    "github_members", "github_repos", "github_history", "github_settings",
    "github_connection", "github_webhooks", "github_held", "onboarding_connect",
    "onboarding_repositories", "onboarding_done", "team_settings",
)  # fmt: skip


@dataclass(frozen=True)
class Everything:
    """The addresses, for the anonymous and for the team's admin."""

    public: list[str]
    inside: list[str]


def fill(team: Team, admin: User) -> Everything:
    """Make rows of everything a page can show, and return the addresses that show it."""
    now = timezone.now()
    integration = GitHubIntegrationFactory(
        team=team, onboarded_at=now, member_sync_status=SYNC_STATUS_COMPLETE,
        member_sync_completed_at=now, member_sync_started_at=now - timedelta(seconds=90),
        member_sync_result={"created": 3, "updated": 1, "departed": 2, "held": 1},
    )  # fmt: skip
    member, gone = _people(team)
    repository = _repository(integration, reached_by=[member, gone])
    runs = _runs(integration, admin, member=member, repository=repository)
    SavedMemberFilter.objects.create(team=team, user=admin, name="Owners", querystring="role=admin")
    MembershipFactory(team=team)
    TeamInvitation.objects.create(
        team=team, email="new@example.com", token_hash="x", expires_at=now + timedelta(days=7)
    )
    shown = [
        *(("github_run", run.pk) for run in runs),
        ("github_member", member.pk),
        ("github_member", gone.pk),
        ("github_repo", repository.pk),
    ]
    return Everything(
        public=[
            "/", reverse("account_login"), reverse("account_signup"),
            reverse("account_reset_password"), "/invitations/unknown/",
        ],
        inside=[
            *(reverse(name, args=[team.slug]) for name in PAGES),
            reverse("github_members", args=[team.slug]) + "?q=nobody-at-all",
            reverse("github_members", args=[team.slug]) + "?active=all&sort=-name",
            reverse("github_history", args=[team.slug]) + "?show=changes",
            *(reverse(name, args=[team.slug, key]) for name, key in shown),
            reverse("team_new"), reverse("account_email"), reverse("account_change_password"),
            STYLEGUIDE, NOWHERE, *_operations(admin),
        ],
    )  # fmt: skip


def _operations(admin: User) -> list[str]:
    """Make the admin an operator as well; return the operators' addresses."""
    admin.is_staff = True
    admin.save(update_fields=["is_staff"])
    attempt = MessageAttemptFactory(arguments=HOSTILE_NAMES[0], traceback=HOSTILE_NAMES[2] * 4)
    OperatorAct.objects.create(
        person=admin, by=admin.email, kind=OperatorActKind.DELETE, subject=HOSTILE_NAMES[2]
    )
    letters.put_raw(b"\x80<b>nonsense", state=DEAD)
    listing = reverse("ops_messages")
    return [
        reverse("ops"), f"{reverse('ops_runs')}?state=failed", f"{listing}?state=dead",
        reverse("ops_message", args=[attempt.message_id]), reverse("ops_acts"),
    ]  # fmt: skip


def _people(team: Team) -> tuple[TeamMember, TeamMember]:
    """Make people of every kind; return an owner, and one who left."""
    for number, name in enumerate(HOSTILE_NAMES):
        TeamMemberFactory(
            team=team, name=name, email=f"p{number}@example.com" if number else "=cmd|' /C'!A0",
            two_factor_enabled=(True, False, None)[number % 3], avatar_url="https://evil.example/a",
        )  # fmt: skip
    owner: TeamMember = TeamMemberFactory(team=team, name="Ada Lovelace", role="admin")
    gone: TeamMember = TeamMemberFactory(
        team=team, is_active=False, left_at=timezone.now(), deactivated_by=DeactivatedBy.SYNC
    )
    return owner, gone


def _repository(
    integration: GitHubIntegration, *, reached_by: list[TeamMember]
) -> TrackedRepository:
    made: TrackedRepository = TrackedRepositoryFactory(
        integration=integration, is_tracked=True, is_private=True, is_archived=True,
        html_url="https://github.com/acme/rocket", description=HOSTILE_NAMES[0],
    )  # fmt: skip
    for one in reached_by:
        RepositoryAccess.objects.create(
            repository=made, github_id=one.github_id, github_username="x", permission="admin"
        )
    return made


def _runs(
    integration: GitHubIntegration, admin: User, *, member: TeamMember,
    repository: TrackedRepository,
) -> list[SyncRun]:  # fmt: skip
    """Make a run that held somebody and renamed them, one that failed, and a preview."""
    now, team = timezone.now(), integration.team
    run = SyncRunFactory(
        integration=integration, status=SYNC_STATUS_COMPLETE, created_count=3, held_count=1,
        started_at=now, finished_at=now,
    )  # fmt: skip
    HeldDeparture.objects.create(member=member, run=run, held_at=now)
    MemberChange.objects.create(
        team=team, run=run, github_id=member.github_id, github_username="ada",
        kind=MemberChangeKind.RENAMED, fields={"name": ["<b>", "Ada"]}, at=now,
    )  # fmt: skip
    preview = SyncRunFactory(
        integration=integration, kind=RunKind.PREVIEW, status=SYNC_STATUS_COMPLETE
    )
    preview.planned_changes.create(github_id=5, github_username="new", kind="joined")
    failed = start_run(
        integration, trigger=RunTrigger.MANUAL, person=admin, repository=repository
    ).run
    transitions.fail(failed, "saml_required", url="https://github.com/orgs/acme/sso")
    return [run, failed, preview]
