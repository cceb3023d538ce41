"""How many of a folder's console logs kab reads rightly.

    python benchmarks/consoles.py [DIR] [-v]

DIR holds ``*.log`` files in the form of the tests of google/syzkaller's log parser, pkg/report/testdata/linux/report:
header lines (``TITLE:`` what a person calls it, none or empty where it is harmless; ``TYPE:`` its class;
``CORRUPTED: Y`` torn by interleaving; ``SUPPRESSED: Y`` not to be reported), an empty line, the log, and perhaps a
section ``REPORT:``.

A log counts as found when `harness.parse.console.findings` is not empty, and as of the right kind when the first
finding is of a kind that its title (``_BY_TITLE``) or else its type (``_BY_TYPE``) asks for; errors of file systems and
disks that came before are not what the title is about and are passed over. A harmless log is wrong when something in it
is a crash. Counted apart, by these rules: what is marked as torn or suppressed, and titles that are not about the
machine's own kernel (``_NOT_THE_KERNEL``: the fuzzer's own failures, a reboot that the log does not explain, another
system in the same console). Exits with 1 where less than 98 % of the others is right or a harmless one is called a
crash.
"""

import argparse
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from harness.model.trial import FindingKind as Kind
from harness.parse.console import findings

_WANTED = 0.98

_CRASH = frozenset({Kind.PANIC, Kind.OOPS, Kind.BUG, Kind.KASAN, Kind.SLAB})
_HANG = frozenset({Kind.HUNG_TASK, Kind.SOFT_LOCKUP, Kind.RCU_STALL})
_WARNING = frozenset({Kind.WARNING})
_LOCK = frozenset({Kind.LOCKDEP})
_KASAN = frozenset({Kind.KASAN})

# The first that a title begins with.
_BY_TITLE: tuple[tuple[str, frozenset[Kind]], ...] = (
    ("kernel panic:", _CRASH),
    ("kernel BUG", frozenset({Kind.BUG})),
    ("KASAN:", _KASAN),
    ("KFENCE:", _KASAN),
    ("KMSAN:", _KASAN),
    ("KCSAN:", frozenset({Kind.KCSAN})),
    ("UBSAN:", frozenset({Kind.UBSAN})),
    ("memory leak", frozenset({Kind.LEAK})),
    ("INFO: rcu detected stall", frozenset({Kind.RCU_STALL})),
    ("INFO: task hung", frozenset({Kind.HUNG_TASK})),
    ("INFO: task can't die", frozenset({Kind.HUNG_TASK})),
    ("BUG: soft lockup", frozenset({Kind.SOFT_LOCKUP})),
    ("BUG: workqueue lockup", frozenset({Kind.SOFT_LOCKUP})),
    ("BUG: workqueue leaked", _WARNING),
    ("BUG: MAX_", _WARNING),
    ("BUG: lock held", _LOCK),
    ("INFO: suspicious RCU", _LOCK),
    ("INFO: trying to register", _LOCK),
    ("WARNING: suspicious RCU", _LOCK),
    ("WARNING: possible circular", _LOCK),
    ("WARNING: lock held", _LOCK),
    ("INFO: Allocated in", frozenset({Kind.SLAB})),
    ("INFO: Freed in", frozenset({Kind.SLAB, Kind.KASAN})),
)
_BY_TYPE: dict[str, frozenset[Kind]] = {
    "ATOMIC_SLEEP": _WARNING,
    "BUG": _CRASH,
    "DoS": _CRASH,
    "HANG": _HANG,
    "LOCKDEP": _LOCK,
    "MEMORY_SAFETY_BUG": _CRASH,
    "NULL-POINTER-DEREFERENCE": _CRASH,
    "REFCOUNT_WARNING": _WARNING,
    "WARNING": _WARNING,
}
# Titles without a type.
_BY_FIRST_WORD = {"BUG:": _CRASH, "WARNING:": _WARNING}

