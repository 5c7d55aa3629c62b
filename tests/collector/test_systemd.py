"""The systemd units: what systemd itself says of them, and what we promise beyond that."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from etl_telemetry.config import Config
from support.deployment import COLLECTOR, size, variables
from support.pages import REPOSITORY

FOLDER = COLLECTOR / "systemd"
UNITS = sorted(FOLDER.glob("etl-otelcol-*.service"))
OBSERVER = FOLDER / "etl-telemetry-observer.service"
WORKER, BEAT = (FOLDER / f"etl-celery-{what}.service" for what in ("worker", "beat"))
ALL = [*UNITS, OBSERVER, WORKER, BEAT]
PYTHON = "/opt/etl-platform/.venv/bin/python"
BINARY = "/usr/local/bin/etl-otelcol"
# systemd's own score, from 0 (sealed) to 100 (bare): its mark for up to 20 is "OK".
EXPOSURE = 20

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="systemd-analyze is missing: apt-get install systemd",
)


def entries(unit: Path) -> list[tuple[str, str]]:
    """Read the `Key=value` lines of a unit, in order."""
    lines = (line for line in unit.read_text().splitlines() if re.match(r"[A-Z]\w*=", line))
    return [(key, value) for key, _, value in (line.partition("=") for line in lines)]


def environment(unit: Path) -> dict[str, str]:
    """Read what a unit sets by `Environment=`."""
    found = (value.strip('"') for key, value in entries(unit) if key == "Environment")
    pairs = (value.partition("=") for value in found)
    return {name: value for name, _, value in pairs}


def installed(folder: Path) -> Path:
    """Lay the units into a root of their own, where the programs exist."""
    system = folder / "etc" / "systemd" / "system"
    shutil.copytree(FOLDER, system)
    for program in (folder / BINARY[1:], folder / PYTHON[1:]):
        program.parent.mkdir(parents=True)
        program.touch(mode=0o755)
    return folder


def analyze(*arguments: str) -> tuple[int, str]:
    """Run systemd-analyze; return its code and what it complains about."""
    done = subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stderr


def test_units_are_found() -> None:
    """There is a unit for an agent, a gateway, the observer, a worker, and beat."""
    assert [unit.name for unit in UNITS] == [
        "etl-otelcol-agent.service",
        "etl-otelcol-gateway.service",
    ]
    assert sorted(FOLDER.glob("*.service")) == sorted(ALL)


@needs_systemd
@pytest.mark.parametrize("unit", ALL, ids=lambda unit: unit.stem)
def test_systemd_accepts_unit(unit: Path, tmp_path: Path) -> None:
    """Systemd knows every key and value, those of the drop-ins included."""
    root = installed(tmp_path)
    found = analyze(
        "verify",
        f"--root={root}",
        "--man=no",
        "--generators=no",
        "--recursive-errors=no",
        unit.name,
    )
    assert found == (0, "")


@needs_systemd
@pytest.mark.parametrize("unit", ALL, ids=lambda unit: unit.stem)
def test_systemd_rates_unit_as_sealed(unit: Path, tmp_path: Path) -> None:
    """Systemd's own review gives a low exposure."""
    root = installed(tmp_path)
    code, complaint = analyze(
        "security", "--offline=yes", f"--root={root}", f"--threshold={EXPOSURE}", "--no-pager",
        unit.name,
    )  # fmt: skip
    assert (code, complaint) == (0, "")


