"""BROKER_URL: which addresses and files of certificates the product starts with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import environ
import pytest
from django.core.exceptions import ImproperlyConfigured

from integrations.rabbitmq.link import parameters_of
from project.broker import read_broker
from tests.rabbitmq.node import make_certificates

if TYPE_CHECKING:
    from pathlib import Path


class TestBrokerUrl:
    @pytest.mark.parametrize(
        "url", ["kafka://host", "amqp:host", "localhost:5672", "redis://", "stub://x"]
    )
    def test_an_unknown_one_stops_the_process_with_the_valid_ones(
        self, monkeypatch: pytest.MonkeyPatch, url: str
    ) -> None:
        monkeypatch.setenv("BROKER_URL", url)
        with pytest.raises(ImproperlyConfigured, match=r"BROKER_URL.*redis://.*amqps://HOST"):
            read_broker(environ.Env(), default="redis://a/1", namespace="n")

    def test_without_one_it_is_the_redis_of_the_rest(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("BROKER_URL", "")
        found = read_broker(environ.Env(), default="redis://a:1/1", namespace="n")
        assert (found.redis_url, found.options["url"]) == ("redis://a:1/1", "redis://a:1/1")

    def test_another_redis_is_taken_as_it_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("BROKER_URL", "rediss://b:2/5")
        found = read_broker(environ.Env(), default="redis://a:1/1", namespace="n")
        assert found.redis_url == "rediss://b:2/5"


class TestCertificateFiles:
    @pytest.mark.parametrize(
        ("url", "words"),
        [
            ("amqps://host/v?cacertfile={empty}/none.pem", "no file that is there as cacertfile"),
            ("amqps://host/v?certfile={empty}/none.pem", "no file that is there as certfile"),
            ("amqps://host/v?cacertfile={file}", "certificates that can't be used"),
            ("amqp://host/v?cacertfile={file}", "names cacertfile, which is for amqps:// alone"),
        ],
    )
    def test_one_that_can_t_be_used_stops_the_process(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str, words: str
    ) -> None:
        file = tmp_path / "no-certificate.pem"
        file.write_text("nothing")
        monkeypatch.setenv("BROKER_URL", url.format(empty=tmp_path, file=file))
        with pytest.raises(ImproperlyConfigured, match=f"BROKER_URL.*{words}"):
            read_broker(environ.Env(), default="redis://a/1", namespace="n")

    def test_good_ones_don_t(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        ca = make_certificates(tmp_path)
        url = (
            f"amqps://u:p@host/v?heartbeat=30&cacertfile={ca}"
            f"&certfile={tmp_path / 'server.pem'}&keyfile={tmp_path / 'server.key'}"
        )
        monkeypatch.setenv("BROKER_URL", url)
        found = read_broker(environ.Env(), default="redis://a/1", namespace="n")
        parameters = parameters_of(found.options["url"])
        assert (parameters.host, parameters.port, parameters.virtual_host) == ("host", 5671, "v")
