"""A copy of the product's Alertmanager configuration that tells stand-ins instead of the world.

Places, secrets and waits are replaced, nothing else: routes, inhibitions, receivers and templates
are the committed ones.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from support.alerts import TOKEN
from support.stack import standins
from support.stack.alertmanager import Alertmanager
from support.stack.product import PRODUCT
from support.stack.standins import Mailbox, Taker

FOLDER = PRODUCT / "alertmanager"
CONFIG: Mapping[str, Any] = yaml.safe_load((FOLDER / "alertmanager.yml").read_text())
"""What is committed."""
WAITS = {"group_wait": "1s", "group_interval": "1s"}
"""Waits of the root and of every route, instead of 10 seconds to 5 minutes."""
ROUTING_KEY = "routing-key-of-the-pager"
SLACK_PATH = "/services/T0/B0/secret-of-the-channel"


@dataclass(frozen=True, slots=True)
class Channels:
    """The stand-ins of all channels but the platform's webhook."""

    slack: Taker
    """Incoming webhook of Slack."""
    pager: Taker
    """PagerDuty's Events API."""
    mail: Mailbox
    """Mail server."""


@contextmanager
def channels(folder: Path) -> Iterator[Channels]:
    """Run the stand-ins."""
    with (
        standins.slack() as slack, standins.pagerduty() as pager,
        standins.Mailbox(folder / "pki") as mail,
    ):  # fmt: skip
        yield Channels(slack, pager, mail)


def without(config: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Leave channels out as the documentation says: of each receiver only its name is left."""
    made = copy.deepcopy(dict(config))
    made["receivers"] = [
        {"name": each["name"]} if each["name"] in names else each for each in made["receivers"]
    ]
    return made


def alertmanager(
    folder: Path,
    *,
    platform: str,
    told: Channels | None = None,
    token: str = TOKEN,
    waits: Mapping[str, str] = WAITS,
) -> Alertmanager:
    """Return an Alertmanager that tells the platform and, if given, the channels."""
    config = without(CONFIG, *(() if told else ("slack", "pagerduty", "email")))
    for route in (config["route"], *config["route"]["routes"]):
        route.update(waits)
    url = _of(config, "platform", "webhook")["url"]
    _of(config, "platform", "webhook")["url"] = url.replace("http://web:8000", platform)
    secrets = {"webhook-token": token}
    if told:
        secrets |= _tell(config, folder, told)
    shutil.copytree(FOLDER / "templates", folder / "templates", dirs_exist_ok=True)
    for name, secret in secrets.items():
        (folder / name).write_text(f"{secret}\n")
    path = folder / "alertmanager.yml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    made = Alertmanager(folder)
    made.config = path
    if told:
        made.variables["SSL_CERT_FILE"] = str(told.mail.authority)
    return made


def _tell(config: dict[str, Any], folder: Path, told: Channels) -> dict[str, str]:
    """Put the stand-ins' places into a configuration; return the secrets by file."""
    top, pager = config["global"], _of(config, "pagerduty", "pagerduty")
    top["smtp_smarthost"] = told.mail.address
    top["pagerduty_url"] = f"{told.pager.address}/v2/enqueue"
    secrets = {
        "smtp-password": standins.PASSWORD,
        "slack-url": told.slack.address + SLACK_PATH,
        "pagerduty-key": ROUTING_KEY,
    }
    files = (
        (top, "smtp_auth_password_file"),
        (top, "slack_api_url_file"),
        (pager, "routing_key_file"),
    )
    for where, name in files:
        where[name] = str(folder / Path(where[name]).name)
    return secrets


def _of(config: dict[str, Any], name: str, kind: str) -> dict[str, Any]:
    """Return the one channel of a kind that a receiver has."""
    (receiver,) = (each for each in config["receivers"] if each["name"] == name)
    (found,) = receiver[f"{kind}_configs"]
    return found
