"""The output of a kernel build: its first error, whose fault it is, and how far it got."""

import re
from dataclasses import dataclass
from enum import StrEnum


class Blame(StrEnum):
    """Whose fault a failed build is."""

    CODE = "code"
    CONFIGURATION = "configuration"
    DISK = "disk"
    MEMORY = "memory"
    TOOL = "tool"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a build failed."""

    blame: Blame
    # The line that says so; with Blame.TOOL the missing program.
    line: str


# Most telling first within one kind of blame; the host's faults before the code's, for they cause errors of all kinds.
_HOST = (
    (Blame.DISK, re.compile(r"No space left on device|Disk quota exceeded|final close failed: File too large")),
    (
        Blame.MEMORY,
        re.compile(
            r"(internal compiler error|fatal error|error): Killed|Killed signal terminated program"
            r"|Cannot allocate memory|virtual memory exhausted|out of memory allocating"
            r"|ld terminated with signal 9|\bError 137$"
        ),
    ),
    (
        Blame.TOOL,
        re.compile(
            r"(?:/bin/(?:ba|da)?sh|\bsh|\bbash): (?:line )?(?:\d+: )?(?P<tool>[\w./+-]+): (?:command )?not found"
            r"|make(?:\[\d+\])?: (?P<made>[\w./+-]+): No such file or directory"
        ),
    ),
    (
        Blame.TOOL,
        re.compile(
            r"fatal error: (?P<header>(?:libelf|gelf|openssl/\w+|ncurses)\.h): No such file"
            r"|Please install (?P<please>libelf-dev|openssl|\S+-dev)"
        ),
    ),
)
_CODE = (
    re.compile(r"^\S+:\d+(?::\d+)?: (?:fatal )?error: .+"),
    re.compile(r"^\S*Kconfig\S*:\d+: (?!warning).+"),
    re.compile(r"^\S*Kconfig\S*:\d+:(?:error|syntax error).*|.*recursive dependency detected.*"),
    re.compile(r"^(?:ERROR: modpost: .+|.*\bundefined reference to .+|.*: multiple definition of .+)"),
    re.compile(r"^(?:/\S*/)?(?:ld|ld\.\w+): .+"),
    re.compile(r"^\S+: error: .+|^error: .+"),
    re.compile(r"^(?:\S+:\d+: )?\*\*\* .+|^.*\bmake.*\*\*\* No rule to make target .+"),
    re.compile(r"^\S+:\d+: .*(?:Error|error)\b.*|^Error: .+"),
    re.compile(r"^make.*\*\*\* .+"),
)
_TARGET_ERROR = re.compile(r"^make.*\*\*\* \[.*\] Error \d+")
_NOISE = re.compile(r"^(?:ld|/\S*/ld): warning|warning:|note:|In file included|\s+from ")
_STEP = re.compile(r"^  (?P<tool>[A-Z][A-Z0-9_]+)(?: \[\w\])? +(?P<what>\S+)$")
# Output of a parallel make may put two lines into one.
_JOINED = re.compile(r"(?<=\S)(?=  (?:CC|AS|LD|AR|HOSTCC) {1,7}\S)")


def first_failure(log: str) -> Failure:
    """The first error of a failed build's output: what it says first and plainest, among the noise of parallel jobs."""
    lines = [line.rstrip() for line in _JOINED.sub("\n", log).splitlines()]
    for blame, pattern in _HOST:
        for line in lines:
            if match := pattern.search(line):
                tool = next((value for value in match.groupdict().values() if value), "")
                return Failure(blame=blame, line=tool or line.strip())
    for pattern in _CODE:
        for line in lines:
            if pattern.match(line) and not _NOISE.search(line) and not _TARGET_ERROR.match(line):
                configuration = "Kconfig" in line.split(":")[0] or "recursive dependency" in line
                return Failure(blame=Blame.CONFIGURATION if configuration else Blame.CODE, line=line.strip())
    targets = [line for line in lines if _TARGET_ERROR.match(line)]
    last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    return Failure(blame=Blame.CODE, line=targets[0].strip() if targets else last)


def step_of(line: str) -> str | None:
    """The file that a line of the output says is being made, e.g. "fs/btrfs/super.o"; None for any other line."""
    match = _STEP.match(line)
    return match["what"] if match else None
