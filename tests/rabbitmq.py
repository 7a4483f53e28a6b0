"""A private RabbitMQ for tests, from Debian's package: its own name, ports, cookie and folder.

It can be stopped, killed, and started again on the same port. Knows no Django.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

import pika

from tests.processes import free_port, wait_until

# Debian's /usr/sbin/rabbitmq-server wants to become the service's user; this is what it starts.
SERVER: Final = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
START_TIMEOUT_S: Final = 60
IS_THERE: Final = SERVER.exists()


class RabbitMQ:
    """One node. Its queues survive a kill; Erlang's name server is its own, and goes with it."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="rollcall-rabbitmq-"))
        self.port, distribution_port, self._epmd_port = free_port(), free_port(), free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}/%2F"
        config = self.directory / "rabbitmq.conf"
        # A test machine's full disk must not block publishers.
        config.write_text(
            "disk_free_limit.absolute = 1MB\nvm_memory_high_watermark.relative = 0.9\n"
        )
        plugins = self.directory / "enabled_plugins"
        plugins.write_text("[].\n")
        (self.directory / "env").touch()
        self.environment = {
            "HOME": str(self.directory),
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "RABBITMQ_NODENAME": f"rollcall-{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(distribution_port),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            # Else it refuses to go while it remembers a node that was killed.
            "ERL_EPMD_RELAXED_COMMAND_CHECK": "1",
            "RABBITMQ_MNESIA_BASE": str(self.directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.directory / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
            "RABBITMQ_CONFIG_FILE": str(config),
            "RABBITMQ_CONF_ENV_FILE": str(self.directory / "env"),
            # As little of the machine as a node can do with.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
        }
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        return self._server is not None and self._server.poll() is None

    def start(self) -> None:
        with (self.directory / "output").open("ab") as output:
            self._server = subprocess.Popen(
                [SERVER], env=self.environment, cwd=self.directory, stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        wait_until(self._answers, timeout_s=START_TIMEOUT_S, what="RabbitMQ being ready")

    def kill(self) -> None:
        """Kill the node with no time to write anything down."""
        assert self._server is not None
        os.killpg(self._server.pid, signal.SIGKILL)
        self._server.wait()

    def stall(self) -> None:
        """Have it answer nobody, with its connections open, until `go_on`."""
        assert self._server is not None
        os.killpg(self._server.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._server is not None
        os.killpg(self._server.pid, signal.SIGCONT)

    def remove(self) -> None:
        if self.is_running:
            self.kill()
        subprocess.run(
            ["epmd", "-kill"], env=self.environment, capture_output=True, check=False, timeout=10
        )
        shutil.rmtree(self.directory, ignore_errors=True)

    def connect(self) -> pika.BlockingConnection:
        return pika.BlockingConnection(pika.URLParameters(self.url))

    def forget_everything(self, *queues: str) -> None:
        with self.connect() as connection:
            for queue in queues:
                for name in (queue, f"{queue}.DQ", f"{queue}.XQ"):
                    connection.channel().queue_delete(name)

    def count(self, queue: str) -> int:
        """Return how many messages are ready in a queue, which has to be there."""
        with self.connect() as connection:
            found: Any = connection.channel().queue_declare(queue, passive=True)
            return int(found.method.message_count)

    def consumer_count(self, queue: str) -> int:
        with self.connect() as connection:
            found: Any = connection.channel().queue_declare(queue, passive=True)
            return int(found.method.consumer_count)

    def _answers(self) -> bool:
        assert self.is_running, (self.directory / "output").read_text(errors="replace")
        try:
            self.connect().close()
        except (pika.exceptions.AMQPError, OSError):
            return False
        return True
