"""The package's shape: what an import loads, who imports whom, how large things are."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import grimp
import pytest

REPOSITORY = Path(__file__).parent.parent
SOURCE = REPOSITORY / "src" / "etl_telemetry"
FILES = sorted(SOURCE.rglob("*.py"))
MAX_FILE, MAX_FUNCTION = 400, 40

# Runs before the import and sees whatever it does: reads of the environment, threads, sockets,
# at-fork hooks and signal handlers.
_PROBE = """
import json, os, signal, sys, threading
seen = []
sys.addaudithook(lambda event, args: seen.append(event) if event.startswith(
    ("socket.", "subprocess.", "os.fork", "os.putenv", "signal.")) else None)
start = threading.Thread.start  # No audit event tells of a thread before Python 3.12.
threading.Thread.start = lambda thread: (seen.append(f"thread {thread.name}"), start(thread))
watched = type(os.environ)
original = watched.__getitem__
def getitem(self, key):
    frame = sys._getframe(1)
    while frame is not None and "importlib" not in frame.f_code.co_filename:
        if "etl_telemetry" in frame.f_code.co_filename:
            seen.append(f"environ[{key}] in {frame.f_code.co_filename}")
        frame = frame.f_back
    return original(self, key)
watched.__getitem__ = getitem
registered = []
for name in ("register_at_fork",):
    real = getattr(os, name)
    setattr(os, name, lambda *a, real=real, **k: (registered.append(
        sys._getframe(1).f_code.co_filename), real(*a, **k)))
before = signal.getsignal(signal.SIGTERM)
import etl_telemetry
for name in etl_telemetry.__all__:
    getattr(etl_telemetry, name)
print(json.dumps({
    "modules": sorted(sys.modules), "events": seen,
    "threads": [t.name for t in threading.enumerate()],
    "hooks": [f for f in registered if "etl_telemetry" in f],
    "handler_kept": signal.getsignal(signal.SIGTERM) == before,
}))
"""


@pytest.fixture(scope="module")
def imported() -> dict[str, object]:
    """Import the package in a new process and tell what that did."""
    command = [sys.executable, "-W", "error", "-c", _PROBE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize(
    "heavy",
    [
        "opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.instrumentation",
        "django", "celery", "kombu", "requests", "grpc", "psycopg2", "redis",
        "google.protobuf", "sqlite3", "http.server",
    ],
)  # fmt: skip
def test_import_loads_no_heavy_library(imported: dict[str, object], heavy: str) -> None:
    """`import etl_telemetry` and touching all it exports loads the OTel API and nothing heavier."""
    modules = imported["modules"]
    assert isinstance(modules, list)
    assert [m for m in modules if m == heavy or m.startswith(heavy + ".")] == []


def test_import_starts_and_reads_nothing(imported: dict[str, object]) -> None:
    """An import opens no socket, starts no thread, reads no environment, registers no hook."""
    seen = {key: imported[key] for key in ("events", "threads", "hooks", "handler_kept")}
    assert seen == {"events": [], "threads": ["MainThread"], "hooks": [], "handler_kept": True}


def test_every_module_imports_alone() -> None:
    """Each module that needs no framework can be the first one that a process imports."""
    rooms = [path for path in FILES if not {"django", "celery"} & set(path.parts)]
    names = [module_name(path) for path in rooms if path.name != "__main__.py"]
    script = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    for key in [k for k in sys.modules if k.startswith('etl_telemetry')]:\n"
        "        del sys.modules[key]\n"
        "    importlib.import_module(name)\n"
    )
    command = [sys.executable, "-c", script, *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_no_import_cycles() -> None:
    """No module reaches itself again through imports, not even through late ones."""
    graph = grimp.build_graph("etl_telemetry", cache_dir=None)
    cycles = {
        tuple(sorted(chain))
        for module in graph.modules
        for target in graph.find_modules_directly_imported_by(module)
        if (chain := graph.find_shortest_chain(importer=target, imported=module))
    }
    assert sorted(cycles) == []


@pytest.mark.parametrize(
    ("library", "rooms"),
    [
        ("opentelemetry.sdk", ("runtime/", "testing/", "viewer/")),
        ("opentelemetry.exporter", ("runtime/", "testing/", "viewer/")),
        ("opentelemetry.proto", ("runtime/", "testing/", "viewer/")),
        ("opentelemetry.instrumentation", ("runtime/", "instrumentation/", "django/", "celery/")),
        ("opentelemetry.semconv._incubating", ()),
        ("django", ("django/",)),
        ("celery", ("celery/",)),
        ("kombu", ("celery/",)),
        ("unittest", ()),
        ("pytest", ("testing/pytest_plugin.py",)),
    ],
)
def test_library_stays_in_its_rooms(library: str, rooms: tuple[str, ...]) -> None:
    """A library is imported only where the architecture allows it (import-linter sees no dots)."""
    strangers = {
        f"{inside}:{line}: {name}"
        for path in FILES
        if not (inside := path.relative_to(SOURCE).as_posix()).startswith(rooms or ("\0",))
        for line, name in imports(path)
        if name == library or name.startswith(library + ".")
    }
    assert sorted(strangers) == []


def test_files_are_short() -> None:
    """No source file has more than 400 lines."""
    lengths = {path.relative_to(SOURCE): len(path.read_text().splitlines()) for path in FILES}
    assert {str(path): n for path, n in lengths.items() if n > MAX_FILE} == {}


def test_functions_are_short() -> None:
    """No function has more than 40 lines, docstring not counted, unless it says `# Hot path:`."""
    long = {}
    for path in FILES:
        lines = path.read_text().splitlines()
        for node in nodes(path):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = lines[node.lineno - 1 : node.end_lineno]
                docstring = ast.get_docstring(node, clean=False) or ""
                size = len(body) - (docstring.count("\n") + 1 if docstring else 0)
                if size > MAX_FUNCTION and not any("# Hot path:" in line for line in body):
                    long[f"{path.relative_to(SOURCE)}:{node.lineno} {node.name}"] = size
    assert long == {}


def test_root_module_is_small() -> None:
    """The root module only exports: under 60 lines."""
    assert len((SOURCE / "__init__.py").read_text().splitlines()) < 60


def test_only_the_guard_catches_everything() -> None:
    """`except Exception` and a bare `except` stand in guard.py alone, or raise again."""
    found = {
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for path in FILES
        if path.name != "guard.py"
        for node in nodes(path)
        if isinstance(node, ast.ExceptHandler) and catches_everything(node)
    }
    assert sorted(found) == []


def catches_everything(handler: ast.ExceptHandler) -> bool:
    """Tell whether a handler swallows what it does not know (ruff watches BaseException)."""
    if any(isinstance(part, ast.Raise) for part in ast.walk(handler)):
        return False
    if handler.type is None:
        return True
    return "Exception" in {part.id for part in ast.walk(handler.type) if isinstance(part, ast.Name)}


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """Parse a source file once for all tests."""
    return tuple(ast.walk(ast.parse(path.read_text())))


def module_name(path: Path) -> str:
    """Translate a source path into the name to import."""
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, absolute name) of everything that a source file imports."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.lineno, str(node.module)
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
