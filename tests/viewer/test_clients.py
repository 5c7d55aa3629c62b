"""Clients that are many, slow, half-closed or hostile: the server answers the others."""

from __future__ import annotations

import http.client
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from etl_telemetry.viewer import server
from etl_telemetry.viewer.query import Query
from etl_telemetry.viewer.receiver import Receiver
from etl_telemetry.viewer.store import Store
from support.otlp import PROTOBUF, send, span, traces

HEAD = b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"


@pytest.fixture
def impatient(store: Store) -> Iterator[Receiver]:
    """Give a receiver that waits half a second for anyone."""
    with Receiver(store, timeout=0.5) as started:
        yield started


def connect(receiver: Receiver) -> socket.socket:
    """Open a connection that gives up after half a minute."""
    return socket.create_connection(("127.0.0.1", receiver.port), timeout=30)


def all_of(client: socket.socket) -> bytes:
    """Return what comes until the server closes; a reset is a close, too."""
    received = b""
    try:
        while data := client.recv(65536):
            received += data
    except ConnectionResetError:
        pass
    return received


def one_span(number: int) -> bytes:
    """Return a request with one span of its own id."""
    return traces(span(span_id=f"{number:016x}")).SerializeToString()


def test_many_clients_at_once_lose_nothing(receiver: Receiver, query: Query) -> None:
    """8 keep-alive connections send 25 requests each: every span is there once."""

    def client(number: int) -> list[int]:
        connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=60)
        codes = []
        for request in range(25):
            body = one_span(1 + number * 25 + request)
            connection.request("POST", "/v1/traces", body, {"Content-Type": PROTOBUF})
            answer = connection.getresponse()
            answer.read()
            codes.append(answer.status)
        connection.close()
        return codes

    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(client, range(8)))
    assert codes == [[200] * 25] * 8
    assert receiver.connections == 8
    assert {found.received for found in query.spans()} == {1}
    assert query.counts()["spans"] == 200


def test_one_can_ask_while_others_send(receiver: Receiver, query: Query) -> None:
    """Readers see whole batches and are never refused."""
    stop = threading.Event()

    def write() -> int:
        number = 0
        while not stop.is_set() or not number:
            number += 1
            send(receiver.address, "/v1/traces", one_span(number))
        return number

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        counts = [query.counts()["spans"] for _ in range(50)]
        stop.set()
        written = writing.result(60)
    assert counts == sorted(counts)
    assert query.counts()["spans"] == written


