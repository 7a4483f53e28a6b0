"""The client over real HTTP: what it sends, where it goes, and what it makes of answers."""

from __future__ import annotations

import gzip
import multiprocessing
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from integrations.github.errors import (
    BadCredentials,
    GitHubError,
    NotFound,
    Unavailable,
    UnexpectedAnswer,
)
from integrations.github.http import GitHubClient, derive_graphql_url
from integrations.github.transport import BODY_SIZE_MAX, TimeLimits
from tests.github.conftest import TOKEN
from tests.github.scripted import HTML, IN_AN_HOUR, REQUEST_ID, ScriptedGitHub, scripted_github


@pytest.fixture
def elsewhere() -> Iterator[ScriptedGitHub]:
    with scripted_github() as scripted:
        yield scripted


class TestDeriveGraphqlUrl:
    @pytest.mark.parametrize(
        ("api_url", "graphql_url"),
        [
            ("https://api.github.com", "https://api.github.com/graphql"),
            ("https://api.github.com/", "https://api.github.com/graphql"),
            ("https://github.acme.example/api/v3", "https://github.acme.example/api/graphql"),
            ("https://github.acme.example/api/v3/", "https://github.acme.example/api/graphql"),
            ("https://api.acme.ghe.com", "https://api.acme.ghe.com/graphql"),
        ],
    )
    def test_it_knows_githubs_three_homes(self, api_url: str, graphql_url: str) -> None:
        assert derive_graphql_url(api_url) == graphql_url


