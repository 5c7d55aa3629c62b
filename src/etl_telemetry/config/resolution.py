"""`resolve()`: from options, environment and settings to one checked configuration."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from etl_telemetry.catalogue import UNKNOWN
from etl_telemetry.config import former, standard
from etl_telemetry.config.endpoints import is_url, shown
from etl_telemetry.config.field import Field
from etl_telemetry.config.kinds import WrongValue
from etl_telemetry.config.sources import Findings, Given, Sources
from etl_telemetry.config.table import FIELDS, Config
from etl_telemetry.errors import ConfigurationError

_SIGNALS = ("traces", "metrics", "logs")
_BATCHES = ("span", "log")
_MAX_VERSION = 200

Values = dict[str, Any]
Chosen = dict[str, Given]


def resolve(
    options: Mapping[str, object],
    environ: Mapping[str, str],
    settings: Mapping[str, object] | None,
    *,
    directories: Iterable[Path] = (),
) -> Config:
    """Return the configuration; read nothing but what is handed in.

    The first source that gives a field wins: `options`, the standard variables
    (`OTEL_*`), ours (`ETL_TELEMETRY_*`, then those of the former stack that stay),
    `settings`, the default. None and an empty variable give nothing.

    Args:
        options: Fields by name.
        environ: Environment variables.
        settings: The Django setting `ETL_TELEMETRY`: fields by name in upper case.
        directories: Where a file `VERSION` may be, first one first.

    Raises:
        ConfigurationError: Options, variables of ours or settings are wrong; it lists all of
            them. Wrong `OTEL_*` values are ignored and listed in `Config.warnings`.

    >>> resolve({"service_name": "shop"}, {"ETL_TELEMETRY_DEADLINE": "1.5"}, None).deadline
    1.5
    >>> resolve({"deadlin": 1, "sampler_arg": 2}, {}, None)
    Traceback (most recent call last):
    etl_telemetry.errors.ConfigurationError: etl-telemetry: 2 wrong values:
      - 'deadlin' is unknown (from setup_telemetry()); did you mean 'deadline'?
      - sampler_arg must be a number between 0 and 1, got 2 (from setup_telemetry(sampler_arg=...)); correct it or remove it
    """  # noqa: E501 - the message is one line
    findings = Findings()
    sources = Sources(options, environ, settings, findings)
    sources.unknown(FIELDS)
    given = {row.name: list(sources.read(row)) for row in FIELDS}
    values, chosen = _choose(given)
    if "service_version" not in chosen:
        values["service_version"] = _version_file(directories) or UNKNOWN
    _check_endpoints(values, chosen, findings)
    _check_batches(values, chosen, findings)
    standard.check(environ, findings)
    if findings.problems:
        raise ConfigurationError(findings.problems)
    return Config(
        **values,
        warnings=(*_as_one(tuple(findings.ignored.values())), *former.warnings(environ)),
        ignored_variables=standard.refused(findings),
    )


def _choose(given: Mapping[str, list[Given]]) -> tuple[Values, Chosen]:
    """Take the first one of each field, resource attributes included."""
    layers = given["resource_attributes"]
    values: Values = {}
    chosen: Chosen = {}
    for row in FIELDS:
        candidates = [*given[row.name], *_from_attributes(row, layers)]
        candidates.sort(key=lambda candidate: candidate.rank)  # Stable: its own name first.
        if candidates:
            chosen[row.name] = candidates[0]
            values[row.name] = candidates[0].value
        else:
            values[row.name] = values[row.inherits] if row.inherits else row.default
    values["resource_attributes"] = _merged(layers)
    return values, chosen


def _from_attributes(row: Field, layers: Sequence[Given]) -> Iterator[Given]:
    for layer in layers:
        for key in row.attributes:
            value = layer.value.get(key)
            if isinstance(value, str) and value.strip():
                yield replace(layer, value=value.strip())


def _merged(layers: Sequence[Given]) -> Mapping[str, object]:
    """Merge resource attributes, without those that are fields of their own."""
    merged = {name: value for layer in reversed(layers) for name, value in layer.value.items()}
    fields = {row.attributes[0] for row in FIELDS if row.attributes}
    return MappingProxyType({k: v for k, v in merged.items() if k not in fields})


def _version_file(directories: Iterable[Path]) -> str | None:
    for directory in directories:
        try:
            version = (directory / "VERSION").read_text(encoding="utf-8-sig")[:_MAX_VERSION]
        except (OSError, ValueError):  # None there, not readable, or not text.
            continue
        if version.strip():
            return version.split()[0]
    return None


def _check_endpoints(values: Values, chosen: Chosen, findings: Findings) -> None:
    """Refuse a target without scheme where the protocol is HTTP, which cannot take it."""
    for name, protocol, signals in (
        ("endpoint", "protocol", _SIGNALS),
        *((f"{signal}_endpoint", f"{signal}_protocol", (signal,)) for signal in _SIGNALS),
    ):
        endpoint = values[name]
        if endpoint is None or is_url(endpoint):
            continue
        if any(values[f"{signal}_protocol"] != "grpc" for signal in signals):
            fix = f"write 'http://{endpoint}'" if "/" not in endpoint else "add the scheme"
            wrong = WrongValue(got=shown(endpoint), hint=f"{fix}, or set {protocol} to grpc")
            findings.wrong(chosen[name], "a URL such as http://localhost:4318", wrong)
            values[name] = None


def _check_batches(values: Values, chosen: Chosen, findings: Findings) -> None:
    """Refuse a batch that is larger than its queue; the default batch shrinks with its queue."""
    for signal in _BATCHES:
        batch, queue = f"{signal}_batch_size", f"{signal}_queue_size"
        if values[batch] <= values[queue]:
            continue
        if batch in chosen:
            allowed = f"at most {queue}, which is {values[queue]}"
            findings.wrong(chosen[batch], allowed, WrongValue())
        values[batch] = values[queue]


def _as_one(ignored: Sequence[str]) -> tuple[str, ...]:
    """Return one warning that lists all values that are ignored."""
    if not ignored:
        return ()
    noun = "value is" if len(ignored) == 1 else "values are"
    head = f"{len(ignored)} wrong {noun} ignored, as if not set:"
    return ("\n  - ".join([head, *ignored]),)
