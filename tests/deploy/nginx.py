"""A real nginx that runs docs/deploy/nginx.conf itself, with this test's ports and certificate."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.processes import REPOSITORY, free_port, is_listening, wait_until

if TYPE_CHECKING:
    from pathlib import Path

CONFIGURATION: Final = REPOSITORY / "docs" / "deploy" / "nginx.conf"
PUSHPIN_GUIDE: Final = REPOSITORY / "docs" / "pushpin.md"
HOST: Final = "rollcall.example.com"
# Debian keeps it where only root's PATH looks.
NGINX: Final = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
# Longer than the stream's 15 s between two comments, and far shorter than anybody waits.
READ_TIMEOUT_S: Final = 18


class Nginx:
    """Listens at two free ports of 127.0.0.1; `certificate` is what its clients have to trust."""

    def __init__(
        self, directory: Path, *, web_ports: tuple[int, int], pushpin_port: int | None = None
    ) -> None:
        self.directory = directory
        self.http_port, self.https_port = free_port(), free_port()
        self.certificate = directory / "certificate.pem"
        self.static_root = directory / "staticfiles"
        self.static_root.mkdir(parents=True)
        _make_certificate(self.certificate, directory / "key.pem")
        self._configuration = directory / "nginx.conf"
        text = CONFIGURATION.read_text()
        if pushpin_port is not None:
            text = _with_pushpin(text, pushpin_port)
        self._configuration.write_text(self._substituted(text, web_ports))
        self._running: subprocess.Popen[bytes] | None = None

    def _substituted(self, text: str, web_ports: tuple[int, int]) -> str:
        """Put this machine's places into the file. What is to be replaced has to be there."""
        prefix = f"{self.directory}/"
        for pattern, ours in {
            # Nobody else may look into pytest's folders.
            r"user www-data;\n": "user root;\n" if os.geteuid() == 0 else "",
            r"pid \S+;": f"daemon off;\npid {prefix}nginx.pid;",
            r"http \{\n": "http {\n" + "".join(
                f"  {kind}_temp_path {prefix}{kind};\n"
                for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            ),
            # Tests are refused more files than this machine lets them open.
            r"worker_rlimit_nofile \d+;": "",
            r"worker_connections \d+;": "worker_connections 256;",
            r"worker_processes auto;": "worker_processes 1;",
            r"/var/log/nginx/": prefix,
            r"listen \[::\]:\S+.*;\n": "",
            r"listen 80\b": f"listen 127.0.0.1:{self.http_port}",
            r"listen 443\b": f"listen 127.0.0.1:{self.https_port}",
            r"/etc/letsencrypt/live/\S+/fullchain\.pem": str(self.certificate),
            r"/etc/letsencrypt/live/\S+/privkey\.pem": f"{prefix}key.pem",
            r"127\.0\.0\.1:8001": f"127.0.0.1:{web_ports[0]}",
            r"127\.0\.0\.1:8002": f"127.0.0.1:{web_ports[1]}",
            r"/opt/rollcall/staticfiles/": f"{self.static_root}/",
            r"proxy_read_timeout 60s;\n      #": f"proxy_read_timeout {READ_TIMEOUT_S}s;\n      #",
        }.items():  # fmt: skip
            text, count = re.subn(pattern, ours, text)
            assert count, f"{pattern} is not in {CONFIGURATION.name}"
        return text

    def start(self) -> None:
        assert NGINX is not None
        log = (self.directory / "output.log").open("ab")
        with log:
            self._running = subprocess.Popen(
                [NGINX, "-e", str(self.directory / "error.log"), "-c", str(self._configuration)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        wait_until(self._is_up_or_over, what="nginx at its port")
        assert self._running.poll() is None, self.said

    @property
    def said(self) -> str:
        logs = [self.directory / name for name in ("output.log", "error.log")]
        return "".join(path.read_text() for path in logs if path.exists())

    @property
    def noted(self) -> str:
        """What it wrote down of requests."""
        path = self.directory / "access.log"
        return path.read_text() if path.exists() else ""

    def stop(self) -> None:
        if self._running is not None:
            self._running.terminate()
            self._running.wait(timeout=10)

    def _is_up_or_over(self) -> bool:
        assert self._running is not None
        return self._running.poll() is not None or is_listening(self.https_port)


def _with_pushpin(text: str, port: int) -> str:
    """Put in what docs/pushpin.md tells to, where nginx looks for it first."""
    guide = PUSHPIN_GUIDE.read_text()
    for kind, before in (
        ("upstream rollcall_pushpin", "  upstream rollcall_web {"),
        (r"location ~ \^/t/", "    # The streams."),
    ):
        block = re.search(rf"^{kind}.*?^\}}\n", guide, re.MULTILINE | re.DOTALL)
        assert block is not None, f"{PUSHPIN_GUIDE.name} says nothing of {kind}"
        assert text.count(before) == 1, f"{before} is not in {CONFIGURATION.name}"
        text = text.replace(before, f"{block[0]}{before}")
    assert text.count("127.0.0.1:7999") == 1
    return text.replace("127.0.0.1:7999", f"127.0.0.1:{port}")


def _make_certificate(certificate: Path, key: Path) -> None:
    private_key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.now(tz=UTC)
    names = [x509.DNSName(HOST), x509.IPAddress(ip_address("127.0.0.1"))]
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(private_key, hashes.SHA256())
    )
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        private_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
