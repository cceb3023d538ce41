"""A series read from where it lies: a folder, a quilt folder, a Maildir, a mailbox; or fetched from an archive."""

import bz2
import gzip
import io
import lzma
import re
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import zstandard

from harness.errors import ConfigError, HostError
from harness.host import process
from harness.parse.foreign import printable
from harness.parse.patchmail import NoPatch, Patch, Why, read_mail, split_mails
from harness.parse.series import Series, choose, counted_as_people_do, message_id
from harness.userpath import user_path

# All mails of a source, uncompressed: threads of hundreds of mails take some megabytes.
MOST_BYTES = 64 * 1024**2
# What a decompressor may take for itself.
_WINDOW_BYTES = 128 * 1024**2
# A step may grow by some 32,000 times, to 16 MiB.
_ZSTD_STEP_BYTES = 512
# What editors, `patch` and signers leave beside patches.
_BESIDE = ("~", ".orig", ".rej", ".bak", ".swp", ".asc", ".sig", ".sign")
_B4_TIMEOUT_S = 300.0
_UNKNOWN_TO_B4 = re.compile(r"not known|404|not found|no such|could not find", re.IGNORECASE)
_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


@dataclass(slots=True)
class _Budget:
    """Bytes that may still be read."""

    left: int = field(default_factory=lambda: MOST_BYTES)

    def take(self, path: Path, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise ConfigError(
                f"{printable(str(path))} holds too much for a patch series: more than {MOST_BYTES // 1024**2} MiB",
                remedy="Name a folder or mailbox that holds the series and not much more.",
            )


def read_series(source: str, scratch: Path, version: tuple[int, ...] | None) -> Series:
    """The patches of `source`, in order; `scratch` is a folder for what is fetched.

    Raises ConfigError for what holds no series, or more than ``MOST_BYTES``; HostError where `b4` is missing or fails.
    """
    if not source:
        raise ConfigError("--series names nothing", remedy="Name a folder of patches, a mailbox or a Message-ID.")
    try:
        path = user_path(source).absolute()
        if not path.exists():
            path = _fetched(source, scratch)
        if path.is_dir() and (path / "series").is_file():
            if version is not None:
                raise ConfigError(
                    f"{printable(source)} is a quilt folder: its file `series` says which patches count",
                    remedy="Leave --series-version out.",
                )
            return Series(patches=tuple(_quilt(path)))
        budget = _Budget()
        read: list[Patch | NoPatch] = []
        for file in _files(path):
            for name, mail in split_mails(file.name, _content(file, budget)):
                one = read_mail(name, mail)
                if isinstance(one, NoPatch) and one.why is Why.NO_MAIL and _is_named_patch(file):
                    raise ConfigError(f"{printable(name)} holds no patch", remedy="Take it out of the series.")
                read.append(one)
        return choose(source, read, version)
    except (OSError, RuntimeError, ValueError) as error:
        # A NUL in a name, or the home of nobody.
        raise ConfigError(
            f"cannot read the patches of {printable(source)}: {printable(str(error))}",
            remedy="Name a folder of patches, a quilt folder, a Maildir or a mailbox that you may read.",
        ) from error


def _files(path: Path) -> list[Path]:
    """The files that may be mails or patches, as people would list them."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise ConfigError(
            f"{printable(str(path))} is neither a file nor a folder", remedy="Save the series to a file, and name that."
        )
    maildir = [path / name for name in ("cur", "new") if (path / name).is_dir()]
    folders = maildir if len(maildir) == 2 else [path]
    found = [
        file
        for folder in folders
        for file in folder.iterdir()
        if not file.is_dir() and not file.name.startswith(".") and not file.name.endswith(_BESIDE)
    ]
    return sorted(found, key=lambda file: counted_as_people_do(file.name))


def _is_named_patch(path: Path) -> bool:
    return any(suffix.lower() in {".patch", ".diff"} for suffix in path.suffixes[-2:])


def _content(path: Path, budget: _Budget) -> bytes:
    """What a file holds, uncompressed."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ConfigError(f"{printable(str(path))} is no regular file", remedy="Take it out of the series.")
    with path.open("rb") as file:
        packed = file.read(budget.left + 1)
    kind = next((kind for magic, kind in _MAGIC.items() if packed.startswith(magic)), None)
    if kind is None or len(packed) > budget.left:
        budget.take(path, len(packed))
        return packed
    try:
        content = _unpacked(kind, packed, budget.left + 1)
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, zstandard.ZstdError) as error:
        raise ConfigError(
            f"{printable(str(path))} is damaged: it is no whole {kind} file", remedy="Get it again."
        ) from error
    budget.take(path, len(content))
    return content


