"""The node that all tests of a pytest process share, and who uses it: processes, a broker, Olga."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dramatiq
import pytest
from dramatiq.middleware import CurrentMessage

from integrations.rabbitmq.broker import QuorumBroker
from tests.factories import UserFactory
from tests.rabbitmq.common import QUEUES
from tests.rabbitmq.node import RabbitMQ

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integrations.models import User
    from tests.stack import Stack


@pytest.fixture(scope="session")
def node() -> Iterator[RabbitMQ]:
    """One node for all tests of a pytest process."""
    running = RabbitMQ()
    try:
        running.start()
        yield running
    finally:
        running.remove()


@pytest.fixture
def rabbitmq(node: RabbitMQ, monkeypatch: pytest.MonkeyPatch) -> RabbitMQ:
    """The node, running, with no queue; processes that are started now use it."""
    if not node.is_running:
        node.start()
    node.forget_everything(*QUEUES)
    monkeypatch.setenv("BROKER_URL", node.url)
    return node


@pytest.fixture
def on_node(rabbitmq: RabbitMQ, stack: Stack) -> Stack:
    """The product's processes, with their messages at RabbitMQ."""
    return stack


@pytest.fixture
def quorum(rabbitmq: RabbitMQ) -> Iterator[QuorumBroker]:
    """This process's broker for the length of a test."""
    before = dramatiq.get_broker()
    made = QuorumBroker(url=rabbitmq.url, middleware=[CurrentMessage()])
    dramatiq.set_broker(made)
    yield made
    dramatiq.set_broker(before)
    made.close()


@pytest.fixture
def olga(db: None) -> User:
    """An operator."""
    found: User = UserFactory(email="olga@example.com", is_staff=True)
    return found
