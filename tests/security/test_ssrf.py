"""Nobody can make the server ask another one: neither GitHub's answers, nor deliveries, nor forms.

https://owasp.org/www-community/attacks/Server_Side_Request_Forgery. The sandbox is asked through an
edge that replaces every address in its answers; a second server listens where they lead to.
"""

from __future__ import annotations

import ast
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import pytest
import requests
from django.conf import settings as django_settings
from django.test import Client
from django.urls import reverse

from integrations.constants import SYNC_STATUS_COMPLETE
from integrations.github import app, app_manifest, oauth, rest, transport
from integrations.github.errors import GitHubError
from integrations.github.http import GitHubClient
from integrations.models import TeamMember, TrackedRepository
from tests.github.conftest import TOKEN
from tests.github.scripted import Line, ScriptedGitHub, scripted_github
from tests.processes import REPOSITORY
from tests.syncing import sync
from tests.webhook_deliveries import membership_payload, organization_of, person, post, work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from integrations.models import GitHubIntegration, Team, User
    from tests.github.scripted import Asked
    from tests.sandbox_control import SandboxOrganization

# What a redirect or a link may name: another server, spellings that readers read differently, this
# machine's files, and what clouds tell whoever asks from within.
TARGETS: Final = (
    "http://{trap}/x", "//{trap}/x", "http://{home}@{trap}/x", "http://{trap}\\@{home}/x",
    "http://{trap}#@{home}/", "gopher://{trap}/_x", "https://{home}/x", "http://localhost:{port}/x",
    "file:///etc/passwd", "http://169.254.169.254/latest/meta-data/iam/",
    "http://[::ffff:169.254.169.254]/", "http://2852039166/", "http://0x7f.1:{port}/x",
    "http://{home}.trap.example/x", "unix:/var/run/docker.sock",
    "http://[{trap}/x", "http://{trap}:port/x", "http://{trap}%2f..@{home}/",
)  # fmt: skip

CALLS: Final[dict[str, Callable[[str, GitHubClient], Any]]] = {
    "get": lambda _, client: client.get("/user"),
    "get_url": lambda _, client: client.get_url(f"{client.api_url}/user"),
    "pages": lambda _, client: list(client.pages("/user/orgs")),
    "members": lambda _, client: rest.member_page(client, "acme"),
    "graphql": lambda _, client: client.graphql("{ viewer }", {}),
    "post": lambda _, client: client.post("/x", {}),
    "patch": lambda _, client: client.patch("/x", {}),
    "delete": lambda _, client: client.delete("/x"),
    "installation token": lambda _, client: app.installation_token(client, 7),
    "deliveries": lambda _, client: app.deliveries(client),
    "OAuth code": lambda url, _: oauth.exchange_code(
        github_url=url, client_id="i", client_secret="s", code="c", redirect_uri="r",
        code_verifier="v",
    ),
    "refresh": lambda url, _: oauth.refresh(
        github_url=url, client_id="i", client_secret="s", refresh_token="t"
    ),
    "revocation": lambda url, _: oauth.revoke_token(
        api_url=url, client_id="i", client_secret="s", access_token="t"
    ),
    "manifest": lambda url, _: app_manifest.convert(api_url=url, code="c"),
}  # fmt: skip


def read_pages(client: GitHubClient) -> object:
    return list(client.pages("/user/orgs"))


def read_members(client: GitHubClient) -> object:
    """Read two pages; the place in the list is kept with the run between them."""
    page = rest.member_page(client, "acme")
    return rest.member_page(client, "acme", cursor=page.next_cursor)


@pytest.fixture
def trap() -> Iterator[ScriptedGitHub]:
    """Listens where nobody may ask, and would answer."""
    with scripted_github() as scripted:
        scripted.improvise = lambda _: Line(200, b"[]", {})
        yield scripted
        assert scripted.asked == []


@pytest.fixture
def github() -> Iterator[ScriptedGitHub]:
    with scripted_github() as scripted:
        yield scripted


