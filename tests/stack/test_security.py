"""The security profile on real Collectors: who may send."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

import grpc
import psutil
import pytest
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from support.stack import Collector, eventually, load
from support.stack.losses import SPAN
from support.stack.pki import certificates, make
from support.stack.product import PRODUCT

APPLICATION = """
from etl_telemetry import setup_telemetry, span
handle = setup_telemetry(service_name="shop")
with span("paid"):
    pass
handle.force_flush(20)
handle.shutdown(20)
"""

SERVERS = (("single-node.yaml", "security/receiver.yaml"), ("agent.yaml", "security/agent.yaml"))
"""Who is sent to: the profile says it once for each of the two files."""


@dataclass(frozen=True)
class Sender:
    """Who sends: what it trusts, and what it shows."""

    folder: Path
    """Where its own certificate is."""
    trusts: Path
    """The authority whose servers it believes."""
    token: str | None
    """Its bearer token."""
    certificate: bool = True
    """Whether it shows its certificate."""
    newest: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED
    """The newest TLS that it speaks."""

    def send(self, endpoint: str) -> int:
        """Send a span over HTTP and return the status of the answer."""
        context = ssl.create_default_context(cafile=str(self.trusts))
        context.maximum_version = self.newest
        if self.certificate:
            own = self.folder / "client.crt"
            context.load_cert_chain(own, own.with_suffix(".key"))
        headers = {"Content-Type": "application/json"}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(  # noqa: S310 -- our engine
            f"{endpoint}/v1/traces", json.dumps(SPAN).encode(), headers
        )
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        try:
            with opener.open(request, timeout=30) as response:
                return int(response.status)
        except HTTPError as error:
            error.close()
            return error.code

    def send_by_grpc(self, port: int) -> str:
        """Send 512 spans over gRPC and return how that ended."""
        own = ("client.key", "client.crt") if self.certificate else ()
        credentials = grpc.ssl_channel_credentials(
            self.trusts.read_bytes(), *((self.folder / name).read_bytes() for name in own)
        )
        login = [("authorization", f"Bearer {self.token}")] if self.token is not None else []
        direct = [("grpc.enable_http_proxy", 0)]
        with grpc.secure_channel(f"127.0.0.1:{port}", credentials, direct) as channel:
            try:
                TraceServiceStub(channel).Export(load.spans(0), metadata=login, timeout=60)
            except grpc.RpcError as error:
                return str(error.code().name)
        return "OK"


class Secured(Collector):
    """A Collector whose senders need TLS; the rest is as it is."""

    @property
    def otlp_http(self) -> str:
        """Return the endpoint for OTLP over HTTP."""
        return self.address("http", scheme="https")


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Make an authority, certificates and a token."""
    return certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module", params=SERVERS, ids=" + ".join)
def configs(request: pytest.FixtureRequest) -> list[Path]:
    """Return a configuration with the security profile, of each kind that has senders."""
    return [PRODUCT / file for file in request.param]


@pytest.fixture(scope="module")
def collector(
    configs: list[Path], tmp_path_factory: pytest.TempPathFactory, tls: dict[str, str]
) -> Iterator[Collector]:
    """Start a Collector with the security profile; behind an agent there is no gateway."""
    engine = Secured(tmp_path_factory.mktemp("secured"), configs=configs)
    engine.variables.update(tls)
    with engine:
        yield engine


@pytest.fixture
def sender(tls: dict[str, str]) -> Sender:
    """Return a sender that has everything right."""
    folder = Path(tls["ETL_TLS_DIRECTORY"])
    return Sender(folder, folder / "ca.crt", (folder / "token").read_text())


def accepted(collector: Collector) -> float:
    """Return how many spans it has taken so far."""
    return sum(collector.ask.values("otelcol_receiver_accepted_spans", "transport").values())


def test_right_certificate_and_token_pass(collector: Collector, sender: Sender) -> None:
    """Who shows both is heard."""
    before = accepted(collector)
    assert sender.send(collector.otlp_http) == 200
    eventually("the span is counted", lambda: accepted(collector) == before + 1)


@pytest.mark.parametrize("token", [None, "", "wrong"])
def test_missing_or_wrong_token_is_refused(
    token: str | None, collector: Collector, sender: Sender
) -> None:
    """A certificate alone is not enough."""
    before = accepted(collector)
    assert replace(sender, token=token).send(collector.otlp_http) == 401
    assert accepted(collector) == before


@pytest.mark.parametrize(
    ("shows", "ends"),
    [
        ({}, "OK"),
        ({"token": None}, "UNAUTHENTICATED"),
        ({"token": "wrong"}, "UNAUTHENTICATED"),
        ({"certificate": False}, "UNAVAILABLE"),
    ],
    ids=["both", "no token", "wrong token", "no certificate"],
)
def test_grpc_wants_the_same(
    shows: dict[str, Any], ends: str, collector: Collector, sender: Sender
) -> None:
    """The other protocol is no way around: certificate and token, or nothing is taken."""
    before = accepted(collector)
    assert replace(sender, **shows).send_by_grpc(collector.ports["grpc"]) == ends
    taken = load.BATCH if ends == "OK" else 0
    eventually("what is taken is counted", lambda: accepted(collector) == before + taken)


