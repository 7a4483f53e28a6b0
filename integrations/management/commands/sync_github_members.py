"""`manage.py sync_github_members`: start a member sync, and watch it if asked to.

The work is a worker's; whoever watches may leave without stopping it.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from tqdm import tqdm

from integrations import tasks
from integrations.constants import SYNC_STATUS_ERROR, SYNC_STATUS_PENDING, RunTrigger
from integrations.management.teams import add_team_argument, team_named
from integrations.models import GitHubIntegration, SyncRun
from integrations.reasons import reason_for
from integrations.services.runs import start_run

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_EVERY_S: Final = 0.3
# The shell's code for "ended by Ctrl-C": 128 + SIGINT.
EXIT_INTERRUPTED: Final = 130


class Command(BaseCommand):
    help = "Starts a sync of a team's GitHub members, or joins the one under way."

    def add_arguments(self, parser: CommandParser) -> None:
        add_team_argument(parser)
        parser.add_argument(
            "--wait", action="store_true", help="watch it to its end; exit with 1 if it fails"
        )
        parser.add_argument(
            "--preview",
            action="store_true",
            help="change nothing: wait for what a sync would change, and print it by name",
        )

    def handle(self, *, team: str, wait: bool, preview: bool, **options: Any) -> None:
        started = start_run(_integration_of(team), trigger=RunTrigger.COMMAND, is_preview=preview)
        what = "preview" if preview else "sync"
        if started.joined:
            self.stdout.write(f"A {what} is under way already; joining it.")
        else:
            self._send(started.run)
            self.stdout.write(f"The {what} was started.")
        if not (wait or preview):
            return
        try:
            run = self._watch(started.run)
        except KeyboardInterrupt:
            self.stderr.write("Stopped watching. The sync itself goes on in the background.")
            sys.exit(EXIT_INTERRUPTED)
        if run.status == SYNC_STATUS_ERROR:
            raise CommandError(reason_for(run.error_code).sentence)
        if preview:
            self._print_plan(run)
        else:
            self.stdout.write(_summary(run))

    def _print_plan(self, run: SyncRun) -> None:
        for change in run.planned_changes.order_by("kind", "github_username").iterator():
            fields = ", ".join(
                f"{name}: {before!r} to {after!r}"
                for name, (before, after) in change.fields.items()
            )
            words = f"{change.get_kind_display():<20} @{change.github_username}"
            self.stdout.write(f"{words}  {fields}".rstrip())
        if run.sweep_blocked_by:
            self.stdout.write(f"Nobody would leave: {run.sweep_blocked_by}.")
        self.stdout.write(f"{run.planned_changes.count()} changes. Nothing was changed.")

    def _send(self, run: SyncRun) -> None:
        try:
            tasks.sync_github_members_later(run)
        except tasks.QueueUnreachable as exc:
            raise CommandError(reason_for(exc.reason).sentence) from exc

    def _watch(self, run: SyncRun) -> SyncRun:
        if sys.stderr.isatty():
            with tqdm(desc="Members", unit=" people", file=sys.stderr) as bar:
                return _follow(run, lambda seen: _advance(bar, seen))
        return _follow(run, lambda seen: self.stdout.write(_progress_line(seen)))


def _follow(run: SyncRun, tell: Callable[[SyncRun], object]) -> SyncRun:
    """Tell each change of the run's row until it is over; return its last state."""
    told = -1
    while True:
        run.refresh_from_db()
        if run.revision != told:
            told = run.revision
            tell(run)
        if not run.is_active:
            return run
        time.sleep(LOOK_EVERY_S)


def _advance(bar: tqdm[Any], run: SyncRun) -> None:
    bar.total = run.expected_count
    bar.set_postfix_str(_waiting_for(run))
    bar.update(run.seen_count - bar.n)
    bar.refresh()


def _progress_line(run: SyncRun) -> str:
    expected = "" if run.expected_count is None else f" of {run.expected_count}"
    waiting = _waiting_for(run)
    return f"{run.seen_count}{expected} members read" + (f"; {waiting}" if waiting else "")


def _waiting_for(run: SyncRun) -> str:
    if run.status == SYNC_STATUS_PENDING:
        words = "waiting for a worker"
    elif run.resume_at is not None:
        words = f"going on at {timezone.localtime(run.resume_at):%H:%M:%S %Z}"
    else:
        words = ""
    return words


def _summary(run: SyncRun) -> str:
    return (
        f"Up to date: {run.seen_count} members ({run.created_count} new, "
        f"{run.updated_count} updated, {run.returned_count} returned, "
        f"{run.departed_count} left, {run.held_count} held, {run.failed_count} failed)."
    )


def _integration_of(slug: str) -> GitHubIntegration:
    team = team_named(slug)
    integration = GitHubIntegration.objects.select_related("credential").filter(team=team).first()
    if integration is None or not integration.is_connected:
        raise CommandError(reason_for("not_connected").sentence)
    if not integration.has_organization:
        raise CommandError(
            f"{team.name} has not chosen an organisation yet. "
            "Choose one in the wizard or with manage.py connect_github."
        )
    return integration
