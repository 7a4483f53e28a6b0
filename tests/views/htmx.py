"""How htmx says that it asks."""

from __future__ import annotations

HTMX = {"HX-Request": "true"}