def test_token_is_changed_without_a_restart(
    configs: list[Path], tmp_path: Path, tls: dict[str, str]
) -> None:
    """While both stand in the file both are taken; then only the new one."""
    engine = Secured(tmp_path, configs=configs)
    tokens = tmp_path / "tokens"
    tokens.write_text("old\n")
    engine.variables.update(tls | {"ETL_BEARER_TOKEN_FILE": str(tokens)})
    folder = Path(tls["ETL_TLS_DIRECTORY"])
    old, new = (Sender(folder, folder / "ca.crt", token) for token in ("old", "new"))
    with engine:

        def answers() -> tuple[int, int]:
            return old.send(engine.otlp_http), new.send(engine.otlp_http)

        assert answers() == (200, 401)
        tokens.write_text("old\nnew\n")
        eventually("the new one is taken", lambda: answers() == (200, 200))
        tokens.write_text("new\n")
        eventually("the old one is refused", lambda: answers() == (401, 200))


def test_renewed_certificates_are_read_without_a_restart(
    configs: list[Path], tmp_path: Path
) -> None:
    """Those of another authority, both sides of it: the old ones are of no use then."""
    old, new = (make(tmp_path / name) for name in ("old", "new"))
    used = shutil.copytree(old, tmp_path / "used")
    soon = tmp_path / "soon.yaml"  # A minute as it is.
    often = {"tls": {"reload_interval": "1s"}}
    soon.write_text(
        yaml.safe_dump({"receivers": {"otlp": {"protocols": {"grpc": often, "http": often}}}})
    )
    engine = Secured(tmp_path / "secured", configs=[*configs, soon])
    engine.variables.update({
        "ETL_TLS_DIRECTORY": str(used),
        **{f"ETL_{who}_TOKEN_FILE": str(old / "token") for who in ("BEARER", "GATEWAY")},
    })  # fmt: skip
    token = (old / "token").read_text()
    before, after = (Sender(folder, folder / "ca.crt", token) for folder in (old, new))
    with engine:

        def passes(sender: Sender) -> bool:
            try:
                return sender.send(engine.otlp_http) == 200
            except OSError:
                return False

        assert (passes(before), passes(after)) == (True, False)
        for name in ("ca.crt", "server.crt", "server.key", "client.crt", "client.key"):
            shutil.copy(new / name, used / name)
        eventually("the new ones are taken", lambda: passes(after))
        assert not passes(before)


def refused(sender: Sender, collector: Collector, reason: str) -> None:
    """Send: there is no connection, and the Collector's log says why.

    What the sender sees is left to chance: with TLS 1.3 it writes before it hears of the refusal.
    """
    before, told = accepted(collector), len(collector.log.read_text())
    with pytest.raises((URLError, ConnectionError, ssl.SSLError)):
        sender.send(collector.otlp_http)
    eventually("the reason is logged", lambda: reason in collector.log.read_text()[told:])
    assert accepted(collector) == before


def test_missing_client_certificate_is_refused(collector: Collector, sender: Sender) -> None:
    """A token alone is not enough."""
    refused(replace(sender, certificate=False), collector, "client didn't provide a certificate")


def test_client_of_another_authority_is_refused(
    collector: Collector, sender: Sender, tmp_path: Path
) -> None:
    """A certificate that anybody can make for himself is none."""
    other = replace(sender, folder=make(tmp_path))
    refused(other, collector, "failed to verify certificate: x509")


def test_server_of_another_authority_is_not_trusted(
    collector: Collector, sender: Sender, tmp_path: Path
) -> None:
    """A sender does not talk to who only says that it is the Collector."""
    other = replace(sender, trusts=make(tmp_path) / "ca.crt")
    with pytest.raises(URLError, match="certificate verify failed"):
        other.send(collector.otlp_http)


def test_expired_server_certificate_is_not_trusted(
    configs: list[Path], tmp_path: Path, tls: dict[str, str]
) -> None:
    """Its time is over: no sender that checks talks to it."""
    expired = make(tmp_path / "tls", days=0)
    time.sleep(1.1)  # It ends with the second in which it was made.
    engine = Secured(tmp_path, configs=configs)
    engine.variables.update(tls | {"ETL_TLS_DIRECTORY": str(expired)})
    with engine:
        sender = Sender(expired, expired / "ca.crt", "any", certificate=False)
        with pytest.raises(URLError, match="certificate has expired"):
            sender.send(engine.otlp_http)


