"""Which of the changes at an edge fits the workload: a plain sum of points, for a person who reads the first few.

| points | for |
| --- | --- |
| 4 | the subject's prefix is a subsystem of the workload (``btrfs:`` for fs/btrfs, ``nvme-pci:`` for drivers/nvme) |
| 2 | the prefix is only the folder of a file that the workload names (``mm:`` for mm/filemap.c) |
| 2 | each of the workload's words in the subject ("locking" is ``lock``), 1 where the prefix is of no subsystem |
| 1 | a word of how fast things go ("serialized", "fallback"), or a revert, in a subject that has points so far |
| -2 | a word of plain defects ("leak", "overflow"), in the same; but never below 1 |

Changes for other architectures than the kernels', and for feature sets that Debian's are built without, have no points.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.model.arch import ARM64, X86_64, Architecture
from harness.model.history import Change, Suspect

_SUBSYSTEM = 4
_FOLDER = 2
_WORD = 2
_WORD_ELSEWHERE = 1
_PACE = 1
_DEFECT = 2

# Suspects kept for each edge, and the points they need: a single word elsewhere in the kernel is none.
_MOST = 10
_LEAST_SCORE = 2

_REVERT = re.compile(r'(?:[\w/-]+: )?Revert:? "?(?P<subject>.*?)"?$', re.IGNORECASE)
# "mm/damon/core", "block, bfq". Prose before a colon has more words.
_PREFIX_WORDS = 3
_TOKEN = re.compile(r"[\w.-]+")
# A few places of the kernel whose commits say something else than the name of their folder.
_ALIASES = {
    "block": ("blk", "bio", "bdev"),
    "fs": ("vfs",),
    "io_uring": ("io-wq", "io_wq", "uring"),
}
# Starts of the marks of what is no part of a kernel for either architecture, and for one of them.
_FOREIGN = (
    "alpha", "hppa", "i386", "ia64", "loong", "m68k", "mips", "powerpc", "ppc", "riscv", "rt", "s390", "sh4", "sparc",
    "udeb",
)  # fmt: skip
_FOREIGN_TO = {
    X86_64.name: (*_FOREIGN, "arm", "!amd64"),
    ARM64.name: (*_FOREIGN, "armel", "armhf", "amd64", "x86", "!arm64"),
}
# Starts of words.
_PACE_WORDS = (
    "serializ", "serialis", "fallback", "exclusive", "contention", "contend", "parallel", "concurren", "throughput",
    "latency", "performance", "speed", "slow", "fast", "faster", "optimi", "lockless", "batch", "defer", "async",
    "nowait", "throttl", "stall",
)  # fmt: skip
_DEFECT_WORDS = (
    "leak", "memleak", "overflow", "underflow", "oob", "out-of-bounds", "bounds", "uaf", "use-after-free", "null",
    "uninitialized", "uninitialised", "typo", "comment", "comments", "documentation", "kernel-doc", "warning",
    "warnings", "deref", "dereference", "refcount", "double-free", "corrupt", "corruption", "validate", "sanity",
)  # fmt: skip


def rank(
    changes: Sequence[Change],
    subsystems: Sequence[str],
    words: Sequence[str],
    architecture: Architecture = X86_64,
) -> tuple[Suspect, ...]:
    """All `changes`, the likeliest culprit first; those with the same points stay in their order.

    `architecture` is that of the kernels that were measured. As a workload declares them, `subsystems` are paths in the
    kernel's tree (``fs/btrfs``, ``mm/filemap.c``) and `words` are of its commit subjects.
    """
    places = [_place(subsystem) for subsystem in subsystems]
    forms = {word: _forms(word) for word in words}
    foreign = _FOREIGN_TO[architecture.name]
    suspects = [_suspect(change, places, forms, foreign) for change in changes]
    return tuple(sorted(suspects, key=lambda suspect: -suspect.score))


def likeliest(
    changes: Sequence[Change],
    subsystems: Sequence[str],
    words: Sequence[str],
    architecture: Architecture = X86_64,
) -> tuple[Suspect, ...]:
    """The first few of ``rank`` that fit at all."""
    ranked = rank(changes, subsystems, words, architecture)[:_MOST]
    return tuple(suspect for suspect in ranked if suspect.score >= _LEAST_SCORE)


def merge(listed: Sequence[Suspect], in_tree: Sequence[Suspect]) -> tuple[Suspect, ...]:
    """The likeliest of a changelog's suspects and a git tree's; those with one subject are one, with its hash."""
    hashes = {suspect.change.subject: suspect.change.commit for suspect in in_tree}
    named = [
        replace(suspect, change=replace(suspect.change, commit=hashes.get(suspect.change.subject, "")))
        for suspect in listed
    ]
    known = {suspect.change.subject for suspect in listed}
    others = (suspect for suspect in in_tree if suspect.change.subject not in known)
    return tuple(sorted((*named, *others), key=lambda suspect: -suspect.score)[:_MOST])


@dataclass(frozen=True, slots=True)
class _Place:
    """A subsystem of the workload, and how commits to it begin."""

    subsystem: str
    # "btrfs"; "filemap" for mm/filemap.c.
    names: tuple[str, ...]
    # "fs"; "mm" for mm/filemap.c.
    folder: str
    file: bool


def _suspect(
    change: Change, places: Sequence[_Place], words: Mapping[str, re.Pattern[str]], foreign: tuple[str, ...]
) -> Suspect:
    subject, revert = _unreverted(change.subject)
    if change.architectures and all(name.startswith(foreign) for name in change.architectures):
        return Suspect(change=change, score=0, revert=revert)
    *prefixes, summary = subject.lower().split(": ")
    paths = list(_paths(prefixes))
    hits = [place.subsystem for place in places if any(_inside(path, place) for path in paths)]
    score = _SUBSYSTEM if hits else 0
    if not hits:
        hits = [place.subsystem for place in places if place.file and [place.folder] in paths]
        score = _FOLDER if hits else 0
    # A word that is also the name of a subsystem is not counted twice.
    tokens = _TOKEN.findall(summary if hits else subject.lower())
    parts = [part for token in tokens for part in (token, *re.split(r"[-_.]", token))]
    named = [word for word, forms in words.items() if any(map(forms.fullmatch, parts))]
    score += len(named) * (_WORD if hits else _WORD_ELSEWHERE)
    if score:
        if revert or any(token.startswith(_PACE_WORDS) for token in tokens):
            score += _PACE
        if any(token in _DEFECT_WORDS for token in tokens):
            score = max(1, score - _DEFECT)
    return Suspect(change=change, score=score, matched=(*hits, *named), revert=revert)


def _place(subsystem: str) -> _Place:
    folder, _, last = subsystem.strip("/").lower().rpartition("/")
    name = re.sub(r"\.[chs]$", "", last)
    return _Place(subsystem, (name, *_ALIASES.get(name, ())), folder.rpartition("/")[2], name != last)


def _paths(prefixes: Sequence[str]) -> Iterator[list[str]]:
    """Prefixes of a subject as paths: ``block, bfq:`` are two, ``mm: filemap:`` and ``mm/filemap:`` are the same."""
    if not prefixes or any(len(prefix.split()) > _PREFIX_WORDS for prefix in prefixes):
        return
    first, *rest = prefixes
    below = [part for prefix in rest for part in prefix.split("/")]
    for alternative in first.split(","):
        yield [*alternative.strip().split("/"), *below]


def _inside(path: Sequence[str], place: _Place) -> bool:
    """Whether the path begins with the place, or with its folder and it: not so ``drm/xe/sync`` for fs/sync.c."""
    if _is(path[0], place.names):
        return True
    return len(path) > 1 and path[0] == place.folder and _is(path[1], place.names)


def _is(part: str, names: Sequence[str]) -> bool:
    """``nvme-pci`` and ``blk-mq`` are of nvme and blk."""
    return any(part == name or part.startswith(f"{name}-") for name in names)


def _unreverted(subject: str) -> tuple[str, bool]:
    found = _REVERT.fullmatch(subject)
    return (found["subject"], True) if found else (subject, False)


def _forms(word: str) -> re.Pattern[str]:
    """``lock`` is said by "locking", "i_lock" and "lock-free", but not by "block"; ``direct`` not by "directory"."""
    word = re.escape(word.lower())
    return re.compile(rf"{word}|{word.removesuffix('e')}{word[-1:]}?(?:e?s|ed|er|ing)")
