"""What an amqps:// address says of certificates, in RabbitMQ's own words for its clients.

`cacertfile`, `certfile`, `keyfile` and `server_name_indication` stand in the query, as in
https://www.rabbitmq.com/docs/uri-query-parameters; pika knows none of them.
"""

from __future__ import annotations

import ssl
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pika

FILES: Final = ("cacertfile", "certfile", "keyfile")
NAME: Final = "server_name_indication"


def told_of_tls(url: str) -> tuple[str, dict[str, str]]:
    """Return the address without these parameters, and their values."""
    parts = urlsplit(url)
    query = parse_qsl(parts.query, keep_blank_values=True)
    told = {name: value for name, value in query if name in {*FILES, NAME}}
    rest = [(name, value) for name, value in query if name not in told]
    return urlunsplit(parts._replace(query=urlencode(rest))), told


def options_of(told: dict[str, str]) -> pika.SSLOptions:
    """Return how RabbitMQ's certificate is checked, and ours shown.

    By the given authority alone, else by those that the machine trusts; always by the host's name.
    Raises OSError for a file that can't be read, and ssl.SSLError for one that is no certificate.
    """
    context = ssl.create_default_context(cafile=told.get("cacertfile"))
    if "certfile" in told:
        context.load_cert_chain(told["certfile"], told.get("keyfile"))
    return pika.SSLOptions(context, told.get(NAME))
