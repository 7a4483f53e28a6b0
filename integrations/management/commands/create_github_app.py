"""`manage.py create_github_app`: from nothing to a GitHub App in two minutes.

Opens GitHub's page with our manifest, waits for it to come back to this machine, and writes the
App's id and secrets to `.env`, or prints them.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
import webbrowser
from html import escape
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from integrations.constants import APP_EVENTS, APP_PERMISSIONS
from integrations.github import app_manifest
from integrations.github.errors import GitHubError
from integrations.management.env_file import read_value, write_values

if TYPE_CHECKING:
    from integrations.github.app import NewApp

HOST: Final = "127.0.0.1"
# GitHub's code is good for an hour.
PATIENCE_S: Final = 60 * 60
PAGE: Final = """<!doctype html>
<meta charset="utf-8"><title>Rollcall</title>
<body style="font: 1rem/1.5 system-ui; max-width: 36rem; margin: 4rem auto; padding: 0 1rem">
{body}
"""
FORM: Final = """<h1>Create the GitHub App</h1>
<p>GitHub shows what it will be allowed to read, and asks you for a name.</p>
<form method="post" action="{address}"><input type="hidden" name="manifest" value="{manifest}">
<button style="font: inherit; padding: .5rem 1rem">Go on to GitHub</button></form>"""


class Command(BaseCommand):
    help = "Makes a GitHub App for this Rollcall and keeps its keys in .env."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--url", default=settings.SITE_URL, help="where people reach Rollcall")
        parser.add_argument("--name", default="Rollcall", help="the App's name, unique on GitHub")
        parser.add_argument("--organization", default="", help="who owns it, instead of yourself")
        parser.add_argument("--env-file", type=Path, default=settings.BASE_DIR / ".env")
        parser.add_argument("--print", action="store_true", help="print instead of writing a file")
        parser.add_argument("--replace", action="store_true", help="replace the App in the file")
        parser.add_argument("--no-browser", action="store_true", help="only say where to go")
        parser.add_argument("--port", type=int, default=0, help="0 lets the system choose")

    def handle(self, **options: Any) -> None:
        env_file: Path = options["env_file"]
        if (
            not options["print"]
            and not options["replace"]
            and read_value(env_file, "GITHUB_APP_ID")
        ):
            raise CommandError(
                f"{env_file} has a GitHub App already. Use --replace for a new one, or --print."
            )
        server = Callback(port=options["port"])
        # A sandbox on this machine reaches this machine; GitHub doesn't.
        is_local = not app_manifest.is_reachable(settings.GITHUB_URL)
        with_webhooks = is_local or app_manifest.is_reachable(options["url"])
        server.offer(
            app_manifest.manifest(
                name=options["name"],
                site_url=options["url"],
                redirect_url=f"{server.url}/callback",
                permissions=APP_PERMISSIONS,
                events=APP_EVENTS,
                with_webhooks=with_webhooks,
            ),
            organization=options["organization"],
        )
        self.stdout.write(f"Open {server.url}/ and follow GitHub. Ctrl-C gives up.")
        self.stdout.flush()
        if not options["no_browser"]:
            webbrowser.open(f"{server.url}/")
        code = server.wait_for_code()
        try:
            made = app_manifest.convert(api_url=settings.GITHUB_API_URL, code=code)
        except GitHubError as exc:
            raise CommandError(f"GitHub made no App of it: {exc}") from exc
        self._keep(made, env_file=None if options["print"] else env_file)
        if not with_webhooks:
            self.stderr.write(
                f"GitHub can't reach {options['url']}, so that the App's webhooks are off. "
                "Switch them on in its settings once Rollcall has a public address."
            )

    def _keep(self, made: NewApp, *, env_file: Path | None) -> None:
        known = read_value(env_file, "GITHUB_WEBHOOK_SECRET") if env_file else ""
        webhook_secrets = [made.webhook_secret, *known.split(",")]
        values = {
            "GITHUB_APP_ID": str(made.id),
            "GITHUB_APP_SLUG": made.slug,
            "GITHUB_APP_CLIENT_ID": made.client_id,
            "GITHUB_APP_CLIENT_SECRET": made.client_secret,
            "GITHUB_APP_PRIVATE_KEY": made.private_key.replace("\n", "\\n"),
            "GITHUB_APP_URL": made.html_url,
            # Newest first; an older App's deliveries may still be on their way.
            "GITHUB_WEBHOOK_SECRET": ",".join(secret for secret in webhook_secrets if secret),
        }
        if env_file is None:
            for name, value in values.items():
                self.stdout.write(f'{name}="{value}"')
            return
        write_values(env_file, values)
        self.stdout.write(
            f"{made.name} is made: {made.html_url}. Its keys are in {env_file}; restart Rollcall.",
            self.style.SUCCESS,
        )


class Callback:
    """A web server on this machine for one person and one answer."""

    def __init__(self, *, port: int) -> None:
        self.state = secrets.token_urlsafe(32)
        self.code = ""
        self._form = ""
        self._came = threading.Event()
        self._server = HTTPServer((HOST, port), _handler_of(self))
        self.url = f"http://{HOST}:{self._server.server_port}"

    def offer(self, manifest: Any, *, organization: str) -> None:
        """Serve the form that posts a manifest to GitHub."""
        address = app_manifest.address(
            settings.GITHUB_URL, state=self.state, organization=organization
        )
        self._form = FORM.format(
            address=escape(address), manifest=escape(json.dumps(manifest), quote=True)
        )
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def wait_for_code(self) -> str:
        """Return GitHub's code. Raises CommandError when it doesn't come in time."""
        try:
            ends_at = time.monotonic() + PATIENCE_S
            while not self._came.wait(timeout=0.5):
                if time.monotonic() > ends_at:
                    raise CommandError("GitHub didn't come back within an hour.")
        except KeyboardInterrupt as exc:
            raise CommandError("Given up; no App was made.") from exc
        finally:
            self._server.shutdown()
            self._server.server_close()
        return self.code

    def answer(self, path: str) -> tuple[int, str]:
        """Return the status and the page for an address; take the code of the right one."""
        asked = urlsplit(path)
        if asked.path == "/":
            return 200, self._form
        if asked.path != "/callback":
            return 404, "<h1>Not found</h1>"
        query = parse_qs(asked.query)
        state, code = query.get("state", [""])[0], query.get("code", [""])[0]
        if not code or not secrets.compare_digest(state.encode(), self.state.encode()):
            return 400, "<h1>This answer doesn't belong to the App you just began</h1>"
        self.code = code
        self._came.set()
        return 200, "<h1>Done</h1><p>Go back to your terminal. You can close this page.</p>"


def _handler_of(callback: Callback) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        # The server's own name for it.
        def do_GET(self) -> None:
            status, body = callback.answer(self.path)
            content = PAGE.format(body=body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            """Say nothing: the code stands in the address."""

    return Handler
