"""How engines are run: known by process, stopped always, and what they say when they can't."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import ClassVar

import psutil
import pytest

from support.pages import REPOSITORY
from support.stack import Engine, EngineFailed, Prometheus, eventually
from support.stack.ask import http

SERVER = """
import http.server, signal, subprocess, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "silent" in sys.argv:
    signal.pause()
if "broken" in sys.argv:
    sys.exit("no such option: broken")
subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


OWNER = """
import sys
from pathlib import Path
from support.stack import ending
from test_engines import Small
ending.in_good_order()
with Small(Path(sys.argv[1])) as engine:
    print(engine.process_id, flush=True)
    sys.stdin.read()
"""
PARENT = "import subprocess, sys; subprocess.run(sys.argv[1:])"
"""Like nox: it waits for a process and forwards nothing."""


class Small(Engine):
    """A server of a few lines, with a child."""

    name: ClassVar[str] = "small"
    PORTS: ClassVar[Mapping[str, int]] = {"http": 1}
    grace: ClassVar[float] = 0.5
    manners: str = "good"

    def command(self) -> list[str]:
        return [sys.executable, "-c", SERVER, str(self.ports["http"]), self.manners]

    def is_ready(self) -> bool:
        return http.answers(self.address("http"))

    def family(self) -> list[psutil.Process]:
        process = psutil.Process(self.process_id)
        return [process, *process.children(recursive=True)]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Small]:
    """Give an engine that is stopped at the end, whatever happened."""
    engine = Small(tmp_path)
    yield engine
    engine.kill()


def _gone(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=30)
    return not [each for each in alive if each.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("manners", ["good", "stubborn"])
def test_stop_leaves_nothing_behind(small: Small, manners: str) -> None:
    """SIGTERM ends it; what ignores that, and its children, are killed."""
    small.manners = manners
    family = small.start().family()
    small.stop()
    assert not small.is_alive
    assert _gone(family)


def test_killed_engine_starts_again_on_its_port(small: Small) -> None:
    """After SIGKILL nothing of it is left, and `start()` brings it back where it was."""
    family = small.start().family()
    small.kill()
    assert _gone(family)
    assert not http.answers(small.address("http"))
    small.start()
    assert http.answers(small.address("http"))


def test_paused_engine_answers_nothing_and_can_be_stopped(small: Small) -> None:
    """SIGSTOP freezes it, SIGCONT wakes it; a frozen one ends in good order."""
    small.start().pause()
    with pytest.raises(TimeoutError):
        http.text(small.address("http"), timeout=1)
    small.resume()
    assert http.answers(small.address("http"))
    small.pause()
    small.stop()
    assert not small.is_alive


def _environment() -> dict[str, str]:
    """Return the environment of a process that imports what this file does."""
    places = (Path(__file__).parent, Path(__file__).parents[1])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places))}


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_engine_ends_with_its_owner(tmp_path: Path, how: signal.Signals) -> None:
    """Whatever ends the process that started it; by SIGKILL only where Linux can tell."""
    if how == signal.SIGKILL and sys.platform != "linux":
        pytest.skip("only Linux tells a process that its parent has ended")
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)],
        env=_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as owner:  # fmt: skip
        assert owner.stdout is not None
        engine = psutil.Process(int(owner.stdout.readline()))
        family = [engine, *engine.children(recursive=True)]
        owner.send_signal(how)
        assert _gone([engine] if how == signal.SIGKILL else family)
    for each in family:  # SIGKILL leaves the children of an engine; real engines have none.
        with suppress(psutil.NoSuchProcess):
            each.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells that a parent has ended")
def test_benchmark_ends_with_what_started_it(tmp_path: Path) -> None:
    """SIGTERM to what nox is: the benchmark gets to know it and stops its real engines."""
    bench = REPOSITORY / "tests" / "benchmarks" / "bench_collector.py"
    parent_of = [sys.executable, "-c", PARENT]
    with (tmp_path / "said").open("wb") as said:
        parent = subprocess.Popen(
            [*parent_of, sys.executable, str(bench), "--only", "single-node", "--items", "1024"],
            env={**_environment(), "TMPDIR": str(tmp_path)}, stdout=said, stderr=said,
        )  # fmt: skip
    process = psutil.Process(parent.pid)

    def engines() -> list[psutil.Process]:
        assert parent.poll() is None, (tmp_path / "said").read_text()
        # The benchmark and three backends, which are not ready yet.
        return found if len(found := process.children(recursive=True)) >= 4 else []

    family = eventually("the engines run", engines)
    parent.terminate()
    parent.wait()
    try:
        assert _gone(family)
    finally:
        for each in family:
            with suppress(psutil.NoSuchProcess):
                each.kill()
    # Stopped, not killed: also its data is gone.
    assert list(tmp_path.glob("etl-bench-*")) == []


def test_answer_of_another_process_is_none(small: Small) -> None:
    """Health is asked of our process: somebody else on the port does not make it ready."""
    small.manners = "silent"
    small.start(wait=False)
    with socket.create_server(("127.0.0.1", small.ports["http"])):
        assert not small.owns_ports()
        with pytest.raises(EngineFailed) as caught:
            small.wait_until_ready(timeout=1)
    assert str(caught.value).startswith(
        f"small was not ready within 1 s. The end of {small.log}:\n"
    )


def test_engine_that_ends_tells_the_end_of_its_log(small: Small) -> None:
    """The error has the exit code and what the engine said last."""
    small.manners = "broken"
    with pytest.raises(EngineFailed) as caught:
        small.start()
    assert str(caught.value) == (
        f"small ended with exit code 1. The end of {small.log}:\n  | no such option: broken"
    )


def test_taken_port_is_told(small: Small) -> None:
    """A port on which somebody listens is an error before anything is started."""
    port = small.ports["http"]
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(EngineFailed) as caught,
    ):
        small.start()
    assert str(caught.value) == f"small cannot start: somebody else listens on [{port}]."


def test_usual_ports_are_taken_where_they_are_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person finds an engine where it usually is; a taken port is replaced by a free one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        usual = probe.getsockname()[1]
    monkeypatch.setattr(Small, "PORTS", {"http": usual})
    assert Small(tmp_path, usual_ports=True).ports == {"http": usual}
    with socket.create_server(("127.0.0.1", usual)):
        assert Small(tmp_path, usual_ports=True).ports["http"] != usual


def test_port_is_given_to_one_engine_only() -> None:
    """Neither another one of its process nor another process gets it, though nobody listens."""
    code = (
        "import sys; from support.stack import ports\n"
        "print(*ports.free(300), flush=True); sys.stdin.read()"
    )
    with ExitStack() as both:
        processes = [
            both.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", code],
                    env=_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                )
            )
            for _ in range(2)
        ]  # fmt: skip
        given = []
        for process in processes:
            assert process.stdout is not None
            given += process.stdout.readline().split()
    assert (len(given), len(set(given))) == (600, 600)


def test_data_outlives_a_kill(tmp_path: Path) -> None:
    """A real engine goes on with the data that it had when it was killed."""
    config = tmp_path / "prometheus.yml"
    engine = Prometheus(tmp_path)
    config.write_text(
        "scrape_configs: [{job_name: itself, scrape_interval: 1s, static_configs: "
        f"[{{targets: ['127.0.0.1:{engine.ports['http']}']}}]}}]\n"
    )
    engine.config = config
    with engine:
        eventually("Prometheus scrapes itself", lambda: engine.ask.query("up"))
        before = time.time()
        engine.kill()
        engine.start()
        assert engine.ask.values("up", "job", at=before) == {("itself",): 1}
