"""Databases of the project: files of SQLite, or databases of one server."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit


def databases(url: str | None, folder: Path) -> dict[str, dict[str, Any]]:
    """Return `default`, `second` (which has the audit table) and `bare` (which has not)."""
    if not url:
        return {
            name: {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": str(folder / f"{name}.db"),
                "OPTIONS": {"timeout": 60, "transaction_mode": "IMMEDIATE"},
            }
            for name in ("default", "second", "bare")
        }
    parts = urlsplit(url)
    more = dict(parse_qsl(parts.query))
    mysql = parts.scheme == "mysql"
    if mysql:
        import pymysql

        pymysql.install_as_MySQLdb()
    shared = {
        "ENGINE": f"django.db.backends.{'mysql' if mysql else 'postgresql'}",
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": more.get("host") or parts.hostname or "",
        "PORT": str(parts.port or ""),
    }
    return {name: {**shared, "NAME": f"{name}_of_tests"} for name in ("default", "second", "bare")}
