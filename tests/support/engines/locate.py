"""Tell where an engine is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from support.engines import cache, prebuilt
from support.engines.recipe import Engine, EngineMissing
from support.engines.table import ENGINES, engine_of


def locate(
    name: str,
    *,
    environ: Mapping[str, str] = os.environ,
    engines: tuple[Engine, ...] = ENGINES,
) -> Path:
    """Return the executable called `name`; for `elasticsearch` and `kafka` the folder.

    The folder of Elasticsearch has `home/lib`, `home/modules` and `natives`; that of Kafka has its
    jars. Raises EngineMissing when there is neither a prebuilt one nor one in the cache.
    """
    engine = engine_of(name, engines=engines)
    program = name if name in engine.programs else next(iter(engine.programs))
    if found := prebuilt.find(program, engine, environ):
        return found.path
    place = cache.root(environ) / cache.folder_name(engine)
    if place.is_dir():
        return place / engine.programs[program]
    commands = " or ".join(engine.commands.get(program, ()))
    raise EngineMissing(
        f"{program} {engine.version} is not built: there is no {place}"
        + (f", and no {commands} on PATH that fits" if commands else "")
        + f".\nFix: nox -s engines -- {engine.name}"
        f" (or name a prebuilt one: {prebuilt.variable(program)}=...)"
    )