def _unpacked(kind: str, packed: bytes, most: int) -> bytes:
    """At most `most` bytes of what was packed."""
    stream = io.BytesIO(packed)
    if kind == "gzip":
        return gzip.GzipFile(fileobj=stream).read(most)
    if kind == "bzip2":
        return bz2.BZ2File(stream).read(most)
    return _unzstd(stream, most) if kind == "zstd" else _unxz(packed, most)


def _unxz(packed: bytes, most: int) -> bytes:
    content = b""
    while packed.strip(b"\0") and len(content) < most:
        one = lzma.LZMADecompressor(memlimit=_WINDOW_BYTES)
        content += one.decompress(packed, max_length=most - len(content))
        if not one.eof and len(content) < most:
            raise EOFError
        packed = one.unused_data
    return content


def _unzstd(stream: io.BytesIO, most: int) -> bytes:
    # Its streams take a file that is cut short for a whole one, and its objects have no limit but that of their input.
    unpacker = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES)
    content, one = bytearray(), unpacker.decompressobj()
    while len(content) < most and (step := stream.read(_ZSTD_STEP_BYTES)):
        while step:
            if one.eof:
                one = unpacker.decompressobj()
            content += one.decompress(step)
            step = one.unused_data
    if not one.eof and len(content) < most:
        raise EOFError
    return bytes(content)


def _quilt(folder: Path) -> Iterator[Patch]:
    budget = _Budget()
    listing = folder / "series"
    lines = (
        re.sub(r"(^|\s)#.*", "", line).split()
        for line in _content(listing, budget).decode(errors="replace").splitlines()
    )
    for name, *options in filter(None, lines):
        strip: int | None = None
        for option in options:
            number = re.fullmatch(r"-p([0-9]{1,2}|ab)", option)
            if number is None:
                raise ConfigError(
                    f"{printable(str(listing))}: cannot use the option `{printable(option)}` of {printable(name)}",
                    remedy="Only -pN is understood.",
                )
            strip = 1 if number[1] == "ab" else int(number[1])
        path = folder / name
        if not path.is_file():
            raise ConfigError(
                f"{printable(str(listing))} lists {printable(name)}, which is not there", remedy="Mend the list."
            )
        ((_, mail), *more) = split_mails(name, _content(path, budget))
        patch = read_mail(name, mail)
        if more or isinstance(patch, NoPatch):
            what = "several mails" if more else "no patch"
            raise ConfigError(f"{printable(name)} holds {what}", remedy="Take it out of the series.")
        yield patch if strip is None else replace(patch, strips=(strip,))


def _fetched(source: str, scratch: Path) -> Path:
    """The thread of a Message-ID, fetched with b4."""
    wanted = message_id(source)
    if wanted is None:
        raise ConfigError(
            f"there is no {printable(source)}",
            remedy="Name a folder of patches, a quilt folder, a Maildir, a mailbox, or a Message-ID.",
        )
    if process.find_tool("b4") is None:
        raise HostError(
            f"there is no file {printable(source)}, and b4, which would fetch it as a Message-ID, is not installed",
            remedy="Install it: apt-get install b4; or save the thread as a mailbox, and name that.",
        )
    target = scratch / "b4"
    target.mkdir()
    done = process.run(["b4", "mbox", "-o", target, wanted], timeout_s=_B4_TIMEOUT_S, check=False, cwd=scratch)
    if done.status == 0 and any(file.is_file() for file in target.iterdir()):
        return target
    said = printable((done.stderr.strip() or done.stdout.strip())[-1000:], lines=True)
    if _UNKNOWN_TO_B4.search(said):
        raise ConfigError(f"b4 knows no mail {printable(wanted)}:\n{said}", remedy="Check the Message-ID.")
    raise HostError(f"b4 could not fetch {printable(wanted)}:\n{said}", remedy="Is the archive reachable from here?")
