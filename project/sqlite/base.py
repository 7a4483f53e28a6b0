"""Django's SQLite backend, told how many parameters this SQLite really takes, and how to wait.

Django 5.2 assumes 999, the default before SQLite 3.32 (2020), and would write one page of a hundred
members in two statements; Django 6.0 asks the library, as this does. turns.py has the waiting.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from django.db.backends.sqlite3 import base, features

from project.query_log import WithoutQueryLog
from project.sqlite.turns import Cursor

# Python's own: how long a writer waits where no settings say it.
TIMEOUT_S = 5.0


class DatabaseFeatures(features.DatabaseFeatures):
    @property
    def max_query_params(self) -> int:  # type: ignore[override]
        self.connection.ensure_connection()
        limit: int = self.connection.connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
        return limit


class DatabaseWrapper(WithoutQueryLog, base.DatabaseWrapper):
    features_class: Any = DatabaseFeatures

    def create_cursor(self, name: str | None = None) -> Any:
        cursor = self.connection.cursor(factory=Cursor)
        cursor.timeout_s = self.settings_dict["OPTIONS"].get("timeout", TIMEOUT_S)
        return cursor
