"""The diff in the text of a mail: where it begins, what a mail's way did to its line ends, and how it names files."""

import re

# A header of a file, with what must follow it. A diffstat, a range-diff or a quoted diff is none.
_START = re.compile(
    rb"^(?:diff --git [^\n]+\n(?:old mode |new mode |deleted file mode |new file mode |copy from |rename from "
    rb"|similarity index |dissimilarity index |index [0-9a-f]|--- |GIT binary patch|Binary files )"
    rb"|--- [^\n]+\n\+\+\+ [^\n]+\n@@ -[0-9])",
    re.MULTILINE,
)
_FILE = re.compile(rb"^\+\+\+ [^\n]*\n", re.MULTILINE)
_HEADER = re.compile(rb"^diff --git ([^\n]+)\n", re.MULTILINE)
_MOVED = re.compile(rb"^(?:rename|copy) from ([^\n]+)\n(?:rename|copy) to ([^\n]+)$", re.MULTILINE)
_NAMES = re.compile(rb"^--- ([^\t\n]+)[^\n]*\n\+\+\+ ([^\t\n]+)[^\n]*\n@@ -", re.MULTILINE)


def find_diff(body: bytes) -> int | None:
    """Where the diff begins that `git apply` would take; None where there is none."""
    found = _START.search(body)
    return found.start() if found else None


def without_transport(diff: bytes) -> bytes:
    """The diff with the line ends that it was made with.

    Where its own headers end in CR LF, a mail program did that to every line; else a CR is the file's.
    """
    header = _FILE.search(diff) or _HEADER.search(diff)
    return diff.replace(b"\r\n", b"\n") if header is not None and header[0].endswith(b"\r\n") else diff


def strips(diff: bytes) -> tuple[int, ...]:
    """How many leading folders of the file names to leave out, the likely number first.

    git writes ``a/`` and ``b/`` in front, unless it was told not to: then both names are one.
    """
    headers = [found[1] for found in _HEADER.finditer(diff)]
    if headers:
        moved = {b" ".join(found.groups()) for found in _MOVED.finditer(diff)}
        return (0,) if any(_twice(names) or names in moved for names in headers) else (1,)
    pairs = [tuple(name.rstrip() for name in found.groups()) for found in _NAMES.finditer(diff)]
    # Of two copies of a tree that lay in folders of one name, the folder is to be left out.
    return (0, 1) if any(old == new for old, new in pairs) else (1,)


def _twice(names: bytes) -> bool:
    """Whether ``NAME NAME`` is one name, written twice (names may hold spaces)."""
    half = len(names) // 2
    return len(names) % 2 == 1 and names[half : half + 1] == b" " and names[:half] == names[half + 1 :]
