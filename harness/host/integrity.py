"""Whether what lies in a cache is what was put there: disks lose bits, and a kernel must not be blamed for one.

Documents carry a seal, the hash of the rest of them; files are listed in a document by their hashes. What was written
before there were seals and lists is taken as it is.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_SEAL = "seal"


def sealed(content: Mapping[str, Any]) -> bytes:
    """`content`, which holds JSON values only, as a document that ``unsealed`` reads."""
    return json.dumps({**content, _SEAL: _seal_of(content)}, indent=1).encode()


def unsealed(document: bytes) -> dict[str, Any]:
    """The content of a document. Raises ValueError or TypeError where it is no JSON object, or not what was written."""
    try:
        content = json.loads(document)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    if not isinstance(content, dict):
        raise TypeError("it is no JSON object")
    seal = content.pop(_SEAL, None)
    if seal is not None and seal != _seal_of(content):
        raise ValueError("its seal differs from its content")
    return content


def file_digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Name below `folder` -> sha256 of the content. Raises OSError."""
    return {name: sha256_of(folder / name) for name in names}


def damaged_files(folder: Path, digests: Mapping[str, str]) -> tuple[str, ...]:
    """The names of files that are gone, cannot be read, or have another content than `digests` says."""
    return tuple(name for name, digest in digests.items() if _digest_or_none(folder / name) != digest)


def sha256_of(path: Path) -> str:
    """The sha256 of a file's content, hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest_or_none(path: Path) -> str | None:
    try:
        return sha256_of(path)
    except OSError:
        return None


def _seal_of(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
