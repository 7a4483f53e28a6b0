"""People, teams, and who belongs to which, on the admin site: no team is left without an admin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import UserChangeForm
from django.core.exceptions import ValidationError

from integrations.models import Membership, Team, User
from integrations.services import team_people

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest


class MembershipInline(admin.TabularInline[Membership, Team]):
    model = Membership
    extra = 0
    # Taking somebody out goes through MembershipAdmin, which closes their streams.
    can_delete = False
    autocomplete_fields = ["user"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class PersonForm(UserChangeForm[User]):
    """Django's own, which leaves no team without somebody who can sign in and administers it."""

    def clean_is_active(self) -> bool:
        is_active: bool = self.cleaned_data["is_active"]
        held = [] if is_active else team_people.administered_alone([self.instance])
        if held:
            raise ValidationError([_last_admin(self.instance, team) for team in held])
        return is_active


def _last_admin(person: User, team: Team) -> str:
    return f"{person} is the last admin of {team}"


@admin.register(User)
class PersonAdmin(UserAdmin[User]):
    form = PersonForm
    ordering = ["email"]
    list_display = ["email", "first_name", "last_name", "is_staff", "date_joined"]
    search_fields = ["email", "first_name", "last_name"]
    fieldsets = [
        (None, {"fields": ["email", "password"]}),
        ("Person", {"fields": ["first_name", "last_name"]}),
        (
            "Permissions",
            {"fields": ["is_active", "is_staff", "is_superuser", "groups", "user_permissions"]},
        ),
        ("Dates", {"fields": ["last_login", "date_joined"]}),
    ]
    add_fieldsets = [(None, {"classes": ["wide"], "fields": ["email", "password1", "password2"]})]

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[Any]]:
        """Hold back whoever can't go without leaving a team with no admin."""
        deleted, counts, missing, protected = super().get_deleted_objects(objs, request)
        held = [f"{team} would have no admin" for team in team_people.administered_alone(objs)]
        return deleted, counts, missing, [*protected, *held]


@admin.register(Team)
class TeamAdmin(admin.ModelAdmin[Team]):
    list_display = ["name", "slug", "created_at"]
    search_fields = ["name", "slug"]
    inlines = [MembershipInline]


@admin.register(Membership)
class MembershipAdmin(admin.ModelAdmin[Membership]):
    list_display = ["team", "user", "role", "created_at"]
    list_filter = ["role"]
    list_select_related = ["team", "user"]
    autocomplete_fields = ["team", "user"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        # Roles change on the team's own page, which keeps an admin in it.
        return [] if obj is None else ["team", "user", "role"]

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[Any]]:
        """Hold back whoever can't go without leaving a team with no admin."""
        deleted, counts, missing, protected = super().get_deleted_objects(objs, request)
        leaving: dict[int, list[Membership]] = {}
        for membership in objs:
            leaving.setdefault(membership.team_id, []).append(membership)
        held = [
            _last_admin(one.user, one.team)
            for of_team in leaving.values()
            for one in of_team
            if one.is_admin and not one.team.keeps_an_admin(without=of_team)
        ]
        return deleted, counts, missing, [*protected, *held]

    def delete_model(self, request: HttpRequest, obj: Membership) -> None:
        team_people.leave(obj.team, obj.user)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Membership]) -> None:
        for membership in queryset.select_related("team", "user"):
            team_people.leave(membership.team, membership.user)
