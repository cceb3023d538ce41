"""The command tree of ``kab``; each verb lives in a module of its own, loaded when it is needed."""

import importlib
import logging
from typing import Any

import click

from harness import __version__
from harness.cli.memory import calm_libraries, require_memory

EPILOG = """\b
Exit status, for every verb, safe under `git bisect run`:
  0    good: the candidate is not slower; a gate is passed; a search reached its answer
  1    bad: the candidate is slower, or fails in a cell of a matrix
  125  cannot tell
  128  a bug in kab          129  wrong usage or configuration
  130  interrupted (SIGINT, SIGTERM or SIGHUP)   131  trouble of the host

\b
Examples:
  kab doctor
  kab ab debian:6.12 debian:7.2
  kab ab debian:6.1 debian:7.2 --fs btrfs,mount=nodatacow --disk null-blk,latency=2ms
  kab bisect debian:6.1 debian:7.3
  kab gate ./gate.yaml --baseline debian:6.12 --candidate debian:7.2
  kab report last --html report.html
"""

# Verb -> module of harness.cli that holds the command of the same name.
_VERBS = {
    "ab": "ab",
    "alarms": "alarms",
    "bisect": "bisect",
    "build": "build",
    "clean": "clean",
    "completion": "completion",
    "doctor": "doctor",
    "export": "export",
    "gate": "gate",
    "history": "history",
    "image": "image",
    "kernels": "kernels",
    "nightly": "nightly",
    "plan": "plan",
    "report": "report",
    "run": "run",
    "runs": "report",
    "schema": "schema",
    "shell": "shell",
    "site": "site",
    "store": "store",
    "test": "test",
}


class LazyGroup(click.Group):
    """Imports a verb's module when the verb is used: `kab runs` need not wait for numpy and libvirt."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """All verbs, in order."""
        return sorted(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of a verb, or None."""
        if cmd_name not in _VERBS:
            return None
        command = getattr(importlib.import_module(f"harness.cli.{_VERBS[cmd_name]}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb. Broken pipes come out as RuntimeError: click would end with status 1, as for a slow kernel.

        Those of stdout and stderr never come here (harness.cli.output); this one is of a child or a connection.
        """
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise RuntimeError(f"what kab was writing to went away: {error}") from error


@click.group(
    cls=LazyGroup,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="kab")
@click.option("-v", "--verbose", count=True, help="Log what is done to stderr; twice for more.")
def kab(verbose: int) -> None:
    """Which change made this workload slower, or faster, on which Linux kernel, and by how much?

    Boots QEMU guests with the kernels you name, runs a workload on a filesystem on a disk in them, and compares the
    kernels boot by boot, with stated error rates.
    """
    require_memory()
    calm_libraries()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s")
    logging.getLogger("harness").setLevel(logging.WARNING - 10 * min(verbose, 2))
    # What paramiko logs of a lost connection is told, better, by our own errors.
    logging.getLogger("paramiko").setLevel(logging.INFO if verbose > 1 else logging.CRITICAL)
