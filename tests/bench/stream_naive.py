"""django-eventstream as it comes: its own view, storage and listener in a plain application.

`tests.bench.stream_naive:application` for uvicorn, with the product's settings, sessions and
people, so that the same requests are answered as by the product. Left out is what the product put
in their place: the door, the audience, the rows as storage; and the pool, which bounds the
connections of a process and so would have the seventeenth viewer wait for ever.
"""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.urls import include, path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

_redis = urlsplit(settings.LIVE_REDIS_URL)
settings.ROOT_URLCONF = __name__
settings.EVENTSTREAM_STORAGE_CLASS = "django_eventstream.storage.DjangoModelStorage"
settings.EVENTSTREAM_REDIS = {"host": _redis.hostname, "port": _redis.port, "db": 0}
settings.DATABASES["default"].get("OPTIONS", {}).pop("pool", None)

urlpatterns = [path("t/<slug:team_slug>/live/", include("django_eventstream.urls"))]

application = get_asgi_application()
