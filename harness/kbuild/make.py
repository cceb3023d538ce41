"""make, run so that its output is the same wherever it runs, and so that nothing of it outlives kab."""

import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from harness.host import process
from harness.host.leases import Lease
from harness.kbuild.compiler import Compiler
from harness.kbuild.folder import BuildFolder
from harness.model.arch import X86_64
from harness.parse.buildlog import step_of

# What kernels are built for: another architecture would want a cross compiler.
BUILT = X86_64

# Builds give way to guests that measure.
_NICE = "10"
# A build begins when it is told to: what it starts could outlive a kab that was killed before its lease knew of it. It
# is not told, but reads the end of the file, when kab is gone by then.
_GATED = 'read -r go && exec "$@" </dev/null'
_POLL_S = 0.2
_END_TIMEOUT_S = 20.0
_CCACHE_LIMIT = "5G"
# What of the user's environment a build sees.
_ENVIRONMENT = ("PATH", "HOME", "TMPDIR", "USER", "LOGNAME")

# Told (files made so far, the last of them).
StepProgress = Callable[[int, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Make:
    """How make is called in one build folder."""

    folder: BuildFolder
    compiler: Compiler
    # Where ccache keeps its objects; None: no ccache on this host.
    ccache: Path | None
    lease: Lease

    def arguments(self, output: Path) -> tuple[str, ...]:
        """What every make of the build folder is called with."""
        compiler = f"ccache {self.compiler.name}" if self.ccache else self.compiler.name
        return (
            "make",
            f"--directory={self.folder.source}",
            f"--jobs={processors()}",
            "--output-sync=target",
            f"O={output}",
            f"ARCH={BUILT.kbuild}",
            f"CC={compiler}",
            f"HOSTCC={compiler}",
            # Set, though empty: nothing is put behind the release because the work tree is one of git's.
            "LOCALVERSION=",
        )

    def environment(self) -> dict[str, str]:
        """The environment of every make: the same for everybody, as far as it goes into an image."""
        base = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        ccache = {
            "CCACHE_DIR": str(self.ccache),
            "CCACHE_MAXSIZE": _CCACHE_LIMIT,
            "CCACHE_BASEDIR": str(self.folder.path),
            "CCACHE_NOHASHDIR": "1",
        }
        return {
            **base,
            "LC_ALL": "C",
            "KBUILD_BUILD_TIMESTAMP": "Thu Jan  1 00:00:00 UTC 1970",
            "KBUILD_BUILD_USER": "kab",
            "KBUILD_BUILD_HOST": "kab",
            "KBUILD_BUILD_VERSION": "1",
            "SOURCE_DATE_EPOCH": "0",
            # The tools of older trees warn with newer compilers, and would make errors of it.
            "WERROR": "0",
            **(ccache if self.ccache else {}),
        }

    def run(
        self,
        targets: Sequence[str],
        *,
        output: Path,
        on_step: StepProgress = lambda _count, _file: None,
        variables: Mapping[str, str] | None = None,
    ) -> int:
        """Make `targets`, with what it says in the folder's log; returns its exit status. Raises HostError."""
        with self.folder.log.open("ab") as log:
            start = log.tell()
            return run_group(
                [*self.arguments(output), *targets],
                name=f"make {' '.join(targets)}",
                lease=self.lease,
                stdout=log,
                stderr=log,
                env={**self.environment(), **(variables or {})},
                follow=lambda made: _follow(made, self.folder.log, start, on_step),
            )


def run_group(
    argv: Sequence[str | Path],
    *,
    name: str,
    lease: Lease,
    stdout: IO[bytes],
    stderr: IO[bytes],
    env: Mapping[str, str],
    follow: Callable[[process.Process], object] = lambda made: made.wait(),
    cwd: Path | None = None,
) -> int:
    """Run a build at low priority until `follow` returns, and return its exit status; nothing of it outlives kab."""
    made = process.spawn(
        ["setpriv", "--pdeathsig", "KILL", "--", "sh", "-c", _GATED, "sh", "nice", "-n", _NICE, *argv],
        stdin=process.PIPE,
        stdout=stdout,
        stderr=stderr,
        env=env,
        # Ctrl-C is kab's to hear; the build and all below it are then ended in order, as one group.
        new_session=True,
        cwd=cwd,
    )
    # Where the host schedules by sessions, nice(1) counts within this one only (sched(7), the autogroup feature).
    with contextlib.suppress(OSError):
        Path(f"/proc/{made.pid}/autogroup").write_text(_NICE)
    try:
        lease.add_process(made.pid, name, group=True)
        assert made.stdin is not None
        with contextlib.suppress(BrokenPipeError), made.stdin:
            made.stdin.write(b"go\n")
        follow(made)
    finally:
        process.stop_group(made, timeout_s=_END_TIMEOUT_S)
        lease.release(made.pid)
    return made.returncode


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))


def find_ccache(cache: Path) -> Path | None:
    """Where ccache is to keep its objects, or None when there is no ccache."""
    return cache / "ccache" if process.find_tool("ccache") else None


def _follow(made: process.Process, path: Path, start: int, on_step: StepProgress) -> None:
    """Wait for make, and tell what it says that it does."""
    count, rest = 0, b""
    with path.open("rb") as log:
        log.seek(start)
        while True:
            running = made.poll() is None
            *lines, rest = (rest + log.read()).split(b"\n")
            for line in lines:
                step = step_of(line.decode(errors="replace"))
                if step is not None:
                    count += 1
                    on_step(count, step)
            if not running:
                return
            time.sleep(_POLL_S)
