"""The doctor on Pushpin, where it holds the streams: whether it takes what is published."""

from __future__ import annotations

from typing import TYPE_CHECKING

import requests

from integrations.live.grip_publish import pushpins
from integrations.ops.findings import bad, good

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integrations.ops.findings import Finding


def examine() -> Iterator[Finding]:
    """Yield what there is to say of each Pushpin; nothing where the web processes hold streams."""
    for pushpin in pushpins():
        try:
            pushpin.check()
        except requests.RequestException as exc:
            yield bad(
                "pushpin", f"{pushpin.control_url} takes nothing: {type(exc).__name__}.",
                "Start it, or mend GRIP_URL: its push_in_http_addr and push_in_http_port.",
            )  # fmt: skip
        else:
            yield good("pushpin", f"{pushpin.control_url} takes what is published.")
