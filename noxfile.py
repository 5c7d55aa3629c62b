"""The project's commands. `nox -l` lists them, `nox -s tests` runs one.

Every session tests or shows the built wheel, never the source tree, so that a file forgotten in
the wheel is found here and not by a user.
"""

from __future__ import annotations

import sys

# Before anything that an older Python cannot parse or import.
if sys.version_info < (3, 11):  # noqa: UP036 -- `requires-python` is not read by nox
    sys.exit(
        "etl-telemetry needs Python 3.11 or newer, but nox runs on "
        + ".".join(map(str, sys.version_info[:3]))
        + f" ({sys.executable}).\nFix: rm -rf .venv && python3.11 -m venv .venv"
        " && .venv/bin/pip install 'nox[uv]'"
    )

import ast
import os
import shutil
import subprocess
from pathlib import Path

import nox

ROOT = Path(__file__).parent
PLATFORM = ROOT / "examples" / "etl_platform"
WITH_ENGINES = {"collector", "gateway"}
"""Benchmarks that need the engines."""
SHOWN = ("collector", "prometheus", "elasticsearch", "jaeger")
"""Engines of `nox -s stack -- up`."""
ORDERLY = 180
"""Seconds for what has engines to stop them after Ctrl-C: at a load of 60 it took 59."""
STACKS = ("-n", "4", "--dist", "loadfile", "--no-loadscope-reorder", "--durations=20")
"""The tests of the stack wait more than they compute; those that share a stack share a process."""
UNITS = ("-n", "3", "--dist", "worksteal", "--durations=20")
"""A third of them waits at any time. Whole files stay together: a module's server starts once."""
WAITING = ("-n", "4", *UNITS[2:])
"""Half of what starts applications waits for them."""
APPLICATIONS = tuple(
    f"tests/{room}" for room in ("browser", "integration", "django", "examples", "docs")
)
"""What starts whole applications: it takes three times as long as all the rest. The browser is
first, where no other process steals a part of its one file, which would start all of it again."""
NEWEST = "celery>=5.7"
"""It pins python-dateutil to an old release: uv would take an old Celery, pip does not."""
PIP_TOLD = {
    "index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX", "no-index": "UV_NO_INDEX",
    "find-links": "UV_FIND_LINKS", "cert": "SSL_CERT_FILE",
    "timeout": "UV_HTTP_TIMEOUT", "default-timeout": "UV_HTTP_TIMEOUT",
}  # fmt: skip
"""What pip is told by its files and `PIP_*`, and uv, which reads neither, by a variable."""

# Without bytecode each process compiles Django, Celery and the SDK anew: three times the CPU for a
# start, and the tests start thousands. uv leaves it to the first import, unlike pip.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

nox.needs_version = ">=2025.5.1"
nox.options.sessions = ["tests", "applications", "lint", "types", "docs", "build"]
# For an environment of the tests uv takes 5 s of CPU, pip 109.
nox.options.default_venv_backend = "uv|virtualenv"


def group(*names: str) -> list[str]:
    """Read the requirements of dependency groups (pip 23.2 has no `--group`)."""
    pyproject = nox.project.load_toml(ROOT / "pyproject.toml")
    return list(nox.project.dependency_groups(pyproject, *names))


def told_pip() -> dict[str, str]:
    """Return as uv's variables where pip gets its packages from; a variable that is set stays."""
    command = (sys.executable, "-m", "pip", "config", "list")
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    told: dict[str, str] = {}
    # Pip's own order: a command's section wins over `global`, a variable over both.
    for section in ("global.", "install.", ":env:."):
        for line in said.stdout.splitlines():
            name, _, value = line.removeprefix(section).partition("=")
            if line.startswith(section) and name in PIP_TOLD:
                places = ast.literal_eval(value).split()
                if name == "find-links":  # pip passes over a folder that is not there, uv ends
                    places = [",".join(p for p in places if "://" in p or Path(p).exists())]
                told[PIP_TOLD[name]] = " ".join(places)
    return {name: value for name, value in told.items() if name not in os.environ}


def install(session: nox.Session, *requirements: str) -> None:
    """Install by what made the environment: uv, or pip where uv is not there."""
    session.install(*requirements, env=told_pip() if session.venv_backend == "uv" else {})


