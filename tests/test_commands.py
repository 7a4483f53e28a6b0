"""What an operator types: the words, the exit status, and what is left behind."""

from __future__ import annotations

import io
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core.management import CommandError, call_command

from integrations.constants import SYNC_STATUS_COMPLETE, SYNC_STATUS_SYNCING, RunTrigger
from integrations.management.supervisor import Stage, Supervisor
from integrations.models import GitHubIntegration, Membership, SyncRun, Team, User
from integrations.reasons import reason_for
from tests.factories import GitHubIntegrationFactory, IntegrationCredentialFactory
from tests.processes import Process, Valkey
from tests.sandbox_control import SandboxControl, SandboxOrganization
from tests.stack import database_url


def run(*command: str, **options: Any) -> str:
    """Run a command and return what it wrote."""
    out = io.StringIO()
    call_command(*command, stdout=out, **options)
    return out.getvalue()


@pytest.fixture
def organization(sandbox: SandboxControl) -> SandboxOrganization:
    return sandbox.organization(size=12)


def connected(team: Team, organization: SandboxOrganization) -> GitHubIntegration:
    credential = IntegrationCredentialFactory(
        team=team, access_token=organization.token, github_username=organization.owner
    )
    return GitHubIntegrationFactory(
        team=team,
        credential=credential,
        organization_id=organization.id,
        organization_login=organization.login,
    )


@pytest.mark.django_db
class TestCreateDemo:
    def test_it_makes_an_admin_and_a_member(self) -> None:
        text = run("create_demo", password="for the demo")
        roles = Membership.objects.filter(team__slug="demo").values_list("user__email", "role")
        assert set(roles) == {("demo@example.com", "admin"), ("member@example.com", "member")}
        assert text.count("for the demo") == 2
        assert User.objects.get(email="demo@example.com").check_password("for the demo")

    def test_their_addresses_are_confirmed(self) -> None:
        run("create_demo")
        assert EmailAddress.objects.filter(verified=True, primary=True).count() == 2

    def test_run_again_it_changes_nothing(self) -> None:
        run("create_demo")
        before = User.objects.get(email="demo@example.com").password
        assert "(as it was)" in run("create_demo")
        assert User.objects.get(email="demo@example.com").password == before
        assert (User.objects.count(), Team.objects.count(), Membership.objects.count()) == (2, 1, 2)

    @pytest.mark.parametrize("staff", [True, False])
    def test_only_asked_to_it_opens_the_admin_pages(self, *, staff: bool) -> None:
        run("create_demo", staff=staff)
        assert User.objects.get(email="demo@example.com").is_staff is staff


