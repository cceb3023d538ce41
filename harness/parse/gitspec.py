"""Specs of kernels from git: a revision of a tree, what is done to it, and how it is built.

Commas in a tree or a file are its own, unless an option follows; ``,,`` is always one comma, as in disk specs.
"""

import re
from dataclasses import replace
from pathlib import Path

from harness.errors import ConfigError
from harness.model.source import MICRO, BuildSettings, GitSpec, Operation, OperationKind
from harness.parse.foreign import printable

FORM = "git:TREE@REV[+merge=REV|+pick=REV|+revert=REV][,config=FILE][,fragment=FILE][,cc=COMPILER][,builder=FILE]"
_OPTIONS = ("config", "fragment", "cc", "builder")
_OPTION = re.compile(rf",(?=(?:{'|'.join(_OPTIONS)})=)")
# After the value of an option: what was meant as another one.
_UNKNOWN_OPTION = re.compile(r",([a-z_-]+=.*)", re.DOTALL)
_OPERATION = re.compile(rf"\+({'|'.join(OperationKind)})=")
# What git reads ":/TEXT" as goes to the end, whatever is in it.
_BY_TEXT = re.compile(r"@(?=:/)")
# The revision "@" (HEAD), alone or with a suffix.
_HEAD = re.compile(r"@(?=@(?:[~^{]|\.\.|$))")
# Not the @ of HEAD@{1}, nor a HEAD that ends a range (v1..@, v1..@~2).
_AT = re.compile(r"@(?!\{)(?!(?<=\.\.@)(?:[~^]|$))")
# Stands for a comma that is doubled, while options are split.
_COMMA = "\0"


def parse_git(text: str, rest: str) -> GitSpec:
    """The spec after ``git:``; nothing is looked up. Raises ConfigError with the right form."""
    tree, revision, operations, build = _parts(text, rest)
    if _is_range(revision):
        raise ConfigError(
            f"`{printable(text)}` is a range of revisions, not a kernel",
            remedy="A range is for `kab bisect`; name one revision: git:TREE@REV.",
        )
    return GitSpec(tree=tree, revision=revision, operations=operations, build=build)


def parse_git_range(text: str) -> tuple[GitSpec, str]:
    """``git:TREE@OLD..NEW[,options]``: the older end as a spec, and the newer revision. Raises ConfigError."""
    tree, revisions, operations, build = _parts(text, text.removeprefix("git:"))
    older, _, newer = revisions.partition("..")
    if not _is_range(revisions) or not older or not newer or newer.startswith(".") or operations:
        raise ConfigError(f"`{printable(text)}` is no range of revisions", remedy="Write git:TREE@OLD..NEW.")
    return GitSpec(tree=tree, revision=older, build=build), newer


def is_git_range(text: str) -> bool:
    """Whether `text` means the history between two revisions."""
    try:
        return text.startswith("git:") and _is_range(_parts(text, text.removeprefix("git:"))[1])
    except ConfigError:
        return False


def git_text(spec: GitSpec) -> str:
    """The spec as a user would write it."""
    operations = "".join(f"+{operation.kind}={operation.revision}" for operation in spec.operations)
    build = spec.build
    options = [f"config={build.config}"] if build.config != MICRO else []
    options += [f"fragment={path}" for path in build.fragments]
    options += [f"cc={build.compiler}"] if build.compiler else []
    options += [f"builder={build.builder}"] if build.builder else []
    parts = [f"git:{spec.tree}@{spec.revision}{operations}", *options]
    return ",".join(part.replace(",", ",,") for part in parts)


def with_operation(text: str, kind: OperationKind, revision: str) -> str:
    """The spec with one operation more. Raises ConfigError where it is no spec of a revision."""
    spec = parse_git(text, text.removeprefix("git:"))
    return git_text(replace(spec, operations=(*spec.operations, Operation(kind=kind, revision=revision))))


def _is_range(revision: str) -> bool:
    return ".." in revision and not revision.startswith(":/")


def _parts(text: str, rest: str) -> tuple[Path, str, tuple[Operation, ...], BuildSettings]:
    """The tree, the revision or range, what is done to it, and the build."""
    if _COMMA in rest:
        raise _wrong(text, "holds a NUL")
    source, *options = _OPTION.split(rest.replace(",,", _COMMA))
    source, *done = _OPERATION.split(source)
    tree, revision = _split(text, source)
    revisions = [revision, *done[1::2]]
    for place, one in enumerate(revisions):
        if not one.startswith(":/") and "," in one:
            # What follows a revision is an option, and this is none that is known.
            revisions[place], _, rest = one.partition(",")
            options.insert(0, rest)
    revision, *others = (one.replace(_COMMA, ",") for one in revisions)
    if not revision or not all(others):
        raise _wrong(text, "names no revision")
    operations = tuple(
        Operation(kind=OperationKind(kind), revision=other) for kind, other in zip(done[::2], others, strict=True)
    )
    return Path(tree.replace(_COMMA, ",")), revision, operations, _build(text, options)


def _split(text: str, source: str) -> tuple[str, str]:
    """The tree and the revision on both sides of their ``@``; either may hold others."""
    found = _BY_TEXT.search(source) or _HEAD.search(source) or next(iter(list(_AT.finditer(source))[-1:]), None)
    tree, revision = (source[: found.start()], source[found.end() :]) if found else ("", "")
    if not tree or (not revision and not _OPERATION.search(text)):
        raise _wrong(text, "names no revision of a tree")
    return tree, revision


def _build(text: str, options: list[str]) -> BuildSettings:
    settings = BuildSettings()
    for option in options:
        key, equals, value = option.partition("=")
        if not equals or not value:
            raise _wrong(text, f"cannot read `{printable(option)}`", colon=True)
        if unknown := _UNKNOWN_OPTION.search(value):
            raise _wrong(text, f"there is no option `{printable(unknown[1].partition('=')[0])}`", colon=True)
        if key == "cc" and "," in value:
            raise _wrong(text, f"cannot read `{printable(value.partition(',')[2])}`", colon=True)
        value = value.replace(_COMMA, ",")
        match key:
            case "config":
                settings = replace(settings, config=value)
            case "fragment":
                settings = replace(settings, fragments=(*settings.fragments, Path(value)))
            case "cc":
                settings = replace(settings, compiler=value)
            case "builder":
                settings = replace(settings, builder=Path(value))
            case _:
                raise _wrong(text, f"there is no option `{printable(key)}`", colon=True)
    return settings


def _wrong(text: str, what: str, *, colon: bool = False) -> ConfigError:
    return ConfigError(f"`{printable(text)}`{':' if colon else ''} {what}", remedy=f"Write {FORM}.")
