"""Tags of kernel releases, from the versions of packages."""

import re

_STABLE = re.compile(r"(?P<release>v\d+\.\d+)\.\d+")


def tag_of(version: str) -> str:
    """The tag of a package's upstream version: ``v6.12.43`` of ``6.12.43-1``, ``v7.3-rc7`` of ``7.3~rc7-1~exp1``."""
    return "v" + (version.rpartition("-")[0] or version).replace("~", "-")


def release_tag(tag: str) -> str | None:
    """What a clone without stable updates has in place of the tag of one: ``v6.12`` of ``v6.12.43``; else None."""
    found = _STABLE.fullmatch(tag)
    return found["release"] if found else None