_NOT_THE_KERNEL = ("SYZFAIL", "SYZFATAL", "go runtime error", "unexpected kernel reboot", "trusty:")
_BEFORE = frozenset({Kind.FILESYSTEM, Kind.IO_ERROR, Kind.OOM, Kind.ALLOCATION})


class Group(StrEnum):
    """What a log is counted with."""

    TITLED = "titled"
    HARMLESS = "harmless"
    TORN = "torn"
    APART = "suppressed, or not the kernel's"


@dataclass(frozen=True, slots=True)
class Log:
    """One file."""

    name: str
    header: dict[str, str]
    text: str

    @classmethod
    def read(cls, path: Path) -> "Log":
        """Take a file apart."""
        head, _, body = path.read_bytes().decode(errors="replace").partition("\n\n")
        pairs = (line.partition(":") for line in head.split("\n") if not line.startswith("#"))
        header = {key: value.strip() for key, separator, value in pairs if separator}
        if not head.startswith(("TITLE:", "TYPE:", "#", "\n", "SUPPRESSED:")) and "TITLE" not in header:
            header, body = {}, f"{head}\n\n{body}"
        return cls(path.name, header, body.partition("\nREPORT:")[0])

    @property
    def title(self) -> str:
        """What a person would call it; "" when it is harmless."""
        return self.header.get("TITLE", "")

    @property
    def group(self) -> Group:
        """What it is counted with."""
        if self.header.get("SUPPRESSED") == "Y" or self.title.startswith(_NOT_THE_KERNEL):
            return Group.APART
        if not self.title:
            return Group.HARMLESS
        return Group.TORN if self.header.get("CORRUPTED") == "Y" else Group.TITLED

    @property
    def right(self) -> frozenset[Kind]:
        """Kinds of which its first finding may be."""
        by_title = next((kinds for start, kinds in _BY_TITLE if self.title.startswith(start)), None)
        word = self.title.partition(" ")[0]
        return by_title or _BY_TYPE.get(self.header.get("TYPE", "")) or _BY_FIRST_WORD.get(word, _CRASH)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description="How many console logs are read rightly.")
    parser.add_argument("folder", type=Path, nargs="?", metavar="DIR")
    parser.add_argument("-v", "--verbose", action="store_true", help="name the logs that are not")
    arguments = parser.parse_args()
    if arguments.folder is None:
        # The logs are not part of this project, and `make bench` runs whatever is here.
        print("no folder of console logs given: nothing to measure")
        return 0
    logs = [Log.read(path) for path in sorted(arguments.folder.glob("*.log"))]
    if not logs:
        parser.error(f"{arguments.folder} holds no *.log")
    counts = {group: [0, 0, 0, 0] for group in Group}
    for log in logs:
        kinds = [finding.kind for finding in findings(log.text)]
        about = next((kind for kind in kinds if kind not in _BEFORE), None)
        crashed = any(kind.is_crash for kind in kinds)
        count = counts[log.group]
        for position, holds in enumerate((True, bool(kinds), about in log.right, crashed)):
            count[position] += holds
        wrong = crashed if log.group is Group.HARMLESS else about not in log.right
        if wrong and arguments.verbose:
            print(
                f"{log.name} ({log.group}) {log.title!r} {log.header.get('TYPE', '')}: {' '.join(kinds) or 'nothing'}"
            )
    print("| logs | number | found | of the right kind | called a crash |\n| --- | --- | --- | --- | --- |")
    for group, (number, found, right, crashed_in) in counts.items():
        told = "-" if group is Group.HARMLESS else str(right)
        print(f"| {group} | {number} | {found} | {told} | {crashed_in if group is Group.HARMLESS else '-'} |")
    number, _, right, _ = counts[Group.TITLED]
    print(f"\n{right} of {number} titled ones: {100 * right / max(number, 1):.1f} %")
    return int(right < _WANTED * number or counts[Group.HARMLESS][3] > 0)


if __name__ == "__main__":
    sys.exit(main())
