"""Files that a user names for results. Whatever is there stays what it is: a link, a device, a pipe, a descriptor.

A regular file is replaced as a whole, at the end of the links that lead to it. Anything else is written through.
"""

import errno
import fcntl
import os
import secrets
import stat
from pathlib import Path

from harness.errors import ConfigError, HostError
from harness.host.files import write_atomically

# Trouble that is not of the name.
_HOST_TROUBLE = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
)
_MOST_LINKS = 40
# Writing there would destroy what is on it, or has no meaning.
_REFUSED = {stat.S_IFDIR: "a folder", stat.S_IFBLK: "a block device", stat.S_IFSOCK: "a socket"}


def check_output(path: Path, option: str) -> None:
    """Raise ConfigError (HostError: a full disk) where `path`, named by `option`, could not be written.

    Nothing that is there is opened, as that would wake a pipe's reader; folders are tried with a file that goes again.
    """
    try:
        descriptor = own_descriptor(path)
        if descriptor is not None:
            if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
                raise ConfigError(f"{option} {path}: the descriptor is open for reading only")
            return
        kind = _kind(path)
        if kind in _REFUSED:
            raise ConfigError(f"{option} {path} is {_REFUSED[kind]}, not a file", remedy="Name a file to write.")
        if kind not in {None, stat.S_IFREG}:
            if not os.access(path, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return
        _try_folder(Path(os.path.realpath(path)).parent)
    except OSError as error:
        kind_of_error = HostError if error.errno in _HOST_TROUBLE else ConfigError
        raise kind_of_error(
            f"cannot write {option} {path}: {error.strerror}", remedy="Name a file in a folder that can be written."
        ) from error


def write_output(path: Path, content: bytes) -> None:
    """Write `content` to `path`. A pipe's reader that goes away has read enough. Raises HostError."""
    try:
        descriptor = own_descriptor(path)
        if descriptor is not None:
            _write(os.dup(descriptor), content)
        elif _kind(path) in {None, stat.S_IFREG}:
            write_atomically(Path(os.path.realpath(path)), content)
        else:
            _write(os.open(path, os.O_WRONLY | os.O_NOCTTY), content)
    except BrokenPipeError:
        return
    except OSError as error:
        raise HostError(
            f"cannot write {path}: {error.strerror}",
            remedy="The result is stored: mend that, and `kab report` writes it again.",
        ) from error


def own_descriptor(path: Path) -> int | None:
    """The open descriptor of this process that `path` stands for (``/dev/stdout``, ``/dev/fd/3``), or None.

    To open such a path would make a second, independent place in the same file.
    """
    at = path.absolute()
    for _ in range(_MOST_LINKS):
        folder = os.path.realpath(at.parent)
        if folder == f"/proc/{os.getpid()}/fd":
            return int(at.name) if at.name.isdecimal() and len(at.name) < 10 else None
        try:
            at = Path(folder) / at.readlink()
        except OSError:
            # No link, or a name that is none.
            return None
    return None


def same_file(one: Path, other: Path) -> bool:
    """Whether both name one regular file, that is or is to be."""
    kinds = {_kind(path) for path in (one, other)}
    return kinds <= {None, stat.S_IFREG} and os.path.realpath(one) == os.path.realpath(other)


def _kind(path: Path) -> int | None:
    """The file's type, links followed; None where there is none yet."""
    try:
        return stat.S_IFMT(path.stat().st_mode)
    except FileNotFoundError:
        return None


def _try_folder(folder: Path) -> None:
    """Make and remove a file in `folder`, or in the nearest one above that is there."""
    while not folder.exists():
        folder = folder.parent
    probe = folder / f".kab-{secrets.token_hex(8)}.tmp"
    os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    probe.unlink()


def _write(descriptor: int, content: bytes) -> None:
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
