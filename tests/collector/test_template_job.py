"""The job of compose.yaml that puts the index templates: its own script, run by bash and curl.

That Elasticsearch takes the templates is proven by `nox -s stack`.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from support import compose, jobs
from support.deployment import COLLECTOR

JOB = compose.load(COLLECTOR).services["elasticsearch-templates"]

pytestmark = jobs.NEEDED


class Receiver(ThreadingHTTPServer):
    """Keeps what is put, and refuses bodies that have the key `refused`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.taken: dict[str, object] = {}


class Handler(jobs.Quiet, BaseHTTPRequestHandler):
    def do_PUT(self) -> None:
        """Take a body under its path."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert isinstance(self.server, Receiver)
        refused = "refused" in body
        if not refused:
            self.server.taken[self.path] = body
        self.send_response(400 if refused else 200)
        self.end_headers()
        self.wfile.write(b"no\n" if refused else b"yes\n")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Run a receiver on a free port."""
    server = Receiver()
    with jobs.serving(server):
        yield server


def run_job(folder: Path, receiver: Receiver) -> subprocess.CompletedProcess[str]:
    """Run the job's script as its container would, on another folder and another address."""
    address = {"ELASTICSEARCH_ENDPOINT": f"http://127.0.0.1:{receiver.server_address[1]}"}
    return jobs.run(JOB, address, mounted="/index-templates", there=str(folder))


def test_job_puts_each_template_under_the_name_of_its_file(
    tmp_path: Path, receiver: Receiver
) -> None:
    """Every file arrives whole, and the job ends well."""
    (tmp_path / "logs.json").write_text('{"a": 1}')
    (tmp_path / "audit.json").write_text('{"b": "ä\\n"}')
    done = run_job(tmp_path, receiver)
    assert (done.returncode, done.stderr) == (0, "")
    assert receiver.taken == {
        "/_index_template/logs": {"a": 1},
        "/_index_template/audit": {"b": "ä\n"},
    }


def test_job_ends_badly_when_a_template_is_refused(tmp_path: Path, receiver: Receiver) -> None:
    """The Collector, which waits for a good end, does not start, and the answer is in the log."""
    (tmp_path / "a.json").write_text('{"refused": true}')
    (tmp_path / "b.json").write_text("{}")
    done = run_job(tmp_path, receiver)
    assert (done.returncode, done.stdout) == (22, "no\n")
    assert receiver.taken == {}


def test_job_ends_badly_without_a_template(tmp_path: Path, receiver: Receiver) -> None:
    """An empty folder, a wrong mount for instance, is not taken for success."""
    done = run_job(tmp_path, receiver)
    assert done.returncode != 0
    assert f"no match: {tmp_path}/*.json" in done.stderr
    assert receiver.taken == {}
