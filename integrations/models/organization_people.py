"""Who else belongs to a team's organisation, as far as its connection may see.

Read beside the roster and never mixed with it: none of them is a member by being here.
"""

from __future__ import annotations

from django.db import models

from integrations.models.accounts import Team


class OrganizationInvitation(models.Model):
    """Somebody invited who has not answered yet; by login, or by e-mail alone."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="invitations")
    github_id = models.BigIntegerField()  # of the invitation
    github_username = models.CharField(max_length=100, blank=True)
    email = models.CharField(max_length=254, blank=True)
    # GitHub's word: direct_member, admin, billing_manager.
    role = models.CharField(max_length=40, blank=True)
    invited_at = models.DateTimeField(null=True, blank=True)
    inviter = models.CharField(max_length=100, blank=True)

    class Meta:
        ordering = ["github_username", "email"]
        constraints = [
            models.UniqueConstraint(fields=["team", "github_id"], name="one_row_per_invitation"),
        ]

    def __str__(self) -> str:
        return self.github_username or self.email


class OutsideCollaborator(models.Model):
    """Somebody who reaches a repository and is no member of the organisation."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="outside_collaborators")
    github_id = models.BigIntegerField()
    github_username = models.CharField(max_length=100)
    avatar_url = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["github_username"]
        constraints = [
            models.UniqueConstraint(fields=["team", "github_id"], name="one_row_per_guest"),
        ]

    def __str__(self) -> str:
        return f"@{self.github_username}"


class OrganizationTeam(models.Model):
    """A team inside the organisation on GitHub; not one of Rollcall's."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="organization_teams")
    github_id = models.BigIntegerField()
    name = models.CharField(max_length=255)
    slug = models.CharField(max_length=255)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["team", "github_id"], name="one_row_per_github_team"),
        ]

    def __str__(self) -> str:
        return self.name


class OrganizationTeamMember(models.Model):
    organization_team = models.ForeignKey(
        OrganizationTeam, on_delete=models.CASCADE, related_name="people"
    )
    github_id = models.BigIntegerField(db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization_team", "github_id"], name="once_in_a_github_team"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.github_id} in {self.organization_team_id}"


class VerifiedEmail(models.Model):
    """An address of the organisation's own verified domain."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="verified_emails")
    github_id = models.BigIntegerField()
    email = models.CharField(max_length=254)

    class Meta:
        ordering = ["email"]
        constraints = [
            models.UniqueConstraint(
                fields=["team", "github_id", "email"], name="one_row_per_verified_email"
            ),
        ]

    def __str__(self) -> str:
        return self.email
