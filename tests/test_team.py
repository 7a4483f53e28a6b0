"""The link in an invitation's mail, under the name by which the browser's tests still know it."""

from __future__ import annotations

from tests.team.reading import link_in

__all__ = ["link_in"]