@pytest.fixture
def asked_urls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every address that the client set out for, also where nobody listens."""
    found: list[str] = []

    def note(exchange: transport.Exchange) -> None:
        found.append(exchange.url)

    monkeypatch.setattr(transport, "_observers", [*transport._observers, note])
    return found


def targets(home: ScriptedGitHub, trap: ScriptedGitHub) -> list[str]:
    address, other = home.url.removeprefix("http://"), trap.url.removeprefix("http://")
    port = address.partition(":")[2]
    return [target.format(home=address, trap=other, port=port) for target in TARGETS]


class TestWhereAnAnswerLeads:
    @pytest.mark.parametrize("name", CALLS)
    def test_a_redirect_is_not_followed(
        self, name: str, github: ScriptedGitHub, trap: ScriptedGitHub, asked_urls: list[str]
    ) -> None:
        client = GitHubClient(token=TOKEN, api_url=github.api_url)
        for number, target in enumerate(targets(github, trap)):
            status = (301, 302, 303, 307, 308)[number % 5]
            github.answers({}, status=status, headers={"Location": target})
            with pytest.raises(GitHubError):
                CALLS[name](github.url, client)
            assert len(github.asked) == number + 1, target
        assert all(url.startswith(f"{github.url}/") for url in asked_urls)
        assert len(asked_urls) == len(github.asked)

    @pytest.mark.parametrize("read", [read_pages, read_members], ids=["pages", "members"])
    def test_a_next_page_elsewhere_is_not_read(
        self,
        read: Callable[[GitHubClient], object],
        github: ScriptedGitHub,
        trap: ScriptedGitHub,
        asked_urls: list[str],
    ) -> None:
        client = GitHubClient(token=TOKEN, api_url=github.api_url)
        for target in targets(github, trap):
            people = [{"id": 7, "login": "a", "avatar_url": target}]
            github.answers(people, headers={"Link": f'<{target}>; rel="next"'})
            before = len(github.asked)
            with pytest.raises(GitHubError):
                read(client)
            assert len(github.asked) == before + 1, target
        assert all(url.startswith(f"{github.url}/") for url in asked_urls)

    def test_deliveries_take_of_a_link_no_more_than_its_cursor(
        self, github: ScriptedGitHub, trap: ScriptedGitHub, asked_urls: list[str]
    ) -> None:
        client = GitHubClient(token=TOKEN, api_url=github.api_url)
        github.answers([], headers={"Link": f'<{trap.url}/x?cursor=c%2F..%2Fx>; rel="next"'})
        github.answers([])
        page = app.deliveries(client)
        app.deliveries(client, cursor=page.next_cursor)
        assert [one.path for one in github.asked] == ["/api/v3/app/hook/deliveries"] * 2
        assert github.asked[1].query["cursor"] == "c/../x"

    @pytest.mark.parametrize("name", ["..", ".", "", "../../admin", "a/b", "a?b=c", "a#b", "a\\b"])
    def test_a_name_is_one_step_of_a_path(self, name: str, github: ScriptedGitHub) -> None:
        github.answers([{"id": 7, "login": "a"}])
        client = GitHubClient(token=TOKEN, api_url=github.api_url)
        if name in {"", ".", ".."}:
            with pytest.raises(GitHubError):
                rest.member_page(client, name)
            assert github.asked == []
        else:
            rest.member_page(client, name)
            [asked] = github.asked
            assert asked.path == f"/api/v3/orgs/{quote(name, safe='')}/members"


@pytest.mark.django_db
class TestEverythingLeadsElsewhere:
    """A whole sync, with a GitHub whose every address is another server's."""

    @pytest.fixture
    def edge(
        self, github: ScriptedGitHub, trap: ScriptedGitHub, settings: Any
    ) -> Callable[[bool], None]:
        """`edge(with_links)` puts the edge before the sandbox."""
        home = django_settings.GITHUB_URL

        def put(with_links: bool) -> None:
            def answer(asked: Asked) -> Line:
                sent: dict[str, str | bytes | None] = {
                    name: asked.headers[name]
                    for name in ("authorization", "accept", "content-type")
                    if name in asked.headers
                }
                real = requests.request(
                    asked.method, f"{home}{asked.path}", params=asked.query, data=asked.content,
                    headers=sent, timeout=20,
                )  # fmt: skip
                headers = {"Link": f'<{trap.url}/2>; rel="next"'} if with_links else {}
                body = _bent(real.json(), trap.url) if real.content else None
                content = b"" if body is None else json.dumps(body).encode()
                return Line(real.status_code, content, headers)

            github.improvise = answer

        settings.GITHUB_URL, settings.GITHUB_API_URL = github.url, github.api_url
        return put

    def test_a_sync_reads_no_address(
        self, edge: Callable[[bool], None], github: ScriptedGitHub, trap: ScriptedGitHub,
        integration: GitHubIntegration, organization: SandboxOrganization, asked_urls: list[str],
    ) -> None:  # fmt: skip
        edge(False)
        assert sync(integration).status == SYNC_STATUS_COMPLETE
        members = TeamMember.objects.filter(team=integration.team)
        assert members.count() == len(organization.members())
        # The edge did bend what came.
        assert {one.avatar_url for one in members} == {f"{trap.url}/bent"}
        assert github.asked
        assert all(url.startswith(f"{github.url}/") for url in asked_urls)

    def test_nor_do_lists_whose_next_page_is_elsewhere(
        self, edge: Callable[[bool], None], github: ScriptedGitHub,
        integration: GitHubIntegration, organization: SandboxOrganization, asked_urls: list[str],
    ) -> None:  # fmt: skip
        edge(True)
        # Lists are read by REST then, whose links lead on.
        organization.fault("resource_limits_exceeded", above=0)
        sync(integration)
        assert any(one.path.endswith("/members") for one in github.asked)
        assert all(url.startswith(f"{github.url}/") for url in asked_urls)

    def test_a_delivery_s_addresses_are_not_asked(
        self, client: Client, trap: ScriptedGitHub, integration: GitHubIntegration,
        organization: SandboxOrganization, asked_urls: list[str],
    ) -> None:  # fmt: skip
        member = organization.somebody()
        who = person(member["id"], member["login"])
        payloads: list[tuple[str, dict[str, Any]]] = [
            ("organization", membership_payload(integration, "member_added", who)),
            ("repository", {
                "action": "created", "organization": organization_of(integration), "sender": who,
                "repository": {
                    "id": 77, "name": "r", "full_name": f"{organization.login}/r", "private": False,
                    "owner": organization_of(integration),
                },
            }),
            ("installation", {
                "action": "created", "sender": who,
                "installation": {
                    "id": 9, "account": {**organization_of(integration), "type": "Organization"},
                    "permissions": {}, "events": [],
                },
            }),
        ]  # fmt: skip
        for event, payload in payloads:
            bent = _bent(_with_urls(payload), trap.url)
            assert post(client, event, bent).status_code == 202
        work()
        home = django_settings.GITHUB_URL
        assert all(url.startswith(f"{home}/") for url in asked_urls)


