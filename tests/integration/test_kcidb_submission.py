"""A report is submitted by one POST with a token, to a service of the test's own; its refusals and ends are told."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import matrices
import pytest
from kcidb_io.schema import V5_3

from harness.errors import ConfigError, HostError
from harness.export.kcidb import to_kcidb
from harness.host.kcidbrest import RestService, rest_service, submit

pytestmark = pytest.mark.integration

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJvcmlnaW4iOiJrYWIifQ.c2lnbmF0dXJl"
REPORT = to_kcidb(matrices.gate(), origin="kab")


class Service(ThreadingHTTPServer):
    """Answers what it is told to, and keeps what it got."""

    daemon_threads = True

    def __init__(self, status: int, body: bytes = b'{"id": "s1", "status": "ok"}', *, pause_s: float = 0.0) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.body, self.pause_s = status, body, pause_s
        self.got: list[tuple[str, str, dict[str, str], bytes]] = []

    @property
    def service(self) -> RestService:
        return rest_service(f"http://{TOKEN}@127.0.0.1:{self.server_port}")


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, Service)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server.got.append((self.command, self.path, dict(self.headers), body))
        time.sleep(server.pause_s)
        # Who does not wait for the answer has gone by now.
        with suppress(BrokenPipeError):
            self.answer(server)

    def answer(self, server: Service) -> None:
        self.send_response(server.status)
        if 300 <= server.status < 400:
            self.send_header("Location", f"http://localhost:{server.server_port}/elsewhere")
        self.send_header("Content-Length", str(len(server.body)))
        self.end_headers()
        self.wfile.write(server.body)

    do_GET = do_POST

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@contextmanager
def served(status: int, body: bytes = b'{"id": "s1", "status": "ok"}', *, pause_s: float = 0.0) -> Iterator[Service]:
    with Service(status, body, pause_s=pause_s) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")


def test_one_post_with_the_token_and_a_valid_report() -> None:
    with served(200) as server:
        said = submit(server.service, REPORT)
    assert said == '{"id": "s1", "status": "ok"}'
    [(method, path, headers, body)] = server.got
    assert (method, path) == ("POST", "/submit")
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert headers["Content-Type"] == "application/json"
    V5_3.validate(json.loads(body))


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        (401, ConfigError, "refuses the token"),
        (403, ConfigError, "refuses the token"),
        (422, ConfigError, "refuses the report"),
        (500, HostError, "fails"),
        (503, HostError, "fails"),
    ],
)
def test_refusals(status: int, kind: type[Exception], said: str) -> None:
    with served(status, b"not \x1b[31mtoday") as server, pytest.raises(kind, match=said) as refused:
        submit(server.service, REPORT)
    assert r"not \x1b[31mtoday" in str(refused.value)
    assert TOKEN not in str(refused.value)
    # It is tried once.
    assert len(server.got) == 1


def test_the_token_goes_nowhere_else() -> None:
    with served(302) as server, pytest.raises(HostError, match="sends elsewhere"):
        submit(server.service, REPORT)
    assert [path for _, path, _, _ in server.got] == ["/submit"]


def test_it_ends_in_time() -> None:
    with served(200, pause_s=3.0) as server:
        begin = time.monotonic()
        with pytest.raises(HostError, match="does not answer"):
            submit(server.service, REPORT, timeout_s=0.5)
        assert time.monotonic() - begin < 2.5


def test_it_ends_in_time_where_every_byte_comes_in_time() -> None:
    """A service that never ends its answer."""
    stop = threading.Event()

    def drip(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection, suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Drip: ")
            while not stop.wait(0.1):
                connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=drip, args=(listening,), daemon=True)
        thread.start()
        begin = time.monotonic()
        service = rest_service(f"http://{TOKEN}@127.0.0.1:{listening.getsockname()[1]}")
        with pytest.raises(HostError, match=r"does not answer in 1 s"):
            submit(service, REPORT, timeout_s=1.0)
        assert time.monotonic() - begin < 3
        stop.set()
        thread.join()


def test_nobody_there() -> None:
    with served(200) as server:
        service = server.service
    with pytest.raises(HostError, match="does not answer") as refused:
        submit(service, REPORT, timeout_s=2)
    assert TOKEN not in str(refused.value)
