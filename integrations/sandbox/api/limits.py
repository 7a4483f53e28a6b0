"""Primary rate limits: a bucket of points for each person and resource, refilled every hour.

https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

Resource = Literal["core", "graphql"]

RESOURCES: tuple[Resource, ...] = ("core", "graphql")
POINTS_WITHOUT_TOKEN = 60
_WINDOW_S = 3_600


@dataclass
class Bucket:
    resource: Resource
    limit: int
    reset_at: int  # epoch seconds
    used: int = 0

    @property
    def remaining(self) -> int:
        return max(0, self.limit - self.used)

    def spend(self, points: int) -> bool:
        """Take points; False when there are none left, which takes nothing."""
        if self.remaining < points:
            return False
        self.used += points
        return True

    def give_back(self, points: int) -> None:
        self.used -= points


class Limits:
    def __init__(self, *, points_per_hour: int) -> None:
        self._points_per_hour = points_per_hour
        self._buckets: dict[tuple[str, Resource], Bucket] = {}

    def bucket(self, key: str, resource: Resource, *, with_token: bool) -> Bucket:
        """Return the bucket of a person (or of an address, without a token), full if due."""
        now = int(time.time())
        bucket = self._buckets.get((key, resource))
        if bucket is None or bucket.reset_at <= now:
            limit = self._points_per_hour if with_token else POINTS_WITHOUT_TOKEN
            bucket = Bucket(resource, limit, reset_at=now + _WINDOW_S)
            self._buckets[key, resource] = bucket
        return bucket
