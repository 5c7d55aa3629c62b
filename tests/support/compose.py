"""Check a compose file: what a service must have, and what must fit together.

Each check takes a service of a stack and yields one sentence for each problem.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from support.deployment import expand, settings, variables

# Images that write beside their own code; compose.yaml says it at each.
WRITES_ITS_ROOT = frozenset({"elasticsearch", "kibana"})
# The one privilege that is granted: a job gives a new volume to the Collector's user.
CAPABILITIES = {"collector-queue": ["CHOWN"]}
# A job that people run by its name, and for which nobody waits.
CALLED = frozenset({"kibana-objects"})
# Read by the program itself, not by its configuration.
RUNTIME = frozenset({"GOMEMLIMIT", "OTEL_TRACES_SAMPLER"})

_PINNED = re.compile(r"[a-z0-9./-]+:v?\d+\.\d+\.\d+")
_PUBLISHED = re.compile(r"127\.0\.0\.1:(?P<host>\d+):(?P<container>\d+)")
_VARIABLE = re.compile(r"(?<!\$)\$\{(?P<name>\w+)(?P<required>:\?[^}]+)?\}")
_SECRET = re.compile(r"(PASSWORD|SECRET|TOKEN|KEY)$")


@dataclass(frozen=True, slots=True)
class Stack:
    """A compose file with its settings put in."""

    folder: Path
    """Where compose.yaml stands; its paths are relative to it."""
    text: str
    """The file as it is written."""
    environment: dict[str, str]
    """What .env sets."""
    services: dict[str, dict[str, Any]]
    """Services by name, merged and interpolated."""
    volumes: dict[str, Any]
    """Named volumes."""


Check = Callable[[Stack, str], Iterator[str]]


def load(folder: Path) -> Stack:
    """Read compose.yaml and .env of a folder; a required variable gets a value made up."""
    text = (folder / "compose.yaml").read_text()
    environment = settings(folder / ".env")

    def value(match: re.Match[str]) -> str:
        made_up = "made-up" if match["required"] else match[0]
        return environment.get(match["name"], made_up)

    # Comments out first: what they say about `${...}` is no use of it.
    written = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
    read = yaml.safe_load(_VARIABLE.sub(value, written))
    return Stack(folder, written, environment, read["services"], read["volumes"])


def settings_problems(stack: Stack) -> Iterator[str]:
    """Find a variable without a value, a value without use, a secret in .env."""
    used = {match["name"]: match["required"] for match in _VARIABLE.finditer(stack.text)}
    for name, required in used.items():
        if _SECRET.search(name) and not required:
            yield f"${{{name}}} is a secret and does not refuse to be empty: write ${{{name}:?why}}"
        elif not required and name not in stack.environment:
            yield f"${{{name}}} has no value: set it in .env, or write ${{{name}:?why}}"
    for name in stack.environment:
        if _SECRET.search(name):
            yield f".env sets {name}: a secret does not belong into git"
        elif name not in used:
            yield f".env sets {name}, which compose.yaml does not use: delete it"


def is_job(stack: Stack, name: str) -> bool:
    """Tell whether others wait for the end of a service, rather than for its health."""
    return name in CALLED or any(
        service.get("depends_on", {}).get(name, {}).get("condition")
        == "service_completed_successfully"
        for service in stack.services.values()
    )


def image(stack: Stack, name: str) -> Iterator[str]:
    """Find an image without an exact version."""
    found = stack.services[name]["image"]
    if not _PINNED.fullmatch(found):
        yield f"{name}: image must be pinned as name:1.2.3, got {found}"


def ports(stack: Stack, name: str) -> Iterator[str]:
    """Find a port that is not on 127.0.0.1, or that two services want."""
    taken: dict[str, str] = {}
    for owner, service in stack.services.items():
        for port in service.get("ports", []):
            match = _PUBLISHED.fullmatch(str(port))
            if match is None:
                if owner == name:
                    yield f"{name}: a port must be 127.0.0.1:host:container, got {port}"
            elif taken.setdefault(match["host"], owner) != owner and owner == name:
                yield f"{name}: port {match['host']} is taken by {taken[match['host']]}"


def mounts(stack: Stack, name: str) -> Iterator[str]:
    """Find a mount that does not exist, that is writable, or a volume that nobody declares."""
    for mount in stack.services[name].get("volumes", []):
        if isinstance(mount, str):
            source = mount.partition(":")[0]
            if source not in stack.volumes:
                yield f"{name}: volume {source} is not declared under `volumes`"
            continue
        source = mount["source"]
        if not (stack.folder / source).exists():
            yield f"{name}: {source} is mounted and does not exist"
        if not mount.get("read_only"):
            yield f"{name}: {source} is mounted writable, set read_only"
        if mount.get("bind", {}).get("create_host_path") is not False:
            yield f"{name}: {source} would be made as an empty folder, set create_host_path: false"


def commands(stack: Stack, name: str) -> Iterator[str]:
    """Find a configuration that a command names and nothing brings into the container."""
    service = stack.services[name]
    inside = {each["target"] for each in service.get("volumes", []) if isinstance(each, dict)}
    for word in service.get("command") or []:
        path = str(word).rpartition("=")[2]
        if re.fullmatch(r"/etc/\S+\.(yaml|yml|json)", path) and not _is_below(path, inside):
            yield f"{name}: {path} is named and not mounted"


def _is_below(path: str, folders: set[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def limits(stack: Stack, name: str) -> Iterator[str]:
    """Find a service without a limit of memory, processors, processes or logs."""
    service = stack.services[name]
    for key in ("mem_limit", "cpus", "pids_limit"):
        if not service.get(key):
            yield f"{name}: {key} is missing"
    if not service.get("logging", {}).get("options", {}).get("max-size"):
        yield f"{name}: logging.options.max-size is missing, its log would fill the disk"


def privileges(stack: Stack, name: str) -> Iterator[str]:
    """Find what is more than a numbered user without privileges on a read-only root."""
    service = stack.services[name]
    if service.get("cap_drop") != ["ALL"]:
        yield f"{name}: cap_drop must be [ALL], got {service.get('cap_drop')}"
    if service.get("cap_add", []) != CAPABILITIES.get(name, []):
        yield f"{name}: cap_add must be {CAPABILITIES.get(name, [])}, got {service.get('cap_add')}"
    if "no-new-privileges:true" not in service.get("security_opt", []):
        yield f"{name}: security_opt must have no-new-privileges:true"
    if service.get("privileged"):
        yield f"{name}: privileged is not allowed"
    user = str(service.get("user") or "")
    if not re.fullmatch(r"\d+:\d+", user) or (user.startswith("0:") and name not in CAPABILITIES):
        yield f"{name}: user must be a number:number other than root, got {user or 'none'}"
    if bool(service.get("read_only")) == (name in WRITES_ITS_ROOT):
        yield f"{name}: read_only must be {name not in WRITES_ITS_ROOT}"


def health(stack: Stack, name: str) -> Iterator[str]:
    """Find a service that stays and cannot be asked, by itself or by a neighbour."""
    check = stack.services[name].get("healthcheck", {})
    if is_job(stack, name):
        return
    if check.get("test"):
        yield from asked(stack, name, check["test"])
        return
    neighbour = stack.services.get(f"{name}-health", {}).get("healthcheck", {}).get("test", [])
    if not any(f"//{name}:" in str(word) for word in neighbour):
        yield f"{name}: healthcheck is missing, and no service {name}-health asks it"


def asked(stack: Stack, name: str, words: list[str]) -> Iterator[str]:
    """Find a question for the health of a service at a port where it does not listen."""
    for url in filter(None, map(urlsplit, words)):
        host = name if url.hostname == "127.0.0.1" else url.hostname
        if url.scheme == "http" and str(url.port) not in listening(stack, host or ""):
            yield f"{name}: healthcheck asks {host} at {url.port}, where it does not listen"


def restarts(stack: Stack, name: str) -> Iterator[str]:
    """Find a service that stays away after a crash, or a job that runs again by itself."""
    expected = "no" if is_job(stack, name) else "unless-stopped"
    found = stack.services[name].get("restart")
    if found != expected:
        yield f"{name}: restart must be {expected!r}, got {found!r}"


def dependencies(stack: Stack, name: str) -> Iterator[str]:
    """Find a service that waits for what does not exist or cannot become true."""
    for other, wait in stack.services[name].get("depends_on", {}).items():
        if other not in stack.services:
            yield f"{name}: depends on {other}, which is no service"
        elif wait["condition"] == "service_healthy" and not stack.services[other].get(
            "healthcheck", {}
        ).get("test"):
            yield f"{name}: waits for the health of {other}, which has no healthcheck"


def addresses(stack: Stack, name: str) -> Iterator[str]:
    """Find an address in the environment where no service listens."""
    for variable, value in stack.services[name].get("environment", {}).items():
        found = urlsplit(str(value))
        if found.scheme not in {"http", "https"} or found.hostname == "localhost":
            continue
        host = found.hostname or ""
        if host not in stack.services:
            yield f"{name}: {variable}={value} names {host}, which is no service"
        elif str(found.port) not in listening(stack, host):
            yield f"{name}: {variable}={value}: {host} does not listen on {found.port}"


def listening(stack: Stack, name: str) -> set[str]:
    """Find the ports of a service: published, in its configurations, given to it without a URL."""
    service = stack.services.get(name, {})
    published = {str(port).rpartition(":")[2] for port in service.get("ports", [])}
    given = service.get("environment", {})
    written = [expand(path.read_text(), given) for path in configurations(stack, name)]
    found = {match for text in written for match in re.findall(r":(\d{4,5})\b", text)}
    values = (str(value) for value in given.values())
    own = {value.rpartition(":")[2] for value in values if "://" not in value}
    return published | found | {port for port in own if port.isdigit()}


def configurations(stack: Stack, name: str) -> list[Path]:
    """List the mounted files of a service."""
    volumes = stack.services.get(name, {}).get("volumes", [])
    mounted = (mount for mount in volumes if not isinstance(mount, str))
    paths = [stack.folder / mount["source"] for mount in mounted]
    return [path for path in paths if path.is_file()]


def configuration_variables(stack: Stack, name: str) -> Iterator[str]:
    """Find a variable that a configuration does not use, or needs and does not get."""
    service = stack.services[name]
    if not str(service["image"]).startswith(("otel/", "jaegertracing/")):
        return
    used = variables("".join(path.read_text() for path in configurations(stack, name)))
    given = service.get("environment", {})
    for variable in sorted(given.keys() - used.keys() - RUNTIME):
        yield f"{name}: sets {variable}, which its configuration does not use"
    for variable in used.values():
        if variable.default is None and variable.name not in given:
            yield f"{name}: {variable.name} must be set, its configuration has no default for it"


CHECKS: tuple[Check, ...] = (
    image, ports, mounts, commands, limits, privileges, health, restarts, dependencies, addresses,
    configuration_variables,
)  # fmt: skip
