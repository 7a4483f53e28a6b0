"""Lines of an environment file, replaced or added, and nothing else touched."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def read_value(path: Path, name: str) -> str:
    """Return a variable's value, empty when the file or the variable isn't there."""
    if not path.exists():
        return ""
    found = re.findall(rf"^{re.escape(name)}=(.*)$", path.read_text(), re.MULTILINE)
    return str(found[-1]).strip().strip('"') if found else ""


def write_values(path: Path, values: Mapping[str, str]) -> None:
    """Set variables in the file, readable for its owner only; a crash leaves the old file whole."""
    lines = path.read_text().splitlines() if path.exists() else []
    kept = [line for line in lines if line.partition("=")[0].strip() not in values]
    text = "\n".join([*kept, *[f'{name}="{value}"' for name, value in values.items()], ""])
    fresh = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)
