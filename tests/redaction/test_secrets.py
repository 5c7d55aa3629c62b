"""Names that look like secrets, maps without them, and the allow-list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_telemetry import guard
from etl_telemetry.redaction import MASK, NOTHING_ALLOWED, Policy, is_secret, mapping
from support.hostile import BrokenMapping, Unprintable, anything

SECRETS = (
    "password", "PASSWORD", "db_password", "password2", "passwordHash", "userPassword", "passwd",
    "pwd", "token", "access_token", "accessToken", "X-CSRFToken", "secret", "client_secret",
    "SECRET_KEY", "api_key", "apikey", "X-Api-Key", "APIKey", "aws.secret_access_key",
    "Authorization", "Proxy-Authorization", "basic_auth", "Cookie", "Set-Cookie", "sessionid",
    "session_key", "dsn", "DATABASE_DSN", "credentials", "connection_string", "private_key", "jwt",
)  # fmt: skip
ORDINARY = (
    "", "user", "author", "authority", "key", "keys", "primary_key", "pipeline.name", "rows",
    "token_count", "password_length", "secret_name", "token_type", "broken", "tokenizer", "passed",
    "monkey", "compass", "db.system.name", "url.full", "session", "___", "\N{SNOWMAN}",
)  # fmt: skip


@pytest.mark.parametrize("name", SECRETS)
def test_secret_names(name: str) -> None:
    """However the words are joined."""
    assert is_secret(name)
    assert is_secret(f"etl_telemetry.argument.{name}")


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_names(name: str) -> None:
    """Words that only contain a secret one, and numbers about secrets."""
    assert not is_secret(name)


def test_the_end_of_a_long_name_counts() -> None:
    """A name of any length is looked at, in bounded time."""
    assert is_secret("x_" * 10_000 + "password")


def test_allowed_name_is_no_secret() -> None:
    """The allow-list opens a field by its own name, with or without what stands before it."""
    policy = Policy(allow=["token"])
    assert not is_secret("token", policy=policy)
    assert not is_secret("etl_telemetry.argument.token", policy=policy)
    assert is_secret("access_token", policy=policy)


def test_mapping_hides_secrets_at_any_depth() -> None:
    """The values under secret names go, in maps and in lists of maps."""
    source = {
        "user": "ann",
        "password": "x",
        "nested": {"api_key": 1, "items": [{"token": None, "n": 1}, "http://u:p@a/?b=c"]},
        "rows": (1, 2),
        "when": 1.5,
    }
    assert mapping(source) == {
        "user": "ann",
        "password": MASK,
        "nested": {
            "api_key": MASK,
            "items": [{"token": MASK, "n": 1}, "http://REDACTED:REDACTED@a/?b=REDACTED"],
        },
        "rows": [1, 2],
        "when": 1.5,
    }
    assert source["password"] == "x"
    assert mapping(source, policy=Policy(allow=("password",)))["password"] == "x"


def test_mapping_is_bounded() -> None:
    """Too deep is hidden, too many are left out; a map that contains itself ends."""
    endless: dict[str, object] = {}
    endless["a"] = endless
    assert str(mapping(endless)).count("'a'") == 6
    assert len(mapping({str(n): n for n in range(1_000)})) == 128


def test_mapping_that_cannot_be_read_is_empty() -> None:
    """The application's own map may fail: that is counted, and hides all."""
    before = guard.drops().get("internal_error", 0)
    assert mapping(BrokenMapping()) == {}
    assert guard.drops()["internal_error"] == before + 1


_keys = st.one_of(st.text(), st.binary(), st.integers(), st.none(), st.builds(Unprintable))


@given(st.dictionaries(_keys, anything(), max_size=4))
def test_mapping_never_raises(source: dict[object, object]) -> None:
    """Whatever the keys and values are."""
    assert isinstance(mapping(source), dict)  # type: ignore[arg-type]


def test_policy() -> None:
    """One name opens a fact under its former name too; nothing is allowed by default."""
    policy = Policy(allow=("db.statement", "url.query.page", "x"))
    assert [policy.allows(n) for n in ("db.query.text", "db.statement", "x", "url.full")] == [
        True, True, True, False,
    ]  # fmt: skip
    assert policy.parameters == {"page"}
    assert policy == Policy(allow=["x", "db.query.text", "url.query.page"])
    assert hash(policy) == hash(Policy(allow=["x", "db.query.text", "url.query.page"]))
    assert NOTHING_ALLOWED.allow == frozenset()
