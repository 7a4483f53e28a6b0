"""The settings as production reads them, with static files gathered elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

from project.settings import *  # noqa: F403, TID251 (a settings module is made of the other one)

ROOT_URLCONF = "tests.security.production_urls"
STATIC_ROOT = Path(os.environ["TEST_STATIC_ROOT"])
