"""Write the files of one kind: text by name, the same each time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from etl_telemetry.ops import kibana, rules, templates
from etl_telemetry.ops.kibana.model import JAEGER
from etl_telemetry.ops.rules.model import GRAFANA
from etl_telemetry.ops.thresholds import Thresholds

_WIDTH = 10_000  # A sentence that is cut into lines is hard to search for.


@dataclass(frozen=True, slots=True)
class Options:
    """What the files depend on."""

    limits: Thresholds
    """A team's own numbers."""
    runbooks: str
    """Where the runbooks are: the address before `/task-lost.html`."""
    grafana: str = GRAFANA
    """Where Grafana is: the address before `/d/etl-overview`."""
    jaeger: str = JAEGER
    """Where people open Jaeger: the address before `/trace/<id>`."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of files."""

    name: str
    """Its word on the command line."""
    folder: str
    """Where this repository keeps them, below `collector/`."""
    make: Callable[[Options], Mapping[str, str]]
    """Return the text of each file by its name."""


def write(kind: Kind, options: Options, folder: Path) -> list[Path]:
    """Write the files of ``kind`` into ``folder``, which is made; return their paths."""
    made = kind.make(options)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in made.items():
        path = folder / name
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths


def _rules(options: Options) -> Mapping[str, str]:
    head = "# Written by `etl-telemetry generate rules`: change it there, or by `--set`.\n"
    return {
        f"{group.name}.yml": head + _yaml(group.as_file(options.runbooks, options.grafana))
        for group in rules.groups(options.limits)
    }


def _dashboards(options: Options) -> Mapping[str, str]:
    # Here, so that who generates rules needs no model of Grafana's format.
    from etl_telemetry.ops.dashboards import files

    return files(options.limits)


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as a block, as people do."""


def _block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _block)


def _yaml(value: object) -> str:
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=_WIDTH, allow_unicode=True))


def _templates(options: Options) -> Mapping[str, str]:
    return templates.files(options.limits)


def _kibana(options: Options) -> Mapping[str, str]:
    return kibana.files(jaeger=options.jaeger)


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("rules", "prometheus/rules", _rules),
        Kind("index-templates", "elasticsearch/index-templates", _templates),
        Kind("kibana", "kibana", _kibana),
        Kind("dashboards", "grafana/dashboards", _dashboards),
    )
}
"""Every kind of files, by its word."""
