"""Who may deliver alerts."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_telemetry.config import Config, resolve
from etl_telemetry.django.alerts import access
from etl_telemetry.django.alerts.access import Access, TokenFile, read_tokens
from etl_telemetry.errors import ConfigurationError

OLD, NEW, OTHER = "old-token-0123456789", "new-token-0123456789", "other-token-01234567"


def bearer(token: str, **more: str) -> dict[str, object]:
    """Return the `META` of a request that shows a token."""
    return {"HTTP_AUTHORIZATION": f"Bearer {token}", **more}


def test_without_a_token_nobody_comes_in() -> None:
    """Also not who shows an empty one."""
    closed = Access(Config())
    assert closed.refusal(bearer("")) == access.UNCONFIGURED
    assert closed.refusal({}) == access.UNCONFIGURED


def test_each_of_several_tokens_opens_the_door() -> None:
    """While one is exchanged for another both are valid."""
    door = Access(Config(alert_tokens=(OLD, NEW)))
    assert [door.refusal(bearer(token)) for token in (OLD, NEW)] == [None, None]
    assert door.refusal({"HTTP_AUTHORIZATION": f"bEARER  {NEW} "}) is None


@pytest.mark.parametrize(
    "header",
    [None, "", OLD, f"Basic {OLD}", "Bearer", "Bearer ", f"Bearer {OTHER}", f"Bearer {OLD[:-1]}",
     f"Bearer {OLD},{OLD}", "Bearer \xe9\xff", f"Bearer {OLD} {OLD}"],
)  # fmt: skip
def test_anything_else_does_not(header: str | None) -> None:
    """Other schemes, parts of tokens, and text that no token can be."""
    meta = {} if header is None else {"HTTP_AUTHORIZATION": header}
    assert Access(Config(alert_tokens=(OLD,))).refusal(meta) == access.UNKNOWN_SENDER


@given(st.text())
def test_no_text_opens_the_door(header: str) -> None:
    """Whatever is in the header: refused, never an error."""
    door = Access(Config(alert_tokens=(OLD,)))
    assert door.refusal({"HTTP_AUTHORIZATION": header}) == access.UNKNOWN_SENDER


def test_a_file_of_tokens_is_read_again_when_it_changes(tmp_path: Path) -> None:
    """A token is exchanged without a restart."""
    path = tmp_path / "tokens"
    path.write_text(f"# of November\n{OLD}\n\n")
    door = Access(Config(alert_tokens=(OTHER,), alert_tokens_file=str(path)))
    assert [door.refusal(bearer(t)) is None for t in (OLD, NEW, OTHER)] == [True, False, True]
    changed = tmp_path / "changed"
    changed.write_text(f"{NEW}\n")
    changed.replace(path)
    assert [door.refusal(bearer(t)) is None for t in (OLD, NEW, OTHER)] == [False, True, True]


def test_a_file_that_cannot_be_read_opens_nothing_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What was taken away must not go on opening the door; it works again when it is back."""
    path = tmp_path / "tokens"
    tokens = TokenFile(str(path))
    with caplog.at_level(logging.WARNING, "etl_telemetry"):
        assert (tokens.digests(), tokens.digests()) == ((), ())
        path.write_text(OLD)
        assert len(tokens.digests()) == 1
        path.unlink()
        assert tokens.digests() == ()
    assert [(r.getMessage(), vars(r)["error.type"]) for r in caplog.records] == [
        ("alert_tokens_unreadable", "FileNotFoundError"),
        ("alert_tokens_unreadable", "FileNotFoundError"),
    ]


