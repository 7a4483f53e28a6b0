"""A private RabbitMQ for tests, from Debian's package: its own name, ports, cookie and folder.

It can be stopped, killed, and started again on the same port. It listens with TLS as well, under a
certificate of an authority that nobody else knows. Knows no Django.
"""

from __future__ import annotations

import ipaddress
import os
import shutil
import signal
import subprocess
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pika
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.processes import free_port, wait_until

# Debian's /usr/sbin/rabbitmq-server wants to become the service's user; this is what it starts.
SERVER: Final = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
START_TIMEOUT_S: Final = 60
IS_THERE: Final = SERVER.exists()


def make_certificates(directory: Path) -> Path:
    """Write an authority (`ca.pem`) and a server's certificate by it; return the authority's file.

    The server's is for 127.0.0.1 and for the name rabbitmq.test, for a day.
    """
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name, name = (
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, words)])
        for words in ("tests' authority", "rabbitmq.test")
    )
    addresses = [
        x509.DNSName("rabbitmq.test"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]
    authority = _certificate(ca_name, ca_key, issuer=ca_name, by=ca_key).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    server = _certificate(name, key, issuer=ca_name, by=ca_key).add_extension(
        x509.SubjectAlternativeName(addresses), critical=False
    )
    for file_name, builder in (("ca.pem", authority), ("server.pem", server)):
        signed = builder.sign(ca_key, hashes.SHA256())
        (directory / file_name).write_bytes(signed.public_bytes(Encoding.PEM))
    (directory / "server.key").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return directory / "ca.pem"


def _certificate(
    name: x509.Name, key: ec.EllipticCurvePrivateKey, *, issuer: x509.Name,
    by: ec.EllipticCurvePrivateKey,
) -> x509.CertificateBuilder:  # fmt: skip
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder(issuer, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False
        )
    )


class RabbitMQ:
    """One node. Its queues survive a kill; Erlang's name server is its own, and goes with it."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="rollcall-rabbitmq-"))
        self.port, distribution_port, self._epmd_port = free_port(), free_port(), free_port()
        self.tls_port = free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}/%2F"
        self.ca_file = make_certificates(self.directory)
        self.tls_url = f"amqps://guest:guest@127.0.0.1:{self.tls_port}/%2F"
        config = self.directory / "rabbitmq.conf"
        # A test machine's full disk must not block publishers.
        config.write_text(
            "disk_free_limit.absolute = 1MB\nvm_memory_high_watermark.relative = 0.9\n"
            f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}\n"
            f"ssl_options.cacertfile = {self.ca_file}\n"
            f"ssl_options.certfile = {self.directory / 'server.pem'}\n"
            f"ssl_options.keyfile = {self.directory / 'server.key'}\n"
            "ssl_options.verify = verify_none\n"
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
