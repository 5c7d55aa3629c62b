"""`manage.py check` says why the webhook would refuse."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.core.checks import Warning as Told
from django.test import override_settings

from etl_telemetry import setup
from etl_telemetry.config import Config
from etl_telemetry.django.alerts.checks import check_webhook
from support.alerts import TOKEN

UNTOLD = Told(
    "The alert webhook refuses everything: no token is configured.",
    hint=(
        "Write one token a line into a file and name it in ETL_TELEMETRY_ALERT_TOKENS_FILE; "
        "Alertmanager shows it by authorization.credentials_file."
    ),
    id="etl_telemetry.W020",
)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the check with a configuration."""

    def run(**changed: Any) -> list[object]:
        problems = changed.pop("problems", ())
        telemetry = setup.Telemetry(Config(**changed), None, problems=problems)
        monkeypatch.setattr(setup._process, "telemetry", telemetry)
        return list(check_webhook(None))

    return run


def test_nothing_to_say(told: Any) -> None:
    """A token and no more is enough; what is wrong in the configuration is said elsewhere."""
    assert told(alert_tokens=(TOKEN,)) == []
    assert told(problems=("wrong",)) == []


def test_no_token(told: Any) -> None:
    """The webhook is mounted and would refuse everything."""
    assert told() == [UNTOLD]


def test_not_mounted(told: Any) -> None:
    """Who does not want the webhook is not told about it."""
    module = ModuleType("no_webhook")
    vars(module)["urlpatterns"] = []
    sys.modules["no_webhook"] = module
    with override_settings(ROOT_URLCONF="no_webhook"):
        assert told() == []
    with override_settings(ROOT_URLCONF=None):
        assert told() == []


def test_file_that_is_not_there(told: Any) -> None:
    """Its name and why; no token comes from it."""
    assert told(alert_tokens_file="/nowhere/tokens") == [
        Told(
            "/nowhere/tokens cannot be read: FileNotFoundError.",
            hint="ETL_TELEMETRY_ALERT_TOKENS_FILE names it; this process must be able to read it.",
            id="etl_telemetry.W021",
        ),
        UNTOLD,
    ]


def test_file_with_a_line_that_is_no_token(told: Any, tmp_path: Path) -> None:
    """The line's number, never what is on it."""
    path = tmp_path / "tokens"
    path.write_text(f"{TOKEN}\nhidden\n")
    assert told(alert_tokens_file=str(path)) == [
        Told(
            f"{path} has no valid token on line 2.",
            hint="A token has 16 to 512 letters, digits and -._~+/, and a line of its own.",
            id="etl_telemetry.W021",
        )
    ]


def test_certificate_without_a_proxy(told: Any) -> None:
    """Headers that nobody may send."""
    assert told(alert_tokens=(TOKEN,), alert_client_headers={"X-Verify": "SUCCESS"}) == [
        Told(
            "The alert webhook refuses everything: no proxy may confirm a client certificate.",
            hint="Name the proxy in ETL_TELEMETRY_ALERT_PROXIES, or clear ALERT_CLIENT_HEADERS.",
            id="etl_telemetry.W022",
        )
    ]