def test_a_client_that_never_sends_its_body_is_let_go(
    impatient: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """408, then the end; the others are served meanwhile."""
    # Without the second, coarser guard, which on a busy machine might come first.
    monkeypatch.setattr(server.Server, "service_actions", lambda self: None)
    with connect(impatient) as slow:
        slow.sendall(HEAD + b"Content-Length: 10\r\n\r\nabc")
        assert send(impatient.address, "/v1/traces", one_span(1)).status == 200
        assert all_of(slow).startswith(b"HTTP/1.1 408 Request Timeout\r\n")


def test_a_client_that_sends_a_byte_now_and_then_is_let_go(impatient: Receiver) -> None:
    """Each byte is in time, the whole is not: the server ends it."""
    with connect(impatient) as slow:
        slow.sendall(HEAD + b"Content-Length: 1000000\r\n\r\n")
        give_up = time.monotonic() + 60
        try:
            while time.monotonic() < give_up:
                slow.sendall(b"x")
                time.sleep(0.05)
            pytest.fail("the server never ended the connection")
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert send(impatient.address, "/v1/traces", one_span(1)).status == 200


def test_an_idle_connection_is_closed(impatient: Receiver) -> None:
    """Also after an answer; a client that keeps it open opens another one."""
    with connect(impatient) as idle:
        idle.sendall(HEAD + b"Content-Length: 0\r\n\r\n")
        answer = all_of(idle)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Connection: close" not in answer


def test_a_half_closed_client_gets_its_answer(receiver: Receiver, query: Query) -> None:
    """It said all it wanted to say, and still listens."""
    body = one_span(1)
    with connect(receiver) as client:
        client.sendall(HEAD + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        client.shutdown(socket.SHUT_WR)
        assert all_of(client).startswith(b"HTTP/1.1 200 OK\r\n")
    assert len(query.spans()) == 1


def test_a_half_closed_client_with_half_a_body_gets_400(receiver: Receiver, query: Query) -> None:
    """Nothing of it is kept."""
    body = one_span(1)
    with connect(receiver) as client:
        client.sendall(HEAD + b"Content-Length: %d\r\n\r\n%s" % (len(body) + 1, body))
        client.shutdown(socket.SHUT_WR)
        assert all_of(client).startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert query.spans() == []


def test_clients_that_vanish_do_no_harm(receiver: Receiver) -> None:
    """Reset in the middle of a line, of a body, and before the answer is read."""
    for part in (b"POST /v1", HEAD + b"Content-Length: 10\r\n\r\nabc", HEAD + b"\r\n"):
        client = connect(receiver)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.sendall(part)
        client.close()
    assert send(receiver.address, "/v1/traces", one_span(1)).status == 200


def test_requests_follow_one_another_on_a_connection(receiver: Receiver, query: Query) -> None:
    """Sent at once (pipelined), also after errors, as long as the body was read."""
    good, bad = one_span(1), b"garbage"
    wire = b"".join(
        HEAD + b"Content-Length: %d\r\n\r\n%s" % (len(body), body) for body in (bad, good, bad)
    )
    with connect(receiver) as client:
        client.sendall(wire + b"GET /api/v1/services HTTP/1.1\r\nConnection: close\r\n\r\n")
        answers = all_of(client)
    assert re.findall(rb"HTTP/1\.1 (\d+) ", answers) == [b"400", b"200", b"400", b"200"]
    assert len(query.spans()) == 1


def test_a_body_that_nobody_read_ends_the_connection(receiver: Receiver) -> None:
    """It would be taken for the next request."""
    with connect(receiver) as client:
        client.sendall(
            b"GET /api/v1 HTTP/1.1\r\nContent-Length: 25\r\n\r\nPOST /v1/traces HTTP/1.1\r\n"
        )
        answers = all_of(client)
    assert answers.count(b"HTTP/1.1 ") == 1
    assert b"\r\nConnection: close\r\n" in answers


def test_too_many_connections_are_refused(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has a thread, so they are bounded: 503, and served again when there is room."""
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 2)
    first, second = connect(receiver), connect(receiver)
    with connect(receiver) as third:
        assert all_of(third).startswith(b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\n")
    first.close()
    second.close()
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        with suppress(ConnectionError):  # Refused while it was sending.
            if send(receiver.address, "/v1/traces", b"").status == 200:
                return
    pytest.fail("the receiver never served again")


def test_stopping_ends_idle_connections_and_threads(store: Store) -> None:
    """No thread of the receiver is left, whatever its clients are doing."""
    before = set(threading.enumerate())
    receiver = Receiver(store).start()
    clients = [connect(receiver) for _ in range(3)]
    clients[1].sendall(HEAD + b"Content-Length: 10\r\n\r\nabc")
    clients[2].sendall(b"POST /v1")
    assert send(receiver.address, "/v1/traces", b"").status == 200
    receiver.stop()
    for client in clients:
        with client:
            assert all_of(client) == b""
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
    assert set(threading.enumerate()) - before == set()


def test_a_forked_child_can_leave_the_block() -> None:
    """It waits for no thread or lock of the parent's, and ends none of its connections."""
    code = """if True:
        import os, socket, sys
        from etl_telemetry.viewer.receiver import Receiver
        from etl_telemetry.viewer.store import Store
        with Store() as store, Receiver(store) as receiver:
            with socket.create_connection(("127.0.0.1", receiver.port), timeout=60) as client:
                client.sendall(b"GET /api/v1/counts HTTP/1.1\\r\\n\\r\\n")
                assert client.recv(9) == b"HTTP/1.1 "
                locks = [store._lock, receiver._server._changed]
                for lock in locks:
                    lock.acquire()  # As another thread may have done when it forks.
                child = os.fork()
                if child == 0:
                    sys.exit(0)
                for lock in locks:
                    lock.release()
                assert os.waitpid(child, 0)[1] == 0
                client.sendall(b"GET /api/v1 HTTP/1.1\\r\\nConnection: close\\r\\n\\r\\n")
                answer = b""
                while data := client.recv(65536):
                    answer += data
                print(answer.count(b"HTTP/1.1 200 OK"), store.path.exists())
    """
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code]
    assert subprocess.check_output(command, text=True, timeout=120) == "1 True\n"