def build_wheel(session: nox.Session) -> Path | None:
    """Build the wheel into the session's own folder; return its path, None with --no-install."""
    folder = Path(session.create_tmp()) / "wheel"
    shutil.rmtree(folder, ignore_errors=True)
    if session.venv_backend == "uv":
        command = ("uv", "build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT))
        session.run_install(*command, env=told_pip())
    else:
        pip = ("python", "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder))
        session.run_install(*pip, str(ROOT))
    return next(folder.glob("*.whl"), None)


def install_wheel(session: nox.Session, *requirements: str, extra: str = "all") -> None:
    """Install the built wheel, with an extra, together with what the session needs."""
    wheel = build_wheel(session)
    if wheel is None:
        return
    install(session, f"{wheel}[{extra}]", NEWEST, *requirements)
    # A reused environment (nox -r) holds a wheel of the same version: pip would keep it.
    install(session, "--force-reinstall", "--no-deps", str(wheel))


def build_engines(session: nox.Session, *arguments: str) -> None:
    """Build what is not in the cache; needs nothing but the Python that runs nox."""
    session.run(
        *(sys.executable, "-m", "support.engines", *arguments),
        env={"PYTHONPATH": str(ROOT / "tests")},
        external=True,
        # Ctrl-C: it ends its own compilers.
        interrupt_timeout=30,
        terminate_timeout=10,
    )


def has_program(session: nox.Session, program: str, *, package: str) -> bool:
    """Install a program of Debian's where that is ours to do, for root; return if it is there."""
    path = os.pathsep.join(["/usr/sbin", os.environ.get("PATH", "")])
    if not shutil.which(program, path=path) and shutil.which("apt-get") and os.geteuid() == 0:
        quietly = {"env": {"DEBIAN_FRONTEND": "noninteractive"}, "external": True}
        anyway = range(256)
        session.run("apt-get", "update", "-qq", success_codes=anyway, **quietly)
        install = ("apt-get", "install", "-y", "-qq", "--no-install-recommends", package)
        session.run(*install, success_codes=anyway, **quietly)
    return shutil.which(program, path=path) is not None


@nox.session
def demo(session: nox.Session) -> None:
    """Run the example platform and show what arrived: `-- --once --report demo.json` to stop."""
    install_wheel(session, "-r", str(PLATFORM / "requirements.txt"))
    session.run(
        *("python", "-m", "demo", *session.posargs),
        env={"PYTHONPATH": str(PLATFORM)},
        # Ctrl-C: the demo stops its own processes, which takes longer than nox's 0.3 s.
        interrupt_timeout=30,
        terminate_timeout=10,
    )


@nox.session(venv_backend="none")
def engines(session: nox.Session) -> None:
    """Build the engines of the stack, or those named: `-- loki`, `-- --list`, `-- --all`."""
    build_engines(session, *session.posargs)


@nox.session
def stack(session: nox.Session) -> None:
    """Run the tests against real engines; `-- up` leaves the stack running until Ctrl-C."""
    install_wheel(session, *group("test"), "-r", str(PLATFORM / "requirements.txt"))
    up = session.posargs[:1] == ["up"]
    build_engines(session, *(SHOWN if up else ()))
    if up:
        session.run(
            *("python", "-m", "support.stack", *session.posargs[1:]),
            env={"PYTHONPATH": str(ROOT / "tests")},
            # Ctrl-C: it stops its own processes, Java among them.
            interrupt_timeout=ORDERLY,
            terminate_timeout=10,
        )
        return
    if not session.posargs:
        # Where it lacks its test is skipped, and says so.
        has_program(session, "rabbitmq-server", package="rabbitmq-server")
    named = any((ROOT / argument.split("::")[0]).exists() for argument in session.posargs)
    where = [] if named else ["tests/stack"]
    parallel = [] if session.posargs else STACKS
    session.run(
        *("pytest", *where, *parallel, *session.posargs),
        interrupt_timeout=ORDERLY, terminate_timeout=10,
    )  # fmt: skip


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests that Python alone is enough for; arguments go to pytest."""
    install_wheel(session, *group("test"), "-r", str(PLATFORM / "requirements.txt"))
    some = [*UNITS, *(f"--ignore={folder}" for folder in APPLICATIONS)]
    session.run("pytest", *(session.posargs or some))


@nox.session
def applications(session: nox.Session) -> None:
    """Run the tests that start whole applications: servers, workers, databases, a browser."""
    install_wheel(session, *group("test"), "-r", str(PLATFORM / "requirements.txt"))
    browser = not session.posargs or any("browser" in argument for argument in session.posargs)
    if browser and not has_program(session, "chromium", package="chromium"):
        session.error(
            "tests/browser needs the program `chromium`. Fix: sudo apt-get install chromium,"
            " or name the tests that you want: nox -s applications -- tests/django"
        )
    if session.posargs:
        session.run("pytest", *session.posargs)
        return
    # Where they lack their tests are skipped, and say so.
    has_program(session, "mariadbd", package="mariadb-server")
    has_program(session, "rabbitmq-server", package="rabbitmq-server")
    session.run("pytest", *WAITING, *APPLICATIONS)


@nox.session(python=["3.12", "3.13"])
def compat(session: nox.Session) -> None:
    """Run on another Python what hangs on it: imports, functions, contexts, logging, processes."""
    install_wheel(session, *group("test"), "-r", str(PLATFORM / "requirements.txt"))
    rooms = ("logs", "pipelines", "runtime", "tracing")
    core = [*(ROOT / "tests").glob("test_*.py"), *(ROOT / "tests" / room for room in rooms)]
    # What is parsed or added up (config, redaction, the relay's store) is the same everywhere.
    relay = ROOT / "tests" / "runtime" / "relay"
    same = [f"--ignore={relay}/test_{name}.py" for name in ("decode", "series_budget", "store")]
    same.append("--deselect=tests/test_imports.py::test_every_module_imports_alone")
    chosen = session.posargs or sorted([*map(str, core), *same])
    session.run("pytest", "-n", "2", "--dist", "worksteal", *chosen)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, format and the direction of imports."""
    install(session, *group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    # import-linter reads sources and needs neither the package's nor the platform's dependencies.
    env = {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(PLATFORM)])}
    for config in ("pyproject.toml", "examples/importlinter.toml"):
        session.run("lint-imports", "--no-logo", "--no-cache", "--config", config, env=env)


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of the package, strictly."""
    install_wheel(session, *group("types"))
    session.run("mypy", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; a warning is an error."""
    install_wheel(session, *group("docs"))
    output = ROOT / "docs" / "_build" / "html"
    session.run("sphinx-build", "-W", "--keep-going", "-b", "html", "docs", str(output))


@nox.session
def build(session: nox.Session) -> None:
    """Build wheel and sdist, check them, and try the wheel in a bare environment."""
    install(session, *group("build"))
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    # For its two environments pip takes five times as long as uv.
    command = ("python", "-m", "build", "--installer", "uv", "--outdir", str(dist))
    session.run(*command, env=told_pip())
    artifacts = sorted(map(str, dist.iterdir()))
    session.run("twine", "check", "--strict", *artifacts)
    wheel = next(dist.glob("*.whl"))
    # `python -m venv` brings the pip that a user's fresh environment has (23.2 with 3.11.7).
    bare = Path(session.create_tmp()) / "bare"
    shutil.rmtree(bare, ignore_errors=True)
    session.run("python", "-m", "venv", str(bare))
    python = str(bare / ("Scripts" if os.name == "nt" else "bin") / "python")
    pip = (python, "-m", "pip", "install", "--quiet")
    session.run(*pip, "--dry-run", f"{wheel}[all]", external=True)
    session.run(*pip, str(wheel), external=True)
    session.run(python, "-I", str(ROOT / "tests" / "packaging" / "smoke.py"), external=True)


@nox.session
def bench(session: nox.Session) -> None:
    """Run the benchmarks, or one of them: `-- collector`. Nothing here passes or fails by time."""
    folder = ROOT / "tests" / "benchmarks"
    scripts = {path.stem.removeprefix("bench_"): path for path in sorted(folder.glob("bench_*.py"))}
    name, *arguments = session.posargs or [""]
    if name not in scripts:
        # The engines take long to build: what needs them is run by its name only.
        chosen, arguments = [n for n in scripts if n not in WITH_ENGINES], session.posargs
    else:
        chosen = [name]
    install_wheel(session, *group("test"), "-r", str(PLATFORM / "requirements.txt"))
    if not WITH_ENGINES.isdisjoint(chosen):
        build_engines(session)
    for each in chosen:
        env = {"PYTHONPATH": str(ROOT / "tests")} if each in WITH_ENGINES else {}
        # Ctrl-C: what has engines stops them.
        session.run(
            *("python", str(scripts[each]), *arguments),
            env=env, interrupt_timeout=ORDERLY, terminate_timeout=10,
        )  # fmt: skip
