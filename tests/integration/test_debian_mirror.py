"""Asking mirrors whether they answer: the host's own one, and servers that misbehave."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from harness.debian.aptsources import find_mirrors
from harness.debian.mirror import reach
from harness.doctor import examine
from harness.errors import HostError
from harness.host.paths import Paths
from harness.model.check import CheckStatus

pytestmark = pytest.mark.integration


class Answer(BaseHTTPRequestHandler):
    """Answers with the status that the path names."""

    def do_HEAD(self) -> None:
        self.send_response(int(self.path.split("/")[1]))
        self.end_headers()

    def log_message(self, *words: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answer) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def test_the_hosts_own_mirror_answers() -> None:
    assert reach(find_mirrors().archive) < 5


def test_answers(server: str) -> None:
    assert reach(f"{server}/200") < 5
    assert reach(f"{server}/404") < 5
    with pytest.raises(HostError, match="answers 503") as caught:
        reach(f"{server}/503")
    assert "KAB_DEBIAN_MIRROR" in caught.value.remedy


def test_no_answer() -> None:
    # Nothing listens on port 1.
    with pytest.raises(HostError, match="does not answer"):
        reach("http://127.0.0.1:1/debian")


def test_this_host_can_run_the_tests(tmp_path: Path) -> None:
    """`make setup` has been here: nothing that it installs is missing. And the doctor is quick."""
    begin = time.monotonic()
    checks = examine(Paths(cache=tmp_path, state=tmp_path))
    assert time.monotonic() - begin < 5
    failed = [check for check in checks if check.status is CheckStatus.FAIL]
    assert not failed