def test_lines_that_hold_no_token_are_told_by_number(tmp_path: Path) -> None:
    """Not by what is on them."""
    path = tmp_path / "tokens"
    path.write_text(f"short\n{OLD}\n# note\nwith a space in the middle\n")
    assert read_tokens(path) == ([OLD], [1, 4])
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="utf-8"):
        read_tokens(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_of_somebody_else_opens_nothing(tmp_path: Path) -> None:
    """No permission is like no file."""
    path = tmp_path / "tokens"
    path.write_text(OLD)
    path.chmod(0)
    assert TokenFile(str(path)).digests() == ()


CERTIFICATE = {"X-SSL-Client-Verify": "SUCCESS", "X-SSL-Client-S-DN": "CN=alertmanager,O=etl"}
CONFIRMED = {
    "HTTP_X_SSL_CLIENT_VERIFY": "SUCCESS",
    "HTTP_X_SSL_CLIENT_S_DN": "CN=alertmanager,O=etl",
}


@pytest.mark.parametrize(
    ("meta", "refusal"),
    [
        ({"REMOTE_ADDR": "10.1.2.3", **CONFIRMED}, None),
        ({"REMOTE_ADDR": "::ffff:10.1.2.3", **CONFIRMED}, None),
        ({"REMOTE_ADDR": "", **CONFIRMED}, None),
        (CONFIRMED, None),
        ({"REMOTE_ADDR": "192.0.2.1", **CONFIRMED}, access.WRONG_PROXY),
        ({"REMOTE_ADDR": "unix", **CONFIRMED}, access.WRONG_PROXY),
        ({"REMOTE_ADDR": "10.1.2.3"}, access.WRONG_CERTIFICATE),
        (
            {"REMOTE_ADDR": "10.1.2.3", **CONFIRMED, "HTTP_X_SSL_CLIENT_VERIFY": "NONE"},
            access.WRONG_CERTIFICATE,
        ),
        (
            {"REMOTE_ADDR": "10.1.2.3", "HTTP_X_SSL_CLIENT_VERIFY": "SUCCESS"},
            access.WRONG_CERTIFICATE,
        ),
    ],
)
def test_a_certificate_is_confirmed_by_the_named_proxy_only(
    meta: dict[str, str], refusal: str | None
) -> None:
    """All headers, from a proxy that is known, and the token besides."""
    config = Config(
        alert_tokens=(OLD,), alert_client_headers=CERTIFICATE, alert_proxies=("10.0.0.0/8", "unix")
    )
    assert Access(config).refusal(bearer(OLD, **meta)) == refusal
    assert Access(config).refusal(bearer(NEW, **meta)) == access.UNKNOWN_SENDER


def test_without_a_proxy_no_certificate_is_confirmed() -> None:
    """Anybody can send a header."""
    config = Config(alert_tokens=(OLD,), alert_client_headers=CERTIFICATE)
    meta = bearer(OLD, REMOTE_ADDR="127.0.0.1", **CONFIRMED)
    assert Access(config).refusal(meta) == access.WRONG_PROXY


def test_configuration_from_the_environment() -> None:
    """Several tokens, several networks, and a header whose value has commas."""
    config = resolve(
        {},
        {
            "ETL_TELEMETRY_ALERT_TOKENS": f"{OLD}, {NEW}",
            "ETL_TELEMETRY_ALERT_PROXIES": "10.0.0.0/8, ::1, unix",
            "ETL_TELEMETRY_ALERT_CLIENT_HEADERS": "X-SSL-Client-S-DN=CN%3Dalertmanager%2CO%3Detl",
        },
        None,
    )
    assert config.alert_tokens == (OLD, NEW)
    assert config.alert_proxies == ("10.0.0.0/8", "::1", "unix")
    assert config.alert_client_headers == {"X-SSL-Client-S-DN": "CN=alertmanager,O=etl"}
    assert OLD not in repr(config)


def test_wrong_configuration_shows_no_token() -> None:
    """A token with a typing error is still most of a token."""
    with pytest.raises(ConfigurationError) as error:
        resolve({"alert_tokens": [OLD, "hidden"], "alert_proxies": "10.0.0.1/8"}, {}, None)
    assert str(error.value) == (
        "etl-telemetry: 2 wrong values:\n"
        "  - alert_tokens must be tokens separated by commas, each of 16 to 512 letters, digits "
        "and -._~+/, got a wrong one in place 2 (from setup_telemetry(alert_tokens=...)); correct "
        "it or remove it\n"
        "  - alert_proxies must be networks separated by commas, such as 10.0.0.0/8 or 192.0.2.7, "
        "or 'unix' for a Unix socket, got '10.0.0.1/8' (from setup_telemetry(alert_proxies=...)); "
        "correct it or remove it"
    )