def test_expired_client_certificate_is_refused(
    configs: list[Path], tmp_path: Path, tls: dict[str, str]
) -> None:
    """An authority that is trusted does not make up for time that has passed."""
    made = make(tmp_path / "tls", days=0)
    time.sleep(1.1)
    server = make(tmp_path / "server")
    # The Collector shows a certificate that is good, and asks for one of the first authority.
    (server / "own.crt").write_bytes((server / "ca.crt").read_bytes())
    (server / "ca.crt").write_bytes((made / "ca.crt").read_bytes())
    engine = Secured(tmp_path, configs=configs)
    engine.variables.update(
        tls | {"ETL_TLS_DIRECTORY": str(server), "ETL_BEARER_TOKEN_FILE": str(server / "token")}
    )
    with engine:
        sender = Sender(made, server / "own.crt", (server / "token").read_text())
        refused(sender, engine, "certificate has expired")


def test_tls_1_2_is_refused(collector: Collector, sender: Sender) -> None:
    """An old client is told so, and not served."""
    old = replace(sender, newest=ssl.TLSVersion.TLSv1_2)
    refused(old, collector, "client offered only unsupported versions")


def test_plain_http_is_refused(collector: Collector) -> None:
    """Without TLS there is nothing to talk to."""
    plain = collector.address("http")
    with pytest.raises(HTTPError) as raised:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(plain, b"{}")
    raised.value.close()
    assert raised.value.code == 400


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_application_sends_over_agent_and_gateway_with_tls_all_the_way(
    protocol: str, tmp_path: Path, tls: dict[str, str]
) -> None:
    """Standard variables are all that an application needs, and each hop shows its certificate."""
    folder = Path(tls["ETL_TLS_DIRECTORY"])
    gateway, agent = agent_and_gateway(tmp_path, tls)
    port = agent.ports["grpc" if protocol == "grpc" else "http"]
    variables = {
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"https://localhost:{port}",
        "OTEL_EXPORTER_OTLP_CERTIFICATE": str(folder / "ca.crt"),
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": str(folder / "client.crt"),
        "OTEL_EXPORTER_OTLP_CLIENT_KEY": str(folder / "client.key"),
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{(folder / 'token').read_text()}",
        "NO_PROXY": "localhost",
    }
    with gateway, agent:
        done = subprocess.run(
            [sys.executable, "-c", APPLICATION],
            env={**psutil.Process().environ(), **variables},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        eventually("the span reaches the gateway", lambda: accepted(gateway) == 1)


def agent_and_gateway(
    folder: Path, tls: dict[str, str], **of_the_agent: str
) -> tuple[Collector, Collector]:
    """Prepare both with the security profile, the agent with variables of its own."""
    gateway, agent = (
        Secured(folder / name, configs=[PRODUCT / file for file in files])
        for name, files in (
            ("gateway", ("gateway.yaml", "security/receiver.yaml")),
            ("agent", ("agent.yaml", "security/agent.yaml")),
        )
    )
    gateway.variables.update(tls)
    hosts = {"ETL_GATEWAY_HOSTS": f"localhost:{gateway.ports['grpc']}"}
    agent.variables.update(tls | hosts | of_the_agent)
    return gateway, agent


def test_token_that_gateways_refuse_costs_what_is_sent(tmp_path: Path, tls: dict[str, str]) -> None:
    """What cannot be kept: to the agent's exporter the answer is final, and it says so."""
    (tmp_path / "token").write_text("wrong")
    gateway, agent = agent_and_gateway(
        tmp_path, tls, ETL_GATEWAY_TOKEN_FILE=str(tmp_path / "token")
    )
    folder = Path(tls["ETL_TLS_DIRECTORY"])
    failed = "otelcol_exporter_send_failed_spans"
    with gateway, agent:
        sender = Sender(folder, folder / "ca.crt", (folder / "token").read_text())
        assert sender.send(agent.otlp_http) == 200
        eventually(
            "it is dropped", lambda: any(each.value for each in agent.ask.samples().get(failed, ()))
        )
        assert (accepted(gateway), agent.waiting()) == (0, 0)
    assert "Unauthenticated" in agent.log.read_text()


def test_agent_that_gateways_refuse_keeps_what_it_has(tmp_path: Path, tls: dict[str, str]) -> None:
    """Its certificate is of another authority: nothing passes, until it has the right one."""
    right = Path(tls["ETL_TLS_DIRECTORY"])
    own = shutil.copytree(right, tmp_path / "own")
    for name in ("client.crt", "client.key"):
        shutil.copy(make(tmp_path / "other") / name, own / name)
    gateway, agent = agent_and_gateway(tmp_path, tls, ETL_TLS_DIRECTORY=str(own))
    with gateway, agent:
        sender = Sender(right, right / "ca.crt", (right / "token").read_text())
        assert sender.send(agent.otlp_http) == 200
        eventually("it is refused", lambda: "tls: " in agent.log.read_text())
        assert accepted(gateway) == 0
        assert agent.waiting() > 0
        agent.variables.update(tls)
        agent.restart()
        eventually("the span reaches the gateway", lambda: accepted(gateway) == 1)
