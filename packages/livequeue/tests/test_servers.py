"""Connecting to servers: passwords, databases, TLS, and errors that say what to do."""

import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import livequeue
import pytest
from livequeue.server import hide_password

Start = Callable[..., Any]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def check_works(url: str) -> None:
    with livequeue.connect(url) as queue, queue.publisher("r") as sink:
        sink({"type": "demo.step/1", "part": "steps", "seq": 0})
        sink.flush()
        assert queue.length("r") == 1
        assert [message["seq"] for message in queue.subscribe("r", follow=False)] == [0]


def test_a_password_on_a_unix_socket_and_on_loopback(real_server: Start) -> None:
    port = free_port()
    server = real_server("--requirepass", "s3cret", "--port", str(port), "--bind", "127.0.0.1")
    path = f"{server.folder}/s"
    check_works(f"unix://:s3cret@{path}")
    check_works(f"redis://:s3cret@127.0.0.1:{port}/3")
    for url in (f"unix://{path}", f"unix://:wr0ng@{path}", f"redis://:wr0ng@127.0.0.1:{port}/0"):
        with pytest.raises(livequeue.ServerRefused, match="check the user and password") as caught:
            livequeue.connect(url)
        assert "wr0ng" not in str(caught.value)
    with livequeue.connect(f"redis://:s3cret@127.0.0.1:{port}/3") as queue, queue.publisher("r") as sink:
        assert "s3cret" not in repr(queue) + repr(sink)


def test_databases_are_apart(real_server: Start) -> None:
    server = real_server()
    check_works(f"unix://{server.folder}/s?db=1")
    with livequeue.connect(f"unix://{server.folder}/s?db=2") as queue:
        assert queue.runs() == []


@pytest.fixture
def certificate(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl on PATH")
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True,
    )  # fmt: skip
    return key, cert


def test_tls(real_server: Start, certificate: tuple[Path, Path]) -> None:
    key, cert = certificate
    port = free_port()
    try:
        real_server(
            "--tls-port", str(port), "--tls-cert-file", str(cert), "--tls-key-file", str(key),
            "--tls-ca-cert-file", str(cert), "--tls-auth-clients", "no", "--requirepass", "s3cret",
        )  # fmt: skip
    except AssertionError as error:
        if "tls" in str(error).lower():
            pytest.skip("this server was built without TLS")
        raise
    check_works(f"rediss://:s3cret@127.0.0.1:{port}/0?ssl_ca_certs={cert}")
    with pytest.raises(livequeue.ServerUnavailable, match=r"rediss://.*certificate"):
        livequeue.connect(f"rediss://:s3cret@127.0.0.1:{port}/0")  # a certificate that nobody vouches for


def test_where_no_server_is_the_error_says_what_to_do(short_path: Path) -> None:
    for url in (f"redis://:s3cret@127.0.0.1:{free_port()}/0", f"unix://{short_path}/none"):
        with pytest.raises(livequeue.ServerUnavailable, match="is the server running") as caught:
            livequeue.connect(url)
        assert "s3cret" not in str(caught.value)
        assert str(caught.value).startswith(url.replace("s3cret", "***"))


@pytest.mark.parametrize("url", ["", "redis:", "http://localhost", "localhost:6379", "redis://localhost:port/0", None])
def test_urls_that_lead_nowhere(url: Any) -> None:
    with pytest.raises(ValueError, match=r"URL|unknown kind|Port"):
        livequeue.connect(url)


def test_passwords_are_hidden() -> None:
    assert hide_password("redis://user:pa:ss@host:1/0") == "redis://user:***@host:1/0"
    assert hide_password("unix://:x@/a/b?db=1&password=y&z=1") == "unix://:***@/a/b?db=1&password=***&z=1"
    assert hide_password("redis://host/0") == "redis://host/0"


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-random"])
def test_a_server_that_evicts_results_is_refused(real_server: Start, policy: str) -> None:
    server = real_server("--maxmemory", "64mb", "--maxmemory-policy", policy)
    message = {"type": "demo.step/1", "part": "steps", "seq": 0}
    with livequeue.connect(server.url) as queue:
        transport: Any = queue._transport
        sink = queue.publisher("r")
        with pytest.raises(livequeue.ServerRefused, match=rf"{policy}.* CONFIG SET maxmemory-policy noeviction") as e:
            sink(message) or sink.flush()  # type: ignore[func-returns-value]
        assert str(e.value).startswith(server.url)
        sink.close()  # it was said
        assert queue.runs() == []
        transport._call("CONFIG", "SET", "maxmemory-policy", "noeviction")
        with queue.publisher("r") as sink:
            sink(message)
        transport._call("CONFIG", "SET", "maxmemory-policy", policy)
        transport._call("CONFIG", "SET", "maxmemory", "0")  # unbounded: nothing is ever evicted
        with queue.publisher("unbounded") as sink:
            sink(message)
        transport._call("CONFIG", "SET", "maxmemory", "64mb")
        transport._call("ACL", "SETUSER", "default", "-info")  # may not ask: published on trust
        with queue.publisher("trust") as sink:
            sink(message)
        assert queue.runs() == ["r", "unbounded", "trust"]


def test_a_key_of_another_kind_is_refused_not_waited_for(real_server: Start) -> None:
    server = real_server()
    with livequeue.connect(server.url) as queue:
        transport: Any = queue._transport
        transport._call("SET", "live:v1:{r}:part:steps", "x")
        sink = queue.publisher("r")
        with pytest.raises(livequeue.ServerRefused, match="WRONGTYPE"):  # noqa: PT012
            sink({"type": "demo.step/1", "part": "steps", "seq": 0})
            sink.flush()
        sink.close()  # it was said
        transport._call("DEL", "live:v1:{r}:part:steps")


def test_entries_of_strangers_raise_the_documented_error(real_server: Start) -> None:
    server = real_server()
    with livequeue.connect(server.url) as queue:
        with queue.publisher("r") as sink:
            sink({"type": "demo.step/1", "part": "steps", "seq": 0})
        transport: Any = queue._transport
        for entry, fields in (
            (2, ("t", "demo.step/1", "d", b"\xc1")),
            (3, ("x", "y")),
            (4, ("t", b"\xff", "d", b"\x80")),
        ):
            transport._call("XADD", "live:v1:{r}:part:steps", f"{entry}-0", *fields)
        with queue.subscribe("r", follow=False) as messages:
            assert next(messages)["seq"] == 0
            for entry in (2, 3, 4):
                with pytest.raises(livequeue.ProtocolError, match=f"run 'r', part 'steps', entry {entry}-0"):
                    next(messages)
            assert list(messages) == []
