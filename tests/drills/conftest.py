"""The stage of every drill."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.drills.harness import Drill

if TYPE_CHECKING:
    from tests.processes import Valkey
    from tests.sandbox_control import SandboxControl
    from tests.stack import Stack


@pytest.fixture
def drill(stack: Stack, valkey: Valkey, sandbox: SandboxControl) -> Drill:
    return Drill(stack, valkey, sandbox)
