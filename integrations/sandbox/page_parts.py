"""Pieces of the few HTML pages: files in `pages/` with $names, filled with escaped words."""

from __future__ import annotations

from html import escape
from pathlib import Path
from string import Template

from starlette.responses import HTMLResponse

_FOLDER = Path(__file__).parent / "pages"


def page(name: str, *, status: int = 200, **pieces: str) -> HTMLResponse:
    """Fill a page. Every piece is HTML already: words go through `escape` first."""
    template = Template((_FOLDER / f"{name}.html").read_text())
    return HTMLResponse(template.substitute(pieces), status_code=status)


def message(title: str, text: str, *, status: int) -> HTMLResponse:
    return page("message", status=status, title=escape(title), text=escape(text))


def stylesheet() -> str:
    return (_FOLDER / "sandbox.css").read_text()


def option(value: str, words: str, *, selected: bool = False) -> str:
    mark = " selected" if selected else ""
    return f'<option value="{escape(value)}"{mark}>{escape(words)}</option>'


def hidden(name: str, value: str) -> str:
    return f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'


def row(*cells: str) -> str:
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def button_form(action: str, words: str, **fields: str) -> str:
    inputs = "".join(hidden(name, value) for name, value in fields.items())
    target = escape(action)
    return f'<form method="post" action="{target}">{inputs}<button>{escape(words)}</button></form>'
