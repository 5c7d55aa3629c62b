"""Where the platform finds its database and its cache."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def places() -> ModuleType:
    """Load `etl_platform/environment.py` without its package, which would load Celery."""
    from nyc import landing

    path = Path(landing.__file__).parents[1] / "etl_platform" / "environment.py"
    spec = importlib.util.spec_from_file_location("platform_environment", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_sqlite_can_be_written_by_several_processes(places: ModuleType) -> None:
    """The default is SQLite with a write-ahead log, immediate transactions and a long patience."""
    assert places.database({}, data=Path("/data")) == {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": Path("/data/platform.sqlite3"),
        "OPTIONS": {
            "timeout": 60,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    }


def test_url_selects_postgresql(places: ModuleType) -> None:
    """All parts of the URL are taken, a quoted password too."""
    url = "postgresql://etl:p%40ss@db.example:5433/warehouse"
    assert places.database({"DATABASE_URL": url}, data=Path("/data")) == {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "warehouse",
        "USER": "etl",
        "PASSWORD": "p@ss",
        "HOST": "db.example",
        "PORT": 5433,
    }


def test_url_can_name_a_socket(places: ModuleType) -> None:
    """The folder of a Unix socket is given as libpq takes it."""
    url = "postgresql://postgres@/etl?host=/run/postgresql"
    database = places.database({"DATABASE_URL": url}, data=Path("/data"))
    assert (database["HOST"], database["NAME"]) == ("/run/postgresql", "etl")


def test_pool_has_a_size(places: ModuleType) -> None:
    """It is for threads that share connections: the web server, not a task's process."""
    variables = {"DATABASE_URL": "postgresql://db.example/etl", "DATABASE_POOL": "4"}
    pool = places.database(variables, data=Path("/data"))["OPTIONS"]["pool"]
    assert pool == {"min_size": 1, "max_size": 4}


def test_other_database_is_refused_with_an_example(places: ModuleType) -> None:
    """The error says what is allowed, and does not repeat the password."""
    with pytest.raises(ValueError, match="DATABASE_URL") as error:
        places.database({"DATABASE_URL": "mysql://u:secret@h/d"}, data=Path("/data"))
    assert str(error.value) == (
        "DATABASE_URL must start with postgresql://, got mysql://. "
        "Example: postgresql://user:password@localhost:5432/etl. Unset it for SQLite."
    )


def test_cache_is_redis_by_url_or_memory(places: ModuleType) -> None:
    """Redis where `CACHE_URL` names one."""
    memory = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    redis = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://h/1"}
    assert (places.cache({}), places.cache({"CACHE_URL": "redis://h/1"})) == (memory, redis)