@needs_systemd
def test_systemd_complains_about_a_broken_unit(tmp_path: Path) -> None:
    """A typing error in a key is seen: the check above checks."""
    root = installed(tmp_path)
    unit = root / "etc" / "systemd" / "system" / UNITS[0].name
    unit.write_text(unit.read_text().replace("MemoryMax=", "MemoryMaximum="))
    _, complaint = analyze(
        "verify",
        f"--root={root}",
        "--man=no",
        "--generators=no",
        "--recursive-errors=no",
        unit.name,
    )
    assert re.search(r"Unknown key .*'MemoryMaximum'", complaint)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_unit_keeps_what_it_promises(unit: Path) -> None:
    """Another user at each start, its own queue, back after every end, configuration checked."""
    found = dict(entries(unit))
    assert {key: found[key] for key in ("Restart", "DynamicUser", "StateDirectory")} == {
        "Restart": "always",
        "DynamicUser": "yes",
        "StateDirectory": unit.stem,
    }
    assert found["ProtectSystem"] == "strict"
    assert found["StartLimitIntervalSec"] == "0"
    assert found["ExecStartPre"] == f"{BINARY} validate $ETL_CONFIGS $ETL_SECURITY_CONFIGS"
    assert found["ExecStart"] == f"{BINARY} $ETL_CONFIGS $ETL_SECURITY_CONFIGS"
    assert environment(unit)["ETL_QUEUE_DIRECTORY"] == f"%S/{unit.stem}/queue"


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_unit_starts_a_configuration_that_reads_what_it_sets(unit: Path) -> None:
    """The configuration exists under the name that the unit gives, and uses its variables."""
    given = environment(unit)
    (name,) = re.findall(r"--config=/etc/etl-otelcol/(\S+)", given["ETL_CONFIGS"])
    used = variables((COLLECTOR / name).read_text())
    assert given["ETL_SECURITY_CONFIGS"] == ""
    own = {"ETL_CONFIGS", "ETL_SECURITY_CONFIGS", "GOMEMLIMIT"}
    assert given.keys() - used.keys() == own


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_security_drop_in_gives_its_overlay_what_it_reads(unit: Path) -> None:
    """Each variable of the overlay is set, each file that is named is a credential of the unit."""
    drop_in = FOLDER / f"{unit.name}.d" / "security.conf"
    given = environment(drop_in)
    (overlay,) = re.findall(r"--config=/etc/etl-otelcol/(\S+)", given.pop("ETL_SECURITY_CONFIGS"))
    text = (COLLECTOR / overlay).read_text()
    assert given.keys() == variables(text).keys()
    loaded = [value.partition(":") for key, value in entries(drop_in) if key == "LoadCredential"]
    assert {source for _, _, source in loaded} == {
        f"/etc/etl-otelcol/tls/{name}" for name, _, _ in loaded
    }
    files = set(re.findall(r"ETL_TLS_DIRECTORY:-\./tls\}/(\S+)", text))
    tokens = {value.removeprefix("%d/") for value in given.values() if value != "%d"}
    assert {name for name, _, _ in loaded} == files | tokens


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_no_variable_of_the_drop_in_is_one_that_a_host_sets(unit: Path) -> None:
    """`EnvironmentFile=` wins over `Environment=`: an overlay would switch security off."""
    page = (REPOSITORY / "docs" / "how-to" / "deploy.md").read_text()
    by_hosts = set(re.findall(r"([A-Z][A-Z_]+)=", page))
    assert "ETL_CONFIGS" in by_hosts
    assert by_hosts.isdisjoint(environment(FOLDER / f"{unit.name}.d" / "security.conf"))


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_collector_refuses_before_its_unit_is_killed(unit: Path) -> None:
    """The unit has at least a third more memory than the Collector allows itself."""
    given = environment(unit)
    used = variables((COLLECTOR / given["ETL_CONFIGS"].rpartition("/")[2]).read_text())
    own = given.get("ETL_MEMORY_LIMIT_MIB") or used["ETL_MEMORY_LIMIT_MIB"].default
    whole = size(dict(entries(unit))["MemoryMax"])
    assert whole >= size(f"{own}m") * 4 / 3
    assert size(given["GOMEMLIMIT"]) < whole


def test_observer_has_more_time_to_end_than_its_last_export_takes() -> None:
    """It comes back after every end, as another user, and its lock is in a folder of its own."""
    found = dict(entries(OBSERVER))
    assert found["ExecStart"] == f"{PYTHON} manage.py telemetry_observer"
    assert (found["Restart"], found["DynamicUser"]) == ("always", "yes")
    assert found["RuntimeDirectory"] == OBSERVER.stem
    assert float(found["TimeoutStopSec"]) > 2 * Config().deadline


def test_worker_ends_its_tasks_before_it_is_killed() -> None:
    """Only its main process is told to end, and has the time of a task and an export for it."""
    found = dict(entries(WORKER))
    assert found["ExecStart"].startswith(f"{PYTHON} -m celery --app etl_platform worker ")
    assert (found["KillMode"], found["OOMPolicy"]) == ("mixed", "continue")
    assert float(found["TimeoutStopSec"]) >= 600 > 2 * Config().deadline


def test_beat_keeps_its_schedule_over_a_restart() -> None:
    """In a folder that is its own."""
    found = dict(entries(BEAT))
    assert found["ExecStart"] == (
        f"{PYTHON} -m celery --app etl_platform beat --schedule %S/{BEAT.stem}/schedule"
    )
    assert found["StateDirectory"] == BEAT.stem
