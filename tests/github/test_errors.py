"""The errors of the GitHub client: each has a code with words, and none holds a token."""

from __future__ import annotations

import pytest

from integrations.github import errors
from integrations.github.errors import (
    BadCredentials,
    Forbidden,
    GitHubError,
    Gone,
    Invalid,
    MissingScopes,
    NotFound,
    OAuthError,
    PageTooLarge,
    RateLimited,
    SamlRequired,
    Unavailable,
    UnexpectedAnswer,
)
from integrations.reasons import REASONS


def tree(root: type[GitHubError]) -> list[type[GitHubError]]:
    return [root, *(one for child in root.__subclasses__() for one in tree(child))]


class TestTree:
    def test_each_reason_has_words(self) -> None:
        reasons = {one.reason for one in tree(GitHubError) if one is not GitHubError}
        assert reasons <= REASONS.keys()

    def test_each_reason_belongs_to_one_class(self) -> None:
        reasons = [one.reason for one in tree(GitHubError)]
        assert len(reasons) == len(set(reasons))

    def test_it_is_three_levels_deep_at_most(self) -> None:
        assert max(len(one.__mro__) for one in tree(GitHubError)) <= len(GitHubError.__mro__) + 2

    def test_the_docstring_draws_every_class(self) -> None:
        drawing = errors.__doc__ or ""
        assert [one.__name__ for one in tree(GitHubError) if one.__name__ not in drawing] == []

    @pytest.mark.parametrize(
        "error", [BadCredentials, Forbidden, Gone, Invalid, MissingScopes, NotFound, OAuthError]
    )
    def test_what_a_person_has_to_mend_is_permanent(self, error: type[GitHubError]) -> None:
        assert error.permanent

    @pytest.mark.parametrize("error", [RateLimited, Unavailable, PageTooLarge, UnexpectedAnswer])
    def test_what_passes_is_not_permanent(self, error: type[GitHubError]) -> None:
        assert not error.permanent


class TestText:
    def test_it_tells_reason_status_and_request(self) -> None:
        error = NotFound("Not Found", status=404, request_id="AB:CD")
        assert str(error) == "not_found: Not Found (status 404, request AB:CD)"

    def test_it_tells_the_reason_alone_when_nothing_else_is_known(self) -> None:
        assert str(Unavailable()) == "github_unavailable"

    @pytest.mark.parametrize(
        "token",
        [
            "ghp_abc123",
            "gho_abc123",
            "ghs_a_b",
            "github_pat_11ABC_def",
            "0123456789abcdef" * 2 + "01234567",
        ],
    )
    def test_it_hides_what_looks_like_a_token(self, token: str) -> None:
        error = Invalid(f"no use for {token}!", request_id=token)
        assert token not in str(error)
        assert token not in repr(error)
        assert "no use for ***!" in str(error)

    def test_it_is_one_short_line(self) -> None:
        text = str(Invalid("a\r\nb\0c" + "x" * 5000))
        assert text.isprintable()
        assert len(text) < 400


class TestOAuthError:
    def test_its_reason_is_made_of_githubs_code(self) -> None:
        assert OAuthError(code="bad_verification_code").reason == "oauth_bad_verification_code"

    @pytest.mark.parametrize("code", ["", "<script>", "x" * 41, "Über", "two words"])
    def test_a_code_that_is_none_counts_as_failed(self, code: str) -> None:
        error = OAuthError(code=code)
        assert (error.code, error.reason) == ("failed", "oauth_failed")


class TestSamlRequired:
    def test_it_is_forbidden_with_an_address(self) -> None:
        error: Forbidden = SamlRequired(url="https://github.com/orgs/acme/sso")
        assert isinstance(error, SamlRequired)
        assert error.url == "https://github.com/orgs/acme/sso"
