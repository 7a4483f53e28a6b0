"""Payloads shaped as GitHub's, with anything in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from integrations.models import GitHubIntegration, TeamMember, WebhookDelivery
from tests.factories import TeamMemberFactory
from tests.webhook_deliveries import organization_of, person, post, work

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db(transaction=True)

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
EVENTS = (
    "organization", "membership", "member", "repository", "installation",
    "installation_repositories", "installation_target", "github_app_authorization", "ping", "push",
)  # fmt: skip
ACTIONS = (
    "member_added", "member_removed", "member_invited", "renamed", "deleted", "created", "suspend",
    "unsuspend", "new_permissions_accepted", "revoked", "added", "removed", "transferred",
    "nonsense",
)  # fmt: skip


@pytest.mark.django_db
class TestFuzz:
    @hypothesis_settings(
        max_examples=150,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(data=st.data())
    def test_real_shaped_payloads_with_anything_in_them_end_in_a_word(
        self, client: Client, watched: GitHubIntegration, data: st.DataObject
    ) -> None:
        """Whatever a field holds, the address answers and the delivery ends, and nobody leaves."""
        if not watched.team.members.filter(github_id=424242).exists():
            TeamMemberFactory(team=watched.team, github_id=424242)
        event = data.draw(st.sampled_from(EVENTS))
        payload: dict[str, Any] = {
            "action": data.draw(st.sampled_from(ACTIONS)),
            "organization": organization_of(watched),
            "membership": {"role": "member", "state": "active", "user": person(7)},
            "member": person(8),
            "repository": {"id": 5, "name": "api", "full_name": "a/b", "owner": person(9)},
            "installation": {"id": 3, "account": organization_of(watched), "permissions": {}},
            "account": organization_of(watched),
            "sender": person(1),
        }
        for _ in range(data.draw(st.integers(1, 3))):
            target = data.draw(st.sampled_from([payload, *_objects_in(payload)]))
            if target:
                target[data.draw(st.sampled_from(sorted(target)))] = data.draw(JSON_VALUES)
        answer = post(client, event, payload)
        assert answer.status_code in (200, 202)
        work()
        delivery = WebhookDelivery.objects.latest("pk")
        assert delivery.status in ("applied", "unchanged", "ignored", "failed"), delivery.body
        assert delivery.outcome != "internal_error"
        ada = TeamMember.objects.get(team=watched.team, github_id=424242)
        assert ada.is_active


def _objects_in(value: Any) -> list[dict[str, Any]]:
    found = [one for one in value.values() if isinstance(one, dict)]
    return found + [inner for one in found for inner in _objects_in(one)]