def _with_urls(value: Any) -> Any:
    """Give every object of a payload the addresses that GitHub's have."""
    if isinstance(value, dict):
        names = ("url", "html_url", "avatar_url", "hooks_url", "access_tokens_url")
        return dict.fromkeys(names, "http://x") | {k: _with_urls(v) for k, v in value.items()}
    return value


def _bent(value: Any, trap_url: str) -> Any:
    """Return the same, with every address in it another server's."""
    if isinstance(value, dict):
        return {name: _bent(one, trap_url) for name, one in value.items()}
    if isinstance(value, list):
        return [_bent(one, trap_url) for one in value]
    is_address = isinstance(value, str) and value.startswith(("http://", "https://"))
    return f"{trap_url}/bent" if is_address else value


def test_whom_to_ask_is_a_setting_and_nothing_else() -> None:
    """No form, row or argument of a command names the server that a token goes to."""
    given: dict[str, list[str]] = {}
    for path in sorted((REPOSITORY / "integrations").rglob("*.py")):
        parts = path.relative_to(REPOSITORY / "integrations").parts
        if parts[0] in {"github", "sandbox"}:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg in {"api_url", "github_url"}:
                given.setdefault(ast.unparse(node.value), []).append("/".join(parts))
    assert set(given) == {"settings.GITHUB_API_URL", "settings.GITHUB_URL"}, given
    assert len([one for places in given.values() for one in places]) > 5


@pytest.mark.django_db
def test_pages_load_no_image_of_another_server(
    client: Client, acme: Team, alice: User, integration: GitHubIntegration
) -> None:
    """Initials stand for people: a browser that looks at the roster tells GitHub nothing."""
    now = datetime.now(UTC)
    TeamMember.objects.create(
        team=acme, github_id=7, github_username="ada", avatar_url="https://evil.example/a.png",
        role="member", joined_at=now, updated_at=now,
    )  # fmt: skip
    client.force_login(alice)
    page = client.get(reverse("github_members", args=[acme.slug]))
    text = page.content.decode()
    assert "ada" in text
    assert "evil.example" not in text
    policy = page.headers["Content-Security-Policy"]
    assert "img-src 'self' data:" in policy.split("; ")
    assert not TrackedRepository.objects.exists()