class TestRequest:
    def test_it_says_who_asks_and_in_which_version(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        github.answers({})
        client.get("/orgs/acme", per_page=100)
        asked = github.asked[0]
        assert (asked.method, asked.path, asked.query) == (
            "GET",
            "/api/v3/orgs/acme",
            {"per_page": "100"},
        )
        assert asked.headers["authorization"] == f"Bearer {TOKEN}"
        assert asked.headers["accept"] == "application/vnd.github+json"
        assert asked.headers["x-github-api-version"] == "2022-11-28"
        assert asked.headers["user-agent"].startswith("Rollcall/")

    def test_graphql_is_posted_beside_rest(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        github.answers({"data": {"viewer": None}})
        client.graphql("query { viewer }", {"first": 1})
        asked = github.asked[0]
        assert (asked.method, asked.path) == ("POST", "/api/graphql")
        assert asked.body == {"query": "query { viewer }", "variables": {"first": 1}}

    def test_another_graphql_address_can_be_given(self, github: ScriptedGitHub) -> None:
        github.answers({"data": {}})
        url = f"{github.url}/elsewhere"
        GitHubClient(token=TOKEN, api_url=github.api_url, graphql_url=url).graphql("{ viewer }", {})
        assert github.asked[0].path == "/elsewhere"

    @pytest.mark.parametrize("token", ["", "  ", "ghp_a\r\nX-Evil: 1", "ghp_ä", "ghp_\0"])
    def test_a_token_that_can_be_none_is_not_sent(self, github: ScriptedGitHub, token: str) -> None:
        with pytest.raises(BadCredentials) as caught:
            GitHubClient(token=token, api_url=github.api_url).get("/user")
        assert github.asked == []
        assert "ghp_" not in str(caught.value)

    def test_neither_netrc_nor_proxies_of_the_environment_interfere(
        self,
        github: ScriptedGitHub,
        client: GitHubClient,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login mallory password secret")
        monkeypatch.setenv("NETRC", str(netrc))
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        github.answers({})
        client.get("/user")
        assert github.asked[0].headers["authorization"] == f"Bearer {TOKEN}"

    def test_its_repr_holds_no_token(self, client: GitHubClient) -> None:
        assert TOKEN not in repr(client)
        assert TOKEN not in f"{client}"


class TestConnections:
    def test_clients_of_a_thread_share_one(self, github: ScriptedGitHub) -> None:
        for token in ("alice", "bob"):
            github.answers({})
            GitHubClient(token=token, api_url=github.api_url).get("/user")
        first, second = github.asked
        assert first.connection == second.connection
        assert second.headers["authorization"] == "Bearer bob"

    def test_refusals_give_theirs_back(self, github: ScriptedGitHub, client: GitHubClient) -> None:
        github.answers({"message": "Not Found"}, status=404)
        github.answers({})
        with pytest.raises(NotFound):
            client.get("/orgs/nobody")
        client.get("/user")
        assert len({asked.connection for asked in github.asked}) == 1

    def test_threads_have_their_own(self, github: ScriptedGitHub, client: GitHubClient) -> None:
        github.answers({})
        github.answers({})
        client.get("/user")
        thread = threading.Thread(target=client.get, args=["/user"])
        thread.start()
        thread.join()
        assert len({asked.connection for asked in github.asked}) == 2

    @pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
    def test_processes_have_their_own(self, github: ScriptedGitHub, client: GitHubClient) -> None:
        github.answers({})
        github.answers({})
        client.get("/user")
        child = multiprocessing.get_context("fork").Process(target=client.get, args=["/user"])
        child.start()
        child.join()
        assert child.exitcode == 0
        assert len({asked.connection for asked in github.asked}) == 2

    def test_cookies_are_not_kept(self, github: ScriptedGitHub, client: GitHubClient) -> None:
        github.answers({}, headers={"Set-Cookie": "_gh_sess=alice; Path=/"})
        github.answers({})
        client.get("/user")
        client.get("/user")
        assert "cookie" not in github.asked[1].headers


class TestRedirects:
    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    def test_they_are_followed_at_home(
        self, github: ScriptedGitHub, client: GitHubClient, status: int
    ) -> None:
        github.answers(status=status, headers={"Location": "/api/v3/organizations/7?page=2"})
        github.answers({"id": 7})
        assert client.get("/orgs/acme", per_page=100).body == {"id": 7}
        assert github.asked[1].path == "/api/v3/organizations/7"
        assert github.asked[1].query == {"page": "2"}
        assert github.asked[1].headers["authorization"] == f"Bearer {TOKEN}"

    def test_a_token_goes_nowhere_else(
        self, github: ScriptedGitHub, client: GitHubClient, elsewhere: ScriptedGitHub
    ) -> None:
        github.answers(status=302, headers={"Location": f"{elsewhere.url}/user"})
        with pytest.raises(UnexpectedAnswer):
            client.get("/user")
        assert elsewhere.asked == []

    def test_going_round_in_circles_ends(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        for _ in range(10):
            github.answers(status=302, headers={"Location": "/api/v3/user"})
        with pytest.raises(UnexpectedAnswer):
            client.get("/user")
        assert len(github.asked) == 6

    def test_one_to_nowhere_is_unexpected(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        github.answers(status=302)
        with pytest.raises(UnexpectedAnswer):
            client.get("/user")

    def test_what_comes_with_one_is_bounded_as_well(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        bomb = gzip.compress(b" " * (BODY_SIZE_MAX + 1))
        headers = {"Content-Encoding": "gzip", "Location": "/api/v3/user"}
        github.answers(bomb, status=302, headers=headers)
        with pytest.raises(UnexpectedAnswer, match="beyond all measure"):
            client.get("/user")
        assert len(github.asked) == 1

    @pytest.mark.parametrize("address", ["http://[x/", "http://127.0.0.1:x/", "\\"])
    def test_one_that_makes_no_sense_is_unexpected(
        self, github: ScriptedGitHub, client: GitHubClient, address: str
    ) -> None:
        for headers in ({"Location": address}, {"Link": f'<{address}>; rel="next"'}):
            status = 302 if "Location" in headers else 200
            github.answers([], status=status, headers=headers)
            with pytest.raises(GitHubError):
                list(client.pages("/user/orgs"))

    def test_graphql_follows_none(self, github: ScriptedGitHub, client: GitHubClient) -> None:
        github.answers(status=302, headers={"Location": "/api/graphql"})
        with pytest.raises(UnexpectedAnswer):
            client.graphql("{ viewer }", {})
        assert len(github.asked) == 1


class TestGetUrl:
    def test_it_asks_an_address_of_the_same_server(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        github.answers([])
        client.get_url(f"{github.api_url}/organizations/7/members?page=2")
        assert github.asked[0].query == {"page": "2"}

    @pytest.mark.parametrize(
        "url",
        [
            "{elsewhere}/members",
            "http://{home}@{other}/members",
            "http://user:password@{home}/members",
            "http://{home}\\@{other}/members",
            "https://{home}/members",
            "ftp://{home}/members",
            "//{home}/members",
            "/members",
            "http://{home}\n/members",
            "",
        ],
    )
    def test_it_refuses_every_other(
        self, github: ScriptedGitHub, client: GitHubClient, elsewhere: ScriptedGitHub, url: str
    ) -> None:
        hosts = {"home": github.url[7:], "other": elsewhere.url[7:], "elsewhere": elsewhere.url}
        with pytest.raises(UnexpectedAnswer):
            client.get_url(url.format(**hosts))
        assert github.asked == elsewhere.asked == []


class TestAnswer:
    def test_it_tells_scopes_budget_and_what_is_hidden(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        github.answers(
            [1],
            headers={
                "X-OAuth-Scopes": "read:org, user:email,repo",
                "X-RateLimit-Limit": "5000",
                "X-RateLimit-Remaining": "4999",
                "X-RateLimit-Used": "1",
                "X-RateLimit-Reset": IN_AN_HOUR,
                "X-RateLimit-Resource": "core",
                "X-GitHub-SSO": "partial-results; organizations=21955855,20582480",
            },
        )
        answer = client.get("/user/memberships/orgs")
        assert (answer.status, answer.body) == (200, [1])
        assert answer.scopes == frozenset({"read:org", "user:email", "repo"})
        assert answer.budget is not None
        assert (answer.budget.remaining, answer.budget.resource) == (4999, "core")
        assert answer.sso_hidden_organization_ids == (21955855, 20582480)

    def test_no_scopes_differ_from_none_told(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        github.answers({}, headers={"X-OAuth-Scopes": ""})
        github.answers({})
        assert client.get("/user").scopes == frozenset()
        assert client.get("/user").scopes is None

    def test_it_finds_the_next_page_among_the_links(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        last = '<https://api.example/m?page=3>; rel="last"'
        github.answers([], headers={"Link": f'</api/v3/m?page=2>; rel="next", {last}'})
        github.answers([], headers={"Link": last})
        github.answers([], headers={"Link": "nonsense"})
        assert client.get("/m").next_url == f"{github.api_url}/m?page=2"
        assert client.get("/m").next_url is None
        assert client.get("/m").next_url is None

    def test_no_content_has_no_body(self, github: ScriptedGitHub, client: GitHubClient) -> None:
        github.answers(status=204)
        assert client.get("/orgs/acme/members/alice").body is None

    def test_compressed_and_chunked_answers_are_read(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        packed = gzip.compress(b'{"login": "acme"}')
        chunks = b"".join(
            b"%x\r\n%b\r\n" % (len(part), part) for part in (packed[:9], packed[9:], b"")
        )
        headers = {"Content-Encoding": "gzip", "Transfer-Encoding": "chunked"}
        github.answers(chunks, headers=headers)
        assert client.get("/orgs/acme").body == {"login": "acme"}

    @pytest.mark.parametrize("content", [HTML, b"", b'{"login": "al'])
    def test_one_that_is_no_json_is_unexpected(
        self, github: ScriptedGitHub, client: GitHubClient, content: bytes
    ) -> None:
        github.answers(content)
        with pytest.raises(UnexpectedAnswer) as caught:
            client.get("/user")
        assert (caught.value.status, caught.value.request_id) == (200, REQUEST_ID)

    def test_one_beyond_all_measure_is_not_read_to_its_end(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        bomb = gzip.compress(b" " * (BODY_SIZE_MAX + 1))
        github.answers(bomb, headers={"Content-Encoding": "gzip"})
        with pytest.raises(UnexpectedAnswer):
            client.get("/user")


class TestNoAnswer:
    def test_a_dropped_connection_is_unavailable(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        github.answers(drops=True)
        with pytest.raises(Unavailable) as caught:
            client.get("/user")
        assert caught.value.status is None
        assert len(github.asked) == 1

    def test_half_an_answer_is_unavailable(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        github.answers({}, missing_bytes=10)
        with pytest.raises(Unavailable):
            client.get("/user")

    def test_wrong_compression_is_unavailable(
        self, github: ScriptedGitHub, client: GitHubClient
    ) -> None:
        github.answers(b"not gzip at all", headers={"Content-Encoding": "gzip"})
        with pytest.raises(Unavailable):
            client.get("/user")

    def test_silence_is_unavailable(self, github: ScriptedGitHub) -> None:
        github.answers(silent=True)
        limits = TimeLimits(read_s=0.1)
        with pytest.raises(Unavailable, match="ReadTimeout"):
            GitHubClient(token=TOKEN, api_url=github.api_url, time_limits=limits).get("/user")

    def test_a_trickle_is_unavailable(self, github: ScriptedGitHub) -> None:
        github.answers(b" " * 10_000, trickle_s=0.02)
        limits = TimeLimits(total_s=0.2)
        with pytest.raises(Unavailable, match="took too long"):
            GitHubClient(token=TOKEN, api_url=github.api_url, time_limits=limits).get("/user")

    def test_nobody_listening_is_unavailable(self) -> None:
        with scripted_github() as gone:
            pass
        with pytest.raises(Unavailable, match="ConnectionError"):
            GitHubClient(token=TOKEN, api_url=gone.api_url).get("/user")
