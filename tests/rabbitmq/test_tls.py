"""Messages by TLS, and a RabbitMQ that can't show who it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dramatiq
import pytest
from dramatiq.errors import ConnectionClosed
from dramatiq.middleware import CurrentMessage

from integrations.rabbitmq.broker import QuorumBroker
from tests.processes import wait_until
from tests.rabbitmq.common import QUEUE, on_rabbitmq

if TYPE_CHECKING:
    from tests.rabbitmq.node import RabbitMQ


class TestTls:
    pytestmark = on_rabbitmq

    def test_messages_go_and_come_with_an_authority_of_one_s_own(self, rabbitmq: RabbitMQ) -> None:
        url = f"{rabbitmq.tls_url}?cacertfile={rabbitmq.ca_file}"
        broker = QuorumBroker(url=url, middleware=[CurrentMessage()])
        ran: list[int] = []
        actor = dramatiq.actor(queue_name=QUEUE, actor_name="notes", broker=broker)(ran.append)
        worker = dramatiq.Worker(broker, worker_timeout=50, worker_threads=1)
        worker.start()
        try:
            actor.send(1)
            wait_until(lambda: ran == [1])
        finally:
            worker.stop()
            broker.close()

    @pytest.mark.parametrize(
        "query", ["", "?cacertfile={ca}&server_name_indication=somebody.else.test"]
    )
    def test_who_can_t_show_that_it_is_rabbitmq_gets_nothing(
        self, rabbitmq: RabbitMQ, query: str
    ) -> None:
        broker = QuorumBroker(url=rabbitmq.tls_url + query.format(ca=rabbitmq.ca_file))
        try:
            with pytest.raises(ConnectionClosed, match="certificate"):
                broker.declare_queue(QUEUE, ensure=True)
        finally:
            broker.close()

    def test_its_name_may_be_another_than_the_host_s(self, rabbitmq: RabbitMQ) -> None:
        query = f"?cacertfile={rabbitmq.ca_file}&server_name_indication=rabbitmq.test"
        broker = QuorumBroker(url=rabbitmq.tls_url + query)
        try:
            broker.declare_queue(QUEUE, ensure=True)
        finally:
            broker.close()
        assert rabbitmq.count(QUEUE) == 0
