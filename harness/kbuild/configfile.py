"""Configuration files as people have them: packed or not, in any of the encodings that were ever used for one."""

import codecs
import os
import re
import zlib
from pathlib import Path

from harness.errors import ConfigError
from harness.host.regular import regular
from harness.parse.foreign import printable
from harness.userpath import user_path

# The configuration of a distribution's kernel has 300 KiB.
_LIMIT_BYTES = 16 * 1024 * 1024
_GZIP = b"\x1f\x8b"
# Controls that no text has.
_NO_TEXT = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def read_config(path: Path, *, hint: str = "Name the .config of a kernel.") -> str:
    """The text of a configuration or a fragment, its lines ended by a line feed.

    It may be gzip-compressed (``/proc/config.gz``), in UTF-8, UTF-16 with a byte order mark, or Latin-1, with CR LF.
    Raises ConfigError where it cannot be read or is no text; `hint` is the remedy.
    """
    path = user_path(path)
    shown = printable(str(path))
    try:
        if path.samefile(os.devnull):
            # What people write for "nothing".
            return ""
        regular(path, limit_bytes=_LIMIT_BYTES)
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"cannot read the configuration {shown}: {reason}", remedy=hint) from error
    if content.startswith(_GZIP):
        content = _unpacked(content, shown)
    if len(content) > _LIMIT_BYTES:
        raise ConfigError(f"cannot read the configuration {shown}: it is far too long", remedy=hint)
    text = _decoded(content)
    if _NO_TEXT.search(text):
        raise ConfigError(f"cannot read the configuration {shown}: it is no text", remedy=hint)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _unpacked(content: bytes, shown: str) -> bytes:
    try:
        inflater = zlib.decompressobj(wbits=31)
        # One byte more than there may be shows that there is more.
        text = inflater.decompress(content, _LIMIT_BYTES + 1)
        if not inflater.eof and len(text) <= _LIMIT_BYTES:
            raise zlib.error("cut short")
    except zlib.error as error:
        raise ConfigError(
            f"cannot read the configuration {shown}: it is compressed with gzip, and damaged ({error})",
            remedy="Copy it again.",
        ) from error
    return text


def _decoded(content: bytes) -> str:
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content.removeprefix(mark).decode(encoding, errors="replace")
    try:
        return content.decode()
    except UnicodeDecodeError:
        # Comments and texts of older trees; no byte is wrong in it.
        return content.decode("latin-1")
