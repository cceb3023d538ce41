"""A signal while kab is being loaded: 130, as at any other time, wherever among the imports it comes."""

import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.integration

# A finder that sends the process a signal when it is asked for a module, and finds nothing itself.
PROGRAM = """
import os, sys
class Striker:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), {number})
sys.meta_path.insert(0, Striker())
sys.argv = ["kab", "runs"]
from harness.cli import main
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(
    "module",
    ["harness.cli.output", "harness.cli.errors", "click", "harness.cli.app", "harness.cli.report", "sqlalchemy"],
)
def test_a_signal_among_the_imports(module: str, number: int, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("KAB_STATE_DIR", str(tmp_path))
    program = PROGRAM.format(module=module, number=int(number))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
