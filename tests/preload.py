"""What the process that others are forked from loads: all of the product. See preloaded.py."""

import gc
import importlib

import django

django.setup()
for name in (
    "uvicorn.main",
    "uvloop",
    "project.asgi",
    "project.urls",
    "integrations.tasks",
    "integrations.management.commands.run_scheduler",
    "django_dramatiq.setup",
    "django_dramatiq.management.commands.rundramatiq",
):
    importlib.import_module(name)
# So that the forks go on sharing these pages.
gc.collect()
gc.freeze()
