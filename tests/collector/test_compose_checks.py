"""Each check of a compose file finds what it is for, and says it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support import compose

GOOD: dict[str, Any] = {
    "image": "prom/prometheus:v3.14.0",
    "user": "65534:65534",
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "restart": "unless-stopped",
    "mem_limit": "1g",
    "cpus": 1,
    "pids_limit": 64,
    "logging": {"options": {"max-size": "10m"}},
    "ports": ["127.0.0.1:9090:9090"],
    "healthcheck": {"test": ["CMD", "wget", "http://127.0.0.1:9090/-/ready"]},
}
FILE = {"source": "a.yaml", "read_only": True, "bind": {"create_host_path": False}}


def stack(folder: Path, **others: dict[str, Any]) -> compose.Stack:
    """Build a stack of one good service `db` and of others."""
    return compose.Stack(folder, "", {}, {"db": GOOD, **others}, {"data": {}})


BROKEN: list[tuple[compose.Check, dict[str, Any], str]] = [
    (compose.image, {"image": "x:latest"}, "image must be pinned as name:1.2.3, got x:latest"),
    (compose.image, {"image": "x:3"}, "image must be pinned as name:1.2.3, got x:3"),
    (compose.ports, {"ports": ["80:80"]}, "a port must be 127.0.0.1:host:container, got 80:80"),
    (compose.ports, {"ports": ["127.0.0.1:9090:1"]}, "port 9090 is taken by db"),
    (compose.mounts, {"volumes": [FILE]}, "a.yaml is mounted and does not exist"),
    (
        compose.mounts,
        {"volumes": [FILE | {"source": ".", "read_only": False}]},
        ". is mounted writable, set read_only",
    ),
    (
        compose.mounts,
        {"volumes": [FILE | {"source": ".", "bind": {}}]},
        ". would be made as an empty folder, set create_host_path: false",
    ),
    (
        compose.mounts,
        {"volumes": ["other:/x"]},
        "volume other is not declared under `volumes`",
    ),
    (
        compose.commands,
        {"command": ["--config=/etc/x/b.yaml"], "volumes": [FILE | {"target": "/etc/x/a.yaml"}]},
        "/etc/x/b.yaml is named and not mounted",
    ),
    (compose.limits, {"mem_limit": None}, "mem_limit is missing"),
    (compose.limits, {"cpus": None}, "cpus is missing"),
    (compose.limits, {"pids_limit": None}, "pids_limit is missing"),
    (
        compose.limits,
        {"logging": {}},
        "logging.options.max-size is missing, its log would fill the disk",
    ),
    (compose.privileges, {"cap_drop": []}, "cap_drop must be [ALL], got []"),
    (compose.privileges, {"cap_add": ["CHOWN"]}, "cap_add must be [], got ['CHOWN']"),
    (
        compose.privileges,
        {"security_opt": []},
        "security_opt must have no-new-privileges:true",
    ),
    (compose.privileges, {"privileged": True}, "privileged is not allowed"),
    (
        compose.privileges,
        {"user": "0:0"},
        "user must be a number:number other than root, got 0:0",
    ),
    (
        compose.privileges,
        {"user": None},
        "user must be a number:number other than root, got none",
    ),
    (compose.privileges, {"read_only": False}, "read_only must be True"),
    (
        compose.health,
        {"healthcheck": {"disable": True}},
        "healthcheck is missing, and no service web-health asks it",
    ),
    (
        compose.health,
        {"healthcheck": {"test": ["CMD", "wget", "http://127.0.0.1:80/"]}},
        "healthcheck asks web at 80, where it does not listen",
    ),
    (compose.restarts, {"restart": "always"}, "restart must be 'unless-stopped', got 'always'"),
    (
        compose.dependencies,
        {"depends_on": {"cache": {"condition": "service_started"}}},
        "depends on cache, which is no service",
    ),
    (
        compose.dependencies,
        {"depends_on": {"web": {"condition": "service_healthy"}}, "healthcheck": {}},
        "waits for the health of web, which has no healthcheck",
    ),
    (
        compose.addresses,
        {"environment": {"URL": "http://cache:1"}},
        "URL=http://cache:1 names cache, which is no service",
    ),
    (
        compose.addresses,
        {"environment": {"URL": "http://db:5432"}},
        "URL=http://db:5432: db does not listen on 5432",
    ),
    (
        compose.configuration_variables,
        {"image": "otel/collector:1.0.0", "environment": {"ETL_X": "1"}},
        "sets ETL_X, which its configuration does not use",
    ),
]


@pytest.mark.parametrize(
    ("check", "change", "problem"),
    [pytest.param(*case, id=f"{case[0].__name__}-{case[2][:40]}") for case in BROKEN],
)
def test_check_finds(
    tmp_path: Path, check: compose.Check, change: dict[str, Any], problem: str
) -> None:
    """A service that breaks one rule is reported with one sentence."""
    found = stack(tmp_path, web=GOOD | {"ports": []} | change)
    assert list(check(found, "web")) == [f"web: {problem}"]


@pytest.mark.parametrize("check", compose.CHECKS, ids=lambda check: check.__name__)
def test_check_passes_a_good_service(tmp_path: Path, check: compose.Check) -> None:
    """A service that breaks no rule is not reported."""
    assert list(check(stack(tmp_path), "db")) == []


def test_variable_without_default_must_be_given(tmp_path: Path) -> None:
    """A configuration that needs a variable is not left without it."""
    (tmp_path / "a.yaml").write_text("endpoint: ${env:A}\nother: ${env:B:-b}\n")
    found = stack(tmp_path, web={"image": "otel/collector:1.0.0", "volumes": [FILE]})
    assert list(compose.configuration_variables(found, "web")) == [
        "web: A must be set, its configuration has no default for it"
    ]


def test_job_may_end_and_needs_no_health(tmp_path: Path) -> None:
    """A service whose end another one waits for is a job."""
    wait = {"depends_on": {"job": {"condition": "service_completed_successfully"}}}
    found = stack(tmp_path, job={"restart": "no"}, web=wait)
    assert [*compose.health(found, "job"), *compose.restarts(found, "job")] == []


def test_settings_are_compared_with_their_use(tmp_path: Path) -> None:
    """A forgotten value, a leftover and a secret in .env are all reported."""
    (tmp_path / ".env").write_text("# ports\nWEB_PORT=80\nOLD_PORT=81\nWEB_PASSWORD=x\n")
    (tmp_path / "compose.yaml").write_text(
        "services: {web: {a: '${WEB_PORT}', b: '${NEW_PORT}', c: '${DB_PASSWORD}', d: '$${NOT}',\n"
        "  e: '${API_TOKEN:?make one}'}}\nvolumes: {}\n"
    )
    found = compose.load(tmp_path)
    assert found.services["web"]["a"] == "80"
    assert list(compose.settings_problems(found)) == [
        "${NEW_PORT} has no value: set it in .env, or write ${NEW_PORT:?why}",
        "${DB_PASSWORD} is a secret and does not refuse to be empty: write ${DB_PASSWORD:?why}",
        ".env sets OLD_PORT, which compose.yaml does not use: delete it",
        ".env sets WEB_PASSWORD: a secret does not belong into git",
    ]
