"""Build folders: a work tree and an object tree that live on from build to build, and how a killed build is undone."""

import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HostError
from harness.host import locks

_log = logging.getLogger(__name__)

_SIZE = "size_bytes"
# Empty files whose times alone mean something, and kconfig's own output, which it writes in one go.
_KEPT = ("include/config/",)


@dataclass(frozen=True, slots=True)
class BuildFolder:
    """One folder below ``paths.builds``; whoever builds in it holds its lock."""

    path: Path

    @property
    def source(self) -> Path:
        """Our own work tree."""
        return self.path / "source"

    @property
    def objects(self) -> Path:
        """kbuild's output folder (``O=``)."""
        return self.path / "objects"

    @property
    def configuring(self) -> Path:
        """An output folder of its own for kconfig: objects are not made anew because a .config was written again."""
        return self.path / "config"

    @property
    def log(self) -> Path:
        """The output of the last build."""
        return self.path / "build.log"

    @property
    def _stamp(self) -> Path:
        return self.path / "building"

    def begin(self) -> None:
        """Mark that files are being written; undo first what a killed build may have left half-written."""
        try:
            self.objects.mkdir(parents=True, exist_ok=True)
            if self._stamp.exists():
                _log.info("the last build in %s was killed: removing what it wrote", self.path)
                shutil.rmtree(self.configuring, ignore_errors=True)
                _remove_newer(self.objects, self._stamp.stat().st_mtime_ns)
                # Only now: killed before, it is all done again.
                self._stamp.unlink()
            self._stamp.touch()
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def end(self) -> None:
        """Mark that all files are whole: make ended by itself."""
        self._stamp.unlink(missing_ok=True)

    def note_size(self) -> None:
        """Remember how much the folder takes: to look at all its files takes a second."""
        (self.path / _SIZE).write_text(str(_disk_bytes(self.path)))

    def size_bytes(self) -> int:
        """How much the folder took after its first build."""
        noted = self.read(_SIZE)
        return int(noted) if noted.isdigit() else _disk_bytes(self.path)

    def read(self, name: str) -> str:
        """A small file that an earlier build left, or ""."""
        try:
            return (self.path / name).read_text()
        except OSError:
            return ""


def folder_lock(builds: Path, name: str) -> Path:
    """The lock of a build folder: beside it, for the folder itself may be removed."""
    return builds / "locks" / f"{name}.lock"


def prune(builds: Path, limit_bytes: int) -> list[str]:
    """Remove build folders, the least recently used first, until the rest fits in `limit_bytes`; returns their names.

    One in use stays, whatever the limit.
    """
    sizes = {
        path.name: (_last_used(builds, path), BuildFolder(path).size_bytes())
        for path in (builds.iterdir() if builds.is_dir() else ())
        if path.is_dir() and path.name != "locks"
    }
    total = sum(size for _, size in sizes.values())
    removed = []
    for name in sorted(sizes, key=lambda name: sizes[name][0]):
        if total <= limit_bytes:
            break
        held = locks.try_lock(folder_lock(builds, name))
        if held is None:
            continue
        with held:
            shutil.rmtree(builds / name, ignore_errors=True)
        total -= sizes[name][1]
        removed.append(name)
    return removed


def cannot_write(path: Path, error: OSError) -> HostError:
    """The error for a build folder that cannot be written."""
    return HostError(
        f"cannot build in {path}: {error.strerror}",
        remedy="Free some space (`kab clean --cache-limit SIZE`), or mend the folder's permissions.",
    )


def _remove_newer(objects: Path, since_ns: int) -> None:
    """Remove the files that were written since: one may be half an object that make would take for a whole one."""
    for folder, _, names in os.walk(objects):
        for name in names:
            path = Path(folder) / name
            kept = str(path.relative_to(objects)).startswith(_KEPT) and name not in {"auto.conf", "auto.conf.cmd"}
            if not kept and path.lstat().st_mtime_ns >= since_ns:
                path.unlink()


def _last_used(builds: Path, path: Path) -> float:
    used = folder_lock(builds, path.name)
    return (used if used.exists() else path).stat().st_mtime


def _disk_bytes(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_blocks * 512  # noqa: PTH118 - 100,000 files
            except FileNotFoundError:
                continue
    return total
