"""A fio job's file as fio reads it, so far as to see before any boot what cannot work in one."""

import re
from collections.abc import Iterator, Mapping

from harness.errors import ConfigError

_SECTION = re.compile(r"\[([^\]]+)\]")
_NUMBER = re.compile(r"(\d{1,19})([kmgtp]?)(?:i?b)?", re.ASCII | re.IGNORECASE)
_FACTORS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40, "p": 2**50}
_SECTOR = 512

# Option -> smallest and largest value: fio's own limits (options.c, io_uring's queue).
_COUNTS = {"numjobs": (1, 4096), "iodepth": (1, 32768)}
_SIZES = ("bs", "blocksize", "size", "filesize", "io_size")
_BLOCKS = ("bs", "blocksize")


def check_job(text: str, what: str) -> None:
    """Raise ConfigError where the job `text` (of `what`, such as "workload wal") asks for what no kernel can do.

    Looked at are plain numbers of threads, depths and sizes; ranges, lists, percentages and expressions are fio's.
    """
    found = False
    for section, options in _jobs(text):
        found = True
        where = f"{what}: its job [{section}]"
        for option, value in options.items():
            if not value:
                raise ConfigError(f"{where} has an empty {option}", remedy="Give it a value, or leave it out.")
        _check_numbers(options, where)
        _check_blocks(options, where)
    if not found:
        raise ConfigError(f"{what}: its template makes no job", remedy="A job is a section such as [{{ name }}].")


def _jobs(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Name and options of each job, those of [global] sections before it included."""
    shared: dict[str, str] = {}
    name, options = "", shared
    for line in map(str.strip, text.split("\n")):
        if not line or line.startswith(("#", ";")):
            continue
        if section := _SECTION.fullmatch(line):
            if name:
                yield name, options
            name = "" if section[1] == "global" else section[1]
            options = dict(shared) if name else shared
            continue
        option, equals, value = line.partition("=")
        options[option.strip()] = value.strip() if equals else "1"
    if name:
        yield name, options


def _check_numbers(options: Mapping[str, str], where: str) -> None:
    for option, (least, most) in _COUNTS.items():
        value = _number(options.get(option, ""))
        if value is not None and not least <= value <= most:
            raise ConfigError(f"{where} has {option}={value}", remedy=f"fio takes {least} to {most}.")
    for option in _SIZES:
        if any(_number(part) == 0 for part in options.get(option, "").split(",")):
            raise ConfigError(f"{where} has {option}={options[option]}", remedy=f"A {option} is more than 0.")


def _check_blocks(options: Mapping[str, str], where: str) -> None:
    direct = options.get("direct", "0") == "1"
    blocks = [(option, _number(part)) for option in _BLOCKS for part in options.get(option, "").split(",")]
    size = _number(options.get("size", ""))
    for option, block in blocks:
        if block is None:
            continue
        if direct and block % _SECTOR:
            raise ConfigError(
                f"{where} has {option}={block} with direct=1",
                remedy=f"Direct I/O is of whole sectors of {_SECTOR} bytes.",
            )
        if size is not None and block > size:
            raise ConfigError(
                f"{where} has {option}={block}, more than its size={size}",
                remedy="Take smaller blocks, fewer jobs or larger files.",
            )
    part = _number(options.get("offset_increment", ""))
    if direct and part is not None and part % _SECTOR:
        raise ConfigError(
            f"{where} has offset_increment={part} with direct=1",
            remedy=f"Direct I/O is of whole sectors of {_SECTOR} bytes: take a number of jobs that divides the file.",
        )


def _number(text: str) -> int | None:
    """Bytes or a count, where the value is such a number."""
    match = _NUMBER.fullmatch(text)
    return int(match[1]) * _FACTORS[match[2].lower()] if match else None
