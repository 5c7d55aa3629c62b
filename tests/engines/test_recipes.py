"""The recipes themselves: what is pinned where agrees, and nothing is left unpinned."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.engines import cache, jars, toolchain
from support.engines.recipe import Engine
from support.engines.table import COLLECTOR, ENGINES, PRODUCT, RECIPES

_WITH_GO = [engine for engine in ENGINES if "go" in engine.needs]
_WITH_MAVEN = [engine for engine in ENGINES if "mvn" in engine.needs]
_REQUIRE = re.compile(r"^(?:require )?\t?([\w.]+/\S+) (v\S+)(?: // indirect)?$", re.MULTILINE)
_REPLACE = re.compile(r"^(?:replace )?\t?(\S+) => ", re.MULTILINE)
_GOMOD = re.compile(r"^  - gomod: (\S+) (v\S+)$", re.MULTILINE)


def _named(engine: Engine) -> str:
    return engine.name


def _required(go_mod: Path) -> dict[str, str]:
    """Return the modules of a go.mod and their versions."""
    return dict(_REQUIRE.findall(go_mod.read_text()))


def test_all_but_loki_are_built_when_none_is_named() -> None:
    """In the order in which they are needed; Loki's build takes minutes, for one overlay."""
    assert [(engine.name, engine.default) for engine in ENGINES] == [
        ("collector", True),
        ("elasticsearch", True),
        ("kafka", True),
        ("prometheus", True),
        ("jaeger", True),
        ("alertmanager", True),
        ("victoriametrics", True),
        ("loki", False),
    ]


def test_lock_of_the_collector_has_exactly_the_versions_of_its_manifest() -> None:
    """Who changes the manifest must lock it again: see docs/how-to/engines.md."""
    gomods = _GOMOD.findall((PRODUCT / "manifest.yaml").read_text())
    assert gomods
    locked = _required(RECIPES / "collector" / "build" / "go.mod")

    assert {name: locked.get(name) for name, _ in gomods} == dict(gomods)


def test_collector_and_its_builder_have_one_version() -> None:
    """The manifest, the table and the builder move together."""
    builder = _required(RECIPES / "collector" / "builder" / "go.mod")

    assert builder["go.opentelemetry.io/collector/cmd/builder"] == f"v{COLLECTOR.version}"
    assert f"\n  version: {COLLECTOR.version}\n" in (PRODUCT / "manifest.yaml").read_text()


@pytest.mark.parametrize("engine", _WITH_GO, ids=_named)
def test_go_modules_have_their_checksums_beside_them(engine: Engine) -> None:
    """Go refuses what differs from go.sum, and -mod=readonly refuses what is not in it."""
    modules = [
        file
        for path, file in cache.source_files(engine).items()
        if path.endswith("go.mod") and "stub" not in path
    ]
    assert modules
    for module in modules:
        sums = module.with_name("go.sum").read_text()
        # What `replace` names has the sum of what it is replaced by, a folder has none.
        replaced = _REPLACE.findall(module.read_text())
        required = _required(module)
        missing = {
            f"{name} {version}"
            for name, version in required.items()
            if f"{name} {version}/go.mod h1:" not in sums and name not in replaced
        }
        assert required
        assert missing == set(), module


@pytest.mark.parametrize("engine", _WITH_GO, ids=_named)
def test_needed_go_is_as_new_as_the_newest_module_says(engine: Engine) -> None:
    """The table does not promise that an older Go will do."""
    for path, file in cache.source_files(engine).items():
        if path.endswith("go.mod"):
            match = re.search(r"^go (\S+)$", file.read_text(), re.MULTILINE)
            assert match is not None
            assert toolchain.newer(engine.needs["go"], match.group(1)), path


@pytest.mark.parametrize("engine", _WITH_MAVEN, ids=_named)
def test_maven_versions_are_all_written_down(engine: Engine) -> None:
    """No range, no plugin of whatever version this Maven brings, and the engine's own is pinned."""
    pom = cache.source_files(engine)["pom.xml"].read_text()
    blocks = re.findall(r"<(?:dependency|plugin)>.*?</(?:dependency|plugin)>", pom, re.DOTALL)

    assert blocks
    assert [block for block in blocks if "<version>" not in block] == []
    assert re.findall(r"<version>[^<]*[\[(,][^<]*</version>", pom) == []
    assert f">{engine.version}<" in pom


@pytest.mark.parametrize("engine", _WITH_MAVEN, ids=_named)
def test_jars_are_listed_with_their_sums(engine: Engine) -> None:
    """Only what the recipe compiles itself has none."""
    lines = cache.source_files(engine)["jars.sha256"].read_text().splitlines()
    own = [line for line in lines if not re.fullmatch(r"[0-9a-f]{64}  \S+\.jar", line)]

    assert len(lines) > 50
    assert own in ([], ["-  lib/es-launcher.jar", "-  modules/etl-rest/es-launcher-rest.jar"])


@pytest.mark.parametrize("engine", ENGINES, ids=_named)
def test_commands_use_placeholders_that_are_filled_in(engine: Engine) -> None:
    """A tool of a command is among what the recipe needs; step names tell steps apart."""
    texts = [t for s in engine.steps for t in (*s.command, *s.environment.values())]
    used = {name for text in texts for name in re.findall(r"\{(\w+)\}", text)}
    names = [step.name for step in engine.steps]

    assert used - {"work", "output", "python"} == set(engine.needs)
    assert len(set(names)) == len(names)
    assert set(engine.needs) <= set(toolchain.TOOLS)


def test_jars_that_differ_from_the_list_are_named(tmp_path: Path) -> None:
    """A changed, a missing and an unexpected jar: each is told, and nothing else."""
    for name in ("same", "changed", "unexpected", "own"):
        (tmp_path / f"{name}.jar").write_bytes(name.encode())
    found = jars.sums(tmp_path)
    expected = {"own.jar": jars.BUILT_HERE, "missing.jar": "0" * 64, "changed.jar": "1" * 64}

    differs = f"SHA-256 is {found['changed.jar']}, the recipe's list has {'1' * 64}"
    assert jars.problems(expected={**expected, "same.jar": found["same.jar"]}, found=found) == [
        f"changed: changed.jar: {differs}",
        "missing: missing.jar",
        "unexpected: unexpected.jar",
    ]
