"""What a person keeps of the members page."""

from __future__ import annotations

from django.db import models

from integrations.models.accounts import Team, User


class SavedMemberFilter(models.Model):
    """A filter of the members page that one person keeps under a name."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="saved_filters")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="saved_filters")
    name = models.CharField(max_length=60)
    # The address's query part, without its "?": as `MemberQuery.querystring` writes it.
    querystring = models.CharField(max_length=1000)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["team", "user", "name"], name="one_saved_filter_per_name"
            ),
        ]

    def __str__(self) -> str:
        return self.name