@pytest.mark.django_db
class TestConnectGitHub:
    def connect(
        self, monkeypatch: pytest.MonkeyPatch, *, org: str, token: str, team: str = "acme"
    ) -> str:
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{token}\n"))
        return run("connect_github", "--team", team, "--org", org, "--token-stdin")

    def test_it_connects_whatever_the_case_of_the_login(
        self,
        monkeypatch: pytest.MonkeyPatch,
        team_of_alice: Team,
        organization: SandboxOrganization,
    ) -> None:
        text = self.connect(monkeypatch, org=organization.login.upper(), token=organization.token)
        integration = GitHubIntegration.objects.get(team=team_of_alice)
        assert integration.organization_id == organization.id
        assert integration.credential is not None
        assert integration.credential.access_token == organization.token
        assert organization.login in text
        assert organization.token not in text

    @pytest.mark.usefixtures("team_of_alice")
    def test_a_refused_token_gets_its_sentence(
        self, monkeypatch: pytest.MonkeyPatch, organization: SandboxOrganization
    ) -> None:
        with pytest.raises(CommandError) as caught:
            self.connect(monkeypatch, org=organization.login, token="ghp_wrong")
        assert str(caught.value) == reason_for("bad_credentials").sentence

    @pytest.mark.usefixtures("team_of_alice")
    def test_a_token_that_may_too_little_gets_its_sentence(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(CommandError) as caught:
            self.connect(monkeypatch, org="acme", token="ghp_sandbox_none")
        assert str(caught.value) == reason_for("missing_scopes").sentence

    @pytest.mark.usefixtures("team_of_alice")
    def test_another_organisation_names_those_there_are(
        self, monkeypatch: pytest.MonkeyPatch, organization: SandboxOrganization
    ) -> None:
        with pytest.raises(CommandError, match=organization.login):
            self.connect(monkeypatch, org="elsewhere", token=organization.token)

    @pytest.mark.usefixtures("team_of_alice")
    def test_no_token_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(CommandError, match="no token on stdin"):
            self.connect(monkeypatch, org="acme", token="")

    @pytest.mark.usefixtures("team_of_alice")
    def test_an_unknown_team_names_those_there_are(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(CommandError, match=r'no team "nowhere"\. Teams: acme\.'):
            self.connect(monkeypatch, org="acme", token="ghp_sandbox_owner", team="nowhere")

    def test_a_team_without_an_admin_cannot_be_connected(
        self, monkeypatch: pytest.MonkeyPatch, acme: Team
    ) -> None:
        with pytest.raises(CommandError, match="has no admin"):
            self.connect(monkeypatch, org=acme.slug, token="ghp_sandbox_owner")


@pytest.fixture
def team_of_alice(alice: User, acme: Team) -> Team:
    """Acme, with Alice in it."""
    assert alice.memberships.filter(team=acme).exists()
    return acme


@pytest.mark.django_db(transaction=True)
class TestSyncGitHubMembers:
    def test_it_starts_a_run_and_leaves(
        self, acme: Team, organization: SandboxOrganization
    ) -> None:
        connected(acme, organization)
        text = run("sync_github_members", "--team", "acme")
        started = SyncRun.objects.get()
        assert started.trigger == RunTrigger.COMMAND
        assert started.send_count == 1
        assert "started" in text

    def test_it_joins_the_run_under_way(
        self, acme: Team, organization: SandboxOrganization
    ) -> None:
        connected(acme, organization)
        run("sync_github_members", "--team", "acme")
        assert "under way already" in run("sync_github_members", "--team", "acme")
        assert SyncRun.objects.count() == 1

    @pytest.mark.usefixtures("worker")
    def test_waiting_it_tells_the_progress_in_plain_lines(
        self, acme: Team, organization: SandboxOrganization
    ) -> None:
        integration = connected(acme, organization)
        text = run("sync_github_members", "--team", "acme", "--wait")
        assert "12 of 12 members read\n" in text
        assert "Up to date: 12 members (12 new" in text
        integration.refresh_from_db()
        assert integration.member_sync_status == SYNC_STATUS_COMPLETE

    @pytest.mark.usefixtures("worker")
    def test_a_preview_prints_the_names_and_changes_nothing(
        self, acme: Team, organization: SandboxOrganization
    ) -> None:
        integration = connected(acme, organization)
        text = run("sync_github_members", "--team", "acme", "--preview")
        for member in organization.members().values():
            assert f"Joined               @{member['login']}\n" in text
        assert "12 changes. Nothing was changed.\n" in text
        assert integration.team.members.count() == 0

    @pytest.mark.usefixtures("worker")
    def test_waiting_it_fails_with_the_sentence(
        self, acme: Team, organization: SandboxOrganization, sandbox: SandboxControl
    ) -> None:
        connected(acme, organization)
        sandbox.revoke(organization.token)
        with pytest.raises(CommandError) as caught:
            run("sync_github_members", "--team", "acme", "--wait")
        assert str(caught.value) == reason_for("bad_credentials").sentence

    def test_a_queue_that_is_down_is_said_and_nothing_sticks(
        self, acme: Team, organization: SandboxOrganization, valkey: Valkey
    ) -> None:
        integration = connected(acme, organization)
        valkey.kill()
        with pytest.raises(CommandError) as caught:
            run("sync_github_members", "--team", "acme")
        assert str(caught.value) == reason_for("queue_unreachable").sentence
        integration.refresh_from_db()
        assert integration.member_sync_status != SYNC_STATUS_SYNCING

    def test_a_team_that_is_not_connected_is_said(self, acme: Team) -> None:
        with pytest.raises(CommandError) as caught:
            run("sync_github_members", "--team", acme.slug)
        assert str(caught.value) == reason_for("not_connected").sentence

    def test_a_team_without_an_organisation_is_said(self, acme: Team) -> None:
        GitHubIntegrationFactory(team=acme, organization_id=None, organization_login="")
        with pytest.raises(CommandError, match="has not chosen an organisation"):
            run("sync_github_members", "--team", acme.slug)

    @pytest.mark.processes
    def test_ctrl_c_stops_the_watching_and_not_the_sync(
        self,
        acme: Team,
        organization: SandboxOrganization,
        tmp_path: Path,
        wait_until: Callable[..., None],
    ) -> None:
        connected(acme, organization)
        command = Process(
            "manage.py", "sync_github_members", "--team", "acme", "--wait",
            name="command", log_dir=tmp_path, environment={"DATABASE_URL": database_url()},
        )  # fmt: skip
        command.start()
        wait_until(lambda: "waiting for a worker" in command.output, timeout_s=20)
        command.send(signal.SIGINT)
        assert command.wait() == 130
        assert "goes on in the background" in command.output
        assert SyncRun.objects.get().is_active


class TestSupervisor:
    """What `manage.py run_stack` leaves its processes to."""

    def supervise(self, **commands: str) -> int:
        stages = [Stage({name: line}, lambda: True) for name, line in commands.items()]
        environment = {"PATH": "/usr/bin:/bin"}
        handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        try:
            return Supervisor(stages, environment, on_ready=lambda: None).run()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def test_one_that_ends_ends_them_all_with_its_exit_code(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.supervise(lasting="sleep 60", brief="sh -c 'exit 7'") == 7
        assert "brief ended (exit code 7); ending the rest." in capsys.readouterr().out

    def test_one_that_ends_well_is_an_error_all_the_same(self) -> None:
        assert self.supervise(brief="true") == 1

    def test_a_killed_one_is_told_as_a_shell_tells_it(self) -> None:
        assert self.supervise(killed="sh -c 'kill -9 $$'") == 128 + signal.SIGKILL
