"""The job of compose.yaml that imports Kibana's objects: its own script, run by bash and curl.

There is no Kibana here: what it answers is as its documentation says.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from support import compose, jobs
from support.deployment import COLLECTOR

JOB = compose.load(COLLECTOR).services["kibana-objects"]
FILE = COLLECTOR / "kibana" / "etl.ndjson"

pytestmark = jobs.NEEDED


class Kibana(ThreadingHTTPServer):
    """Keeps what is imported, and answers what it is told to."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.answer = 200, b'{"successCount":34,"success":true}'
        self.taken: list[tuple[str, str, bytes]] = []


class Handler(jobs.Quiet, BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        """Take the file of a form."""
        assert isinstance(self.server, Kibana)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        kind = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        (part,) = message_from_bytes(kind + body).get_payload()
        content = part.get_payload(decode=True)
        self.server.taken.append((self.path, self.headers["kbn-xsrf"], content))
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(self.server.answer)


@pytest.fixture
def kibana() -> Iterator[Kibana]:
    """Run a stand-in on a free port."""
    server = Kibana()
    with jobs.serving(server):
        yield server


def run_job(kibana: Kibana) -> subprocess.CompletedProcess[str]:
    """Run the job's script as its container would, on the file of this repository."""
    address = {"KIBANA_ENDPOINT": f"http://127.0.0.1:{kibana.server_address[1]}"}
    return jobs.run(JOB, address, mounted="/kibana/etl.ndjson", there=str(FILE))


def test_job_imports_the_file(kibana: Kibana) -> None:
    """It arrives whole, with the header that Kibana asks for, and replaces what was there."""
    done = run_job(kibana)
    assert (done.returncode, done.stderr) == (0, "")
    path = "/api/saved_objects/_import?overwrite=true"
    assert kibana.taken == [(path, "true", FILE.read_bytes())]


def test_job_runs_when_it_is_called_only() -> None:
    """`docker compose up --wait` fails when a job ends for which no service waits."""
    assert JOB["profiles"] == ["kibana-objects"]


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (200, '{"successCount":33,"success":false,"errors":[{"id":"etl-errors"}]}'),
        (400, '{"statusCode":400,"message":"Unexpected token"}'),
    ],
)
def test_job_ends_badly_when_kibana_refused_an_object(
    status: int, answer: str, kibana: Kibana
) -> None:
    """Kibana's answer is in the log of the job."""
    kibana.status, kibana.answer = status, answer.encode()
    done = run_job(kibana)
    assert (done.returncode, done.stdout) == (1, f"{answer}\n")
