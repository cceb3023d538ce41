"""A program of the user's that builds instead of kbuild (``builder=FILE``)."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from harness.errors import BuildError, ConfigError
from harness.git.repository import Repository
from harness.host import locks
from harness.host.leases import Lease
from harness.host.paths import Paths
from harness.kbuild.configure import LINE_CHARS
from harness.kbuild.folder import BuildFolder, cannot_write, folder_lock
from harness.kbuild.make import run_group
from harness.model.source import Commit
from harness.parse.foreign import printable
from harness.userpath import user_path

_LOCK_TIMEOUT_S = 7200.0
# As much of what a builder wrote is looked at, and kept with a failure.
_KEPT_BYTES = 4 * 1024 * 1024


def run_builder(
    program: Path, repository: Repository, commit: Commit, paths: Paths, *, note: Callable[[str], None]
) -> str:
    """Run ``PROGRAM WORKTREE OUTDIR`` in a work tree of `commit`; returns the kernel spec that it prints last.

    Raises BuildError with its output for any exit status but 0, ConfigError when there is no such program or it prints
    nothing, HostError.
    """
    program = user_path(program).absolute()
    if not (program.is_file() and os.access(program, os.X_OK)):
        raise ConfigError(f"the builder {program} is not an executable file", remedy="chmod +x it, or name another.")
    digest = hashlib.sha256(f"{repository.name}\0{program}".encode()).hexdigest()[:12]
    name = f"{repository.name.rpartition('-')[0]}-{program.name}-{digest}"
    folder = BuildFolder(paths.builds / name)
    lock_file = folder_lock(paths.builds, name)
    with (
        locks.lock(lock_file, what=f"building in {folder.path}", timeout_s=_LOCK_TIMEOUT_S, waiting=note) as held,
        Lease(paths) as lease,
    ):
        held.touch()
        try:
            folder.objects.mkdir(parents=True, exist_ok=True)
            repository.checkout(folder.source, commit.sha)
            said = folder.path / "builder.out"
            with said.open("wb") as out, folder.log.open("wb") as log:
                status = run_group(
                    [program, folder.source, folder.objects],
                    name=program.name,
                    lease=lease,
                    stdout=out,
                    stderr=log,
                    env=os.environ,
                    cwd=folder.source,
                )
            lines = [line.strip() for line in _end_of(said).splitlines() if line.strip()]
            errors = _end_of(folder.log)
        except OSError as error:
            raise cannot_write(folder.path, error) from error
    if status != 0:
        told = next((line.strip() for line in (*reversed(errors.splitlines()), *reversed(lines)) if line.strip()), "")
        told = told or f"it ends with status {status}"
        raise BuildError(
            f"{program.name} does not build {commit.short} (`{printable(commit.title)}`): "
            f"{printable(told, limit=LINE_CHARS)}",
            remedy=f"Its errors: {folder.log}",
            log="\n".join((*lines, errors)),
        )
    if not lines:
        raise ConfigError(
            f"the builder {program} prints no kernel spec",
            remedy="Its last line on standard output must name the kernel, such as file:BZIMAGE or tree:DIR.",
        )
    return lines[-1]


def _end_of(path: Path) -> str:
    """The text of a file, or of its end where it is long: a builder may write without bound."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _KEPT_BYTES))
        return file.read(_KEPT_BYTES).decode(errors="replace")
