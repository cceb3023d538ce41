"""A folder of files that kab made, written anew as often as one likes: what did not change is not touched.

A list in the folder says which files are kab's, with their hashes. Nothing else is ever replaced or removed.
"""

import errno
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness.errors import ConfigError, HostError
from harness.host.files import write_atomically
from harness.host.locks import try_lock

LIST = "kab-site.json"
"""The file that says which files of the folder are kab's."""
_LOCK = ".kab-site.lock"
_KIND = "kab/site-1"
_HOST_TROUBLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ENFILE, errno.EMFILE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A file to be."""

    make: Callable[[], str]
    # What it is made of, as a hash: the file is left alone while that is the same. "": it is made each time, and
    # compared.
    of: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """How many files were written, were as they should be, and were removed; and what was left alone."""

    written: int
    unchanged: int
    removed: int
    # Files that kab made, that are not wanted any more, and that somebody has changed since.
    left: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """A file as the list has it, by hashes."""

    # Of its content; "" while it is being written.
    sha256: str
    of: str


def check_page_folder(folder: Path) -> None:
    """Raise ConfigError where `folder` is none, or holds files and is not one of kab's."""
    try:
        if not folder.exists():
            return
        if not folder.is_dir():
            raise ConfigError(f"{folder} is no folder", remedy="Name a folder for the site.")
        there = any(one.name != _LOCK for one in folder.iterdir())
    except OSError as error:
        raise ConfigError(f"cannot read {folder}: {error.strerror}", remedy="Name another folder.") from error
    if there and _listed(folder) is None:
        raise ConfigError(
            f"{folder} is not empty, and kab did not make it: it has no {LIST}",
            remedy="Name an empty folder, or one that does not exist yet.",
        )


def publish(folder: Path, pages: Mapping[str, Page]) -> Published:
    """Make `folder` hold `pages` (path inside it, with "/", to what makes it), and of kab's files nothing else.

    Each file is replaced as a whole. New files are listed before they are written, so that a process that dies leaves
    nothing behind that is not kab's. Raises ConfigError where something else is in the way, or another process
    publishes there now; HostError.
    """
    check_page_folder(folder)
    assert all(_is_inside(name) for name in pages)
    lock = try_lock(folder / _LOCK)
    if lock is None:
        raise ConfigError(f"another kab writes to {folder} now", remedy="Wait for it to end.")
    with lock:
        before = _listed(folder) or {}
        strange = [name for name in pages if name not in before and (folder / name).exists()]
        if strange:
            raise ConfigError(f"{folder / strange[0]} is in the way: kab did not make it", remedy="Move it elsewhere.")
        if not pages.keys() <= before.keys() or not before:
            _write_list(folder, {**{name: _Known(sha256="", of="") for name in pages}, **before})
        after, written = {}, 0
        for name, page in pages.items():
            after[name], changed = _brought_up_to_date(folder / name, page, before.get(name))
            written += changed
        gone = {name: known for name, known in before.items() if name not in after}
        left = tuple(name for name, known in gone.items() if not _remove(folder, name, known))
        if before != after:
            _write_list(folder, after)
    return Published(
        written=written, unchanged=len(pages) - written, removed=len(gone) - len(left), left=tuple(sorted(left))
    )


def _is_inside(name: str) -> bool:
    return not name.startswith("/") and ".." not in PurePosixPath(name).parts


def _listed(folder: Path) -> dict[str, _Known] | None:
    """kab's files in a folder; None where it is not kab's."""
    try:
        plain = json.loads((folder / LIST).read_bytes())
        if plain["kind"] != _KIND:
            return None
        found = {
            str(name): _Known(sha256=str(one["sha256"]), of=str(one["of"])) for name, one in plain["files"].items()
        }
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    # Whoever can write the list must not make kab remove files elsewhere.
    return {name: known for name, known in found.items() if _is_inside(name)}


def _write_list(folder: Path, files: Mapping[str, _Known]) -> None:
    plain = {
        "kind": _KIND,
        "files": {name: {"sha256": known.sha256, "of": known.of} for name, known in sorted(files.items())},
    }
    write_atomically(folder / LIST, (json.dumps(plain, indent=1) + "\n").encode())


def _brought_up_to_date(path: Path, page: Page, known: _Known | None) -> tuple[_Known, bool]:
    """The file as it is to be listed, and whether it had to be written."""
    there = _hash(path)
    if known is not None and page.of and (page.of, there) == (known.of, known.sha256):
        return known, False
    content = page.make().encode()
    made = _Known(sha256=hashlib.sha256(content).hexdigest(), of=page.of)
    if there == made.sha256:
        return made, False
    write_atomically(path, content)
    return made, True


def _hash(path: Path) -> str | None:
    """None where there is no file, or none that can be read: it is made anew."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def _remove(folder: Path, name: str, known: _Known) -> bool:
    """Remove a file that is as kab made it. False where somebody changed it."""
    path = folder / name
    try:
        if known.sha256 and hashlib.sha256(path.read_bytes()).hexdigest() != known.sha256:
            return False
        path.unlink()
    except FileNotFoundError:
        return True
    except OSError as error:
        kind = HostError if error.errno in _HOST_TROUBLE else ConfigError
        raise kind(f"cannot remove {path}: {error.strerror}", remedy="Mend the folder's permissions.") from error
    return True
