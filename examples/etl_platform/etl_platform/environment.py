"""Read the environment variables that place the platform: database, cache, broker."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit


def database(environ: Mapping[str, str], *, data: Path) -> dict[str, Any]:
    """Return Django's `DATABASES["default"]`: PostgreSQL by `DATABASE_URL`, else SQLite.

    SQLite serves several processes at once here: WAL lets readers read while somebody
    writes; a transaction takes its write lock at once (IMMEDIATE), since one that reads
    first and writes later can't wait for the lock and fails with "database is locked";
    and whoever must wait does so for up to a minute.
    """
    url = environ.get("DATABASE_URL", "")
    if not url:
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": data / "platform.sqlite3",
            "OPTIONS": {
                "timeout": 60,
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            },
        }
    parts = urlsplit(url)
    if parts.scheme not in ("postgres", "postgresql"):
        raise ValueError(
            f"DATABASE_URL must start with postgresql://, got {parts.scheme}://. "
            "Example: postgresql://user:password@localhost:5432/etl. Unset it for SQLite."
        )
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        # A socket's folder does not fit where a URL has its host: `?host=/var/run/postgresql`.
        "HOST": dict(parse_qsl(parts.query)).get("host") or parts.hostname or "",
        "PORT": parts.port or "",
        **_pool(environ.get("DATABASE_POOL", "")),
    }


def _pool(size: str) -> dict[str, Any]:
    return {"OPTIONS": {"pool": {"min_size": 1, "max_size": int(size)}}} if size else {}


def cache(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return Django's `CACHES["default"]`: Redis by `CACHE_URL`, else this process' memory."""
    url = environ.get("CACHE_URL", "")
    if url:
        return {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": url}
    return {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
