"""Invitations into a team by e-mail: made and mailed, sent again, withdrawn, and accepted.

A link is good for the address that it was mailed to, for a week, once. Each mail has a row and a
link of its own, so that the rows say how much was mailed, and a newer mail ends the older link.
"""

from __future__ import annotations

import hashlib
import secrets
from smtplib import SMTPException
from typing import TYPE_CHECKING

import structlog
from allauth.account.models import EmailAddress
from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.db.models import Q
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from integrations.constants import (
    INVITATION_LIFETIME,
    INVITATION_MAILS_MAX,
    INVITATION_MAILS_WITHIN,
    INVITATIONS_OPEN_MAX,
    InvitationOutcome,
    TeamRole,
)
from integrations.models import Team, TeamInvitation, User
from integrations.services.team_people import acting_as_admin

if TYPE_CHECKING:
    from django.db.models import QuerySet

logger = structlog.get_logger(__name__)

UNKNOWN = "unknown"
EXPIRED = "expired"


class InvitationGone(Exception):
    """The link leads nowhere: why, and into which team it once led."""

    def __init__(self, reason: str, team: Team | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.team = team


class NotInvited(Exception):
    """Somebody else was invited."""


class AlreadyInTeam(Exception):
    """The address belongs to a person who is in the team."""


class TooManyOpen(Exception):
    """So many invitations wait for an answer that no further one is made."""


class TooManyMails(Exception):
    """The team has had as many mails sent as it may in this time."""


class MailNotSent(Exception):
    """The invitation stands, but the mail server took no mail."""


def invite(team: Team, email: str, role: TeamRole, *, by: User) -> TeamInvitation:
    """Invite an address, which has a link sent to it; again if it was invited before.

    Raises NotAnAdmin, AlreadyInTeam, TooManyOpen, TooManyMails and MailNotSent.
    """
    email = email.lower()
    with acting_as_admin(team, by):
        invitation, token = _renew(team, email, role, by=by)
    _send(invitation, token)
    return invitation


def send_again(team: Team, invitation_id: int, *, by: User) -> TeamInvitation:
    """Mail a new link, good for a week from now; the one before ends.

    Raises InvitationGone, and what `invite` raises.
    """
    with acting_as_admin(team, by):
        old = _open_one(team, invitation_id)
        invitation, token = _renew(team, old.email, TeamRole(old.role), by=by)
    _send(invitation, token)
    return invitation


def withdraw(team: Team, invitation_id: int, *, by: User) -> TeamInvitation:
    """End an invitation and its link. Raises NotAnAdmin and InvitationGone."""
    with acting_as_admin(team, by):
        invitation = _open_one(team, invitation_id)
        _close(invitation, InvitationOutcome.WITHDRAWN)
    logger.info("invitation withdrawn", invitation_id=invitation.pk, team_id=team.pk, by=by.pk)
    return invitation


def find(token: str) -> TeamInvitation:
    """Return the invitation that a link is good for. Raises InvitationGone."""
    invitation = _of_token(token)
    if invitation.outcome != InvitationOutcome.OPEN:
        raise InvitationGone(invitation.outcome, invitation.team)
    if invitation.is_expired:
        raise InvitationGone(EXPIRED, invitation.team)
    return invitation


def is_for(invitation: TeamInvitation, person: User) -> bool:
    """Say whether the address that was invited is this person's.

    That of their account need not be confirmed: who has the link has read the mail. Any other
    address of theirs has to be.
    """
    return _people_of(invitation.email).filter(pk=person.pk).exists()


def accept(token: str, *, person: User) -> Team:
    """Take the person into the team; who is in it keeps their role. Twice is as good as once.

    Raises InvitationGone and NotInvited.
    """
    team = _of_token(token).team
    with transaction.atomic():
        # Whoever withdraws it, or deletes the team, goes before us or after us.
        Team.objects.take_turn(team.pk)
        if _was_used_by_one_in_it(token, person):
            return team
        invitation = find(token)
        if not is_for(invitation, person):
            raise NotInvited
        team.memberships.get_or_create(user=person, defaults={"role": invitation.role})
        _close(invitation, InvitationOutcome.ACCEPTED)
    logger.info("invitation accepted", invitation_id=invitation.pk, user_id=person.pk)
    return team


def _was_used_by_one_in_it(token: str, person: User) -> bool:
    invitation = _of_token(token)
    is_used = invitation.outcome == InvitationOutcome.ACCEPTED
    return is_used and invitation.team.memberships.filter(user=person).exists()


def _renew(team: Team, email: str, role: TeamRole, *, by: User) -> tuple[TeamInvitation, str]:
    """Make the address's open invitation, in place of one that it has, and the link's token."""
    now = timezone.now()
    if _people_of(email).filter(memberships__team=team).exists():
        raise AlreadyInTeam
    rows = TeamInvitation.objects.filter(team=team)
    if rows.valid(now=now).exclude(email=email).count() >= INVITATIONS_OPEN_MAX:
        raise TooManyOpen
    # A row a mail, whether or not the mail server took it: trying costs it as well.
    if rows.filter(created_at__gt=now - INVITATION_MAILS_WITHIN).count() >= INVITATION_MAILS_MAX:
        raise TooManyMails
    rows.open().filter(email=email).update(outcome=InvitationOutcome.RENEWED, closed_at=now)
    token = secrets.token_urlsafe(32)
    invitation = rows.create(
        team=team,
        email=email,
        role=role,
        token_hash=_hash(token),
        invited_by=by,
        created_at=now,
        expires_at=now + INVITATION_LIFETIME,
    )
    return invitation, token


def _send(invitation: TeamInvitation, token: str) -> None:
    """Mail the link, outside of any transaction: a mail server may take its time."""
    context = {
        "invitation": invitation,
        "team": invitation.team,
        "link": f"{settings.SITE_URL}{reverse('team_invitation', args=[token])}",
    }
    subject = render_to_string("email/team_invitation_subject.txt", context)
    body = render_to_string("email/team_invitation.txt", context)
    try:
        # A team's name is no place for a header's end; a domain may have no form that mail knows,
        # which is a ValueError.
        send_mail(" ".join(subject.split()), body, None, [invitation.email])
    except (SMTPException, OSError, ValueError) as exc:
        logger.warning("invitation not sent", invitation_id=invitation.pk, error=repr(exc))
        raise MailNotSent from exc
    TeamInvitation.objects.filter(pk=invitation.pk).update(sent_at=timezone.now())
    logger.info("invitation sent", invitation_id=invitation.pk, team_id=invitation.team_id)


def _close(invitation: TeamInvitation, outcome: InvitationOutcome) -> None:
    invitation.outcome, invitation.closed_at = outcome, timezone.now()
    invitation.save(update_fields=["outcome", "closed_at"])


def _open_one(team: Team, invitation_id: int) -> TeamInvitation:
    found = TeamInvitation.objects.filter(team=team, pk=invitation_id).first()
    if found is None or found.outcome != InvitationOutcome.OPEN:
        raise InvitationGone(found.outcome if found else UNKNOWN, team)
    return found


def _of_token(token: str) -> TeamInvitation:
    rows = TeamInvitation.objects.select_related("team", "invited_by")
    found = rows.filter(token_hash=_hash(token)).first()
    if found is None:
        raise InvitationGone(UNKNOWN)
    return found


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _people_of(email: str) -> QuerySet[User]:
    """Return whose address this is: their account's, or another that they confirmed."""
    confirmed = EmailAddress.objects.filter(email__iexact=email, verified=True).values("user")
    return User.objects.filter(Q(email__iexact=email) | Q(pk__in=confirmed))
