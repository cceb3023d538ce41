"""Specs of kernels from git: a revision of a tree, what is done to it, and how it is built."""

import re
from dataclasses import replace
from pathlib import Path

from harness.errors import ConfigError
from harness.model.source import MICRO, BuildSettings, GitSpec, Operation, OperationKind

FORM = "git:TREE@REV[+merge=REV|+pick=REV|+revert=REV][,config=FILE][,fragment=FILE][,cc=COMPILER][,builder=FILE]"
# Not the @ of HEAD@{1}.
_AT = re.compile(r"@(?!\{)")
_OPERATION = re.compile(rf"\+({'|'.join(OperationKind)})=")


def parse_git(text: str, rest: str) -> GitSpec:
    """The spec after ``git:``; nothing is looked up. Raises ConfigError with the right form."""
    source, *options = rest.split(",")
    tree, revision = _split(text, source)
    if ".." in revision:
        raise ConfigError(
            f"`{text}` is a range of revisions, not a kernel",
            remedy="A range is for `kab bisect`; name one revision: git:TREE@REV.",
        )
    revision, *done = _OPERATION.split(revision)
    operations = tuple(
        Operation(kind=OperationKind(kind), revision=other) for kind, other in zip(done[::2], done[1::2], strict=True)
    )
    if not revision or not all(operation.revision for operation in operations):
        raise ConfigError(f"`{text}` names no revision", remedy=f"Write {FORM}.")
    return GitSpec(tree=tree, revision=revision, operations=operations, build=_build(text, options))


def parse_git_range(text: str) -> tuple[GitSpec, str]:
    """``git:TREE@OLD..NEW[,options]``: the older end as a spec, and the newer revision. Raises ConfigError."""
    source, *options = text.removeprefix("git:").split(",")
    tree, revisions = _split(text, source)
    older, dots, newer = revisions.partition("..")
    if not older or not dots or not newer or newer.startswith("."):
        raise ConfigError(f"`{text}` is no range of revisions", remedy="Write git:TREE@OLD..NEW.")
    return GitSpec(tree=tree, revision=older, build=_build(text, options)), newer


def is_git_range(text: str) -> bool:
    """Whether `text` means the history between two revisions."""
    return text.startswith("git:") and ".." in text.split(",")[0].rpartition("@")[2]


def git_text(spec: GitSpec) -> str:
    """The spec as a user would write it."""
    operations = "".join(f"+{operation.kind}={operation.revision}" for operation in spec.operations)
    build = spec.build
    options = [f"config={build.config}"] if build.config != MICRO else []
    options += [f"fragment={path}" for path in build.fragments]
    options += [f"cc={build.compiler}"] if build.compiler else []
    options += [f"builder={build.builder}"] if build.builder else []
    return ",".join([f"git:{spec.tree}@{spec.revision}{operations}", *options])


def with_operation(text: str, kind: OperationKind, revision: str) -> str:
    """The spec with one operation more. Raises ConfigError where it is no spec of a revision."""
    spec = parse_git(text, text.removeprefix("git:"))
    return git_text(replace(spec, operations=(*spec.operations, Operation(kind=kind, revision=revision))))


def _split(text: str, source: str) -> tuple[Path, str]:
    parts = _AT.split(source)
    tree, revision = "@".join(parts[:-1]), parts[-1]
    if not tree or not revision:
        raise ConfigError(f"`{text}` names no revision of a tree", remedy=f"Write {FORM}.")
    return Path(tree), revision


def _build(text: str, options: list[str]) -> BuildSettings:
    settings = BuildSettings()
    for option in options:
        key, equals, value = option.partition("=")
        if not equals or not value:
            raise ConfigError(f"`{text}`: cannot read `{option}`", remedy=f"Write {FORM}.")
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
                raise ConfigError(f"`{text}`: there is no option `{key}`", remedy=f"Write {FORM}.")
    return settings
