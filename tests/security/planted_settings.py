"""The production settings with an app beside the product's whose actors fail with secrets."""

from __future__ import annotations

from tests.security import production_settings
from tests.security.production_settings import *  # noqa: F403 (as production_settings)

INSTALLED_APPS = [*production_settings.INSTALLED_APPS, "tests.security.failing"]
