"""Tools that builds need: found where people have them, missed all at once."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from support.engines import EngineError, EngineMissing, java, toolchain
from support.engines.fake import fake_engine, program
from support.engines.recipe import Engine


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty machine: nothing but what a test puts into this folder."""
    monkeypatch.setattr(toolchain, "_JVM_FOLDERS", (f"{tmp_path}/jvm/*",))
    monkeypatch.setattr(toolchain, "_LIBRARY_FOLDERS", (f"{tmp_path}/lib",))
    return tmp_path


def _jdk(home: Path, version: str, *, compiler: bool = True) -> Path:
    """Install a JDK that says its version where every JDK does."""
    program(home / "bin" / "java", says=version)
    if compiler:
        program(home / "bin" / "javac", says=version)
    (home / "release").write_text(f'IMPLEMENTOR="X"\nJAVA_VERSION="{version}"\n')
    return home


def _needing(machine: Path, name: str, **needs: str) -> Engine:
    """Return an engine that needs these tools."""
    return dataclasses.replace(fake_engine(machine / "recipe"), name=name, needs=needs)


def test_everything_that_is_missing_is_named_at_once(machine: Path) -> None:
    """One look tells what to install: what, found, needed, how to get it, for which engine."""
    go = program(machine / "bin" / "go", says="go1.24.4")
    jdk = _jdk(machine / "jvm" / "seventeen", "17.0.15")
    engines = [
        _needing(machine, "collector", go="1.26.0"),
        _needing(machine, "search", jdk="25", mvn="3.6.3", libzstd="1"),
        _needing(machine, "kafka", jdk="17", mvn="3.6.3"),
    ]

    with pytest.raises(EngineError) as caught:
        toolchain.find_all(engines, environ={"PATH": str(machine / "bin")})

    assert str(caught.value) == (
        "Tools are missing to build engines:\n"
        f"- Go 1.26.0 or newer, found: 1.24.4 ({go})\n"
        "    get: the Go project's archive go1.26.0.linux-amd64.tar.gz"
        " (Debian's golang-go, where new enough), its `go` on PATH\n"
        "    for: collector\n"
        f"- JDK 25 or newer, found: 17.0.15 ({jdk})\n"
        "    get: Debian package openjdk-25-jdk, or Temurin's archive OpenJDK25U-jdk;"
        " looked for in JAVA25_HOME, JAVA_HOME, /usr/lib/jvm and by `java` on PATH\n"
        "    for: search\n"
        "- Maven 3.6.3 or newer, found: none\n"
        "    get: Debian package maven, its `mvn` on PATH\n"
        "    for: search, kafka\n"
        "- libzstd 1 or newer, found: none\n"
        "    get: Debian package libzstd1\n"
        "    for: search"
    )


def test_each_engine_gets_the_tools_it_needs(machine: Path) -> None:
    """Two engines may build with two JDKs."""
    go = program(machine / "bin" / "go", says="go1.26.8")
    mvn = program(machine / "bin" / "mvn", says="Apache Maven 3.8.7")
    old, new = _jdk(machine / "jvm" / "b", "17.0.15"), _jdk(machine / "jvm" / "a", "25.0.3")
    zstd = program(machine / "lib" / "libzstd.so.1", says="")
    engines = [
        _needing(machine, "collector", go="1.26.0"),
        _needing(machine, "search", jdk="25", mvn="3.6.3", libzstd="1"),
        _needing(machine, "kafka", jdk="17", mvn="3.6.3"),
    ]

    assert toolchain.find_all(engines, environ={"PATH": str(machine / "bin")}) == {
        "collector": {"go": str(go)},
        "search": {"jdk": str(new), "mvn": str(mvn), "libzstd": str(zstd)},
        "kafka": {"jdk": str(old), "mvn": str(mvn)},
    }


@pytest.mark.parametrize(
    ("version", "needed", "enough"),
    [
        ("1.26.0", "1.26.0", True),
        ("1.26.8", "1.26.0", True),
        ("1.9.9", "1.26.0", False),
        ("1.27rc1", "1.26.0", True),
        ("25-ea", "25", True),
        ("17.0.15", "25", False),
        ("", "1", False),
    ],
)
def test_versions_are_compared_as_numbers(version: str, needed: str, enough: bool) -> None:  # noqa: FBT001 -- a case of the table
    """1.9 is older than 1.26, and what tells no version never fits."""
    assert toolchain.newer(version, needed) is enough


def test_java_that_a_variable_names_comes_first(machine: Path) -> None:
    """JAVA25_HOME, then JAVA_HOME, then what is installed."""
    _jdk(machine / "jvm" / "jdk", "25.0.3")
    exact, general = _jdk(machine / "exact", "25.0.1"), _jdk(machine / "general", "26.0.1")
    environ = {"JAVA25_HOME": str(exact), "JAVA_HOME": str(general)}

    assert java(25, environ=environ) == exact / "bin" / "java"
    assert java(17, environ=environ) == general / "bin" / "java"


def test_java_that_is_too_old_is_passed_over(machine: Path) -> None:
    """JAVA_HOME serves another program of the user; the oldest installed one that fits is taken."""
    general = _jdk(machine / "general", "11.0.2")
    _jdk(machine / "jvm" / "a", "25.0.3")
    oldest = _jdk(machine / "jvm" / "z", "17.0.15", compiler=False)

    assert java(17, environ={"JAVA_HOME": str(general)}) == oldest / "bin" / "java"


def test_java_on_path_is_found_behind_its_link(machine: Path) -> None:
    """A link in a folder of PATH leads to the JDK's home."""
    home = _jdk(machine / "opt" / "jdk", "25.0.3")
    (machine / "bin").mkdir()
    (machine / "bin" / "java").symlink_to(home / "bin" / "java")

    assert java(25, environ={"PATH": str(machine / "bin")}) == home / "bin" / "java"


def test_java_without_a_compiler_does_not_build(machine: Path) -> None:
    """A JRE runs engines; it is not what a build needs."""
    _jdk(machine / "jvm" / "jre", "25.0.3", compiler=False)

    with pytest.raises(EngineError, match=r"^Tools are missing .*\n- JDK 25 or newer, found: none"):
        toolchain.find_all([_needing(machine, "search", jdk="25")], environ={})


def test_missing_java_is_told_with_what_there_is(machine: Path) -> None:
    """Whoever starts an engine reads which Java it needs."""
    old = _jdk(machine / "jvm" / "a", "17.0.15")

    with pytest.raises(EngineMissing) as caught:
        java(25, environ={})

    assert str(caught.value) == (
        f"JDK 25 or newer, found: 17.0.15 ({old})\n"
        "    get: Debian package openjdk-25-jdk, or Temurin's archive OpenJDK25U-jdk;"
        " looked for in JAVA25_HOME, JAVA_HOME, /usr/lib/jvm and by `java` on PATH"
    )
