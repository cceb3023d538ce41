#!/usr/bin/env python3
"""Make the test history: Debian's linux-source-7.2 with the commits of ci/history/changes.toml on top, as a repository.

The same package version gives the same hashes. DIR/.git/kab-history.json says which commit is what.

Usage: .venv/bin/python ci/make_history.py [--small] [--patches OUT] [--package DEB] [--no-checkout] DIR
"""

import argparse
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from debian.debian_support import Version

from harness.debian.apt import AptRoot
from harness.errors import ConfigError, HostError, KabError
from harness.host import locks
from harness.host.paths import default_paths
from harness.host.process import run
from harness.kernels.debian.lists import DebianLists, debian_settings
from harness.model.kernel import Package
from harness.parse.packages import parse_stanzas

SERIES = "7.2"
TAG = f"v{SERIES}-test"
CHANGES = Path(__file__).parent / "history" / "changes.toml"
FACTS = "kab-history.json"

BRANCH = "refs/heads/main"
SIDE = "refs/heads/btrfs-messages"
EPOCH = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
STEP = timedelta(hours=7)
AUTHORS = (
    "Ada Writer <ada@example.org>",
    "Ben Fixer <ben@example.org>",
    "Cem Reader <cem@example.org>",
)
MODES = {"symlink": "120000", "executable": "100755", "plain": "100644"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """In `file`, `old` (which is there exactly once) becomes `new`."""

    file: str
    old: bytes
    new: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One commit to be."""

    title: str
    body: str
    kind: str
    side: bool
    fork: bool
    edits: tuple[Edit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A commit with its place in the graph; marks are those of git fast-import, the base is 1."""

    mark: int
    change: Change
    parents: tuple[int, ...]
    # What it leaves in the files that it touches.
    files: Mapping[str, bytes]


@dataclass(slots=True)
class Source:
    """What is kept of the source tree while it streams by: the files that some change touches, and their modes."""

    version: str
    wanted: frozenset[str]
    contents: dict[str, bytes] = field(default_factory=dict)
    modes: dict[str, str] = field(default_factory=dict)


def load_changes(small: bool) -> list[Change]:
    """The commits of changes.toml, oldest first."""
    entries = tomllib.loads(CHANGES.read_text())["commit"]
    return [
        Change(
            title=entry["title"],
            body=entry["body"],
            kind=entry["kind"],
            side=entry.get("branch") == "side",
            fork=entry.get("fork", False),
            edits=tuple(
                Edit(file=edit["file"], old=edit["old"].encode(), new=edit["new"].encode())
                for edit in entry.get("edit", [])
            ),
        )
        for entry in entries
        if entry.get("small", False) or not small
    ]


def plan(changes: Sequence[Change], contents: Mapping[str, bytes]) -> list[Planned]:
    """Place the commits: the side branch starts at the fork and ends in the merge. Raises ConfigError."""
    main, side = dict(contents), dict(contents)
    main_tip = side_tip = 1
    side_files: dict[str, bytes] = {}
    planned = []
    for mark, change in enumerate(changes, start=2):
        tree = side if change.side else main
        parents: tuple[int, ...] = (side_tip if change.side else main_tip,)
        files = _edited(change, tree)
        if change.kind == "merge":
            parents, files = (main_tip, side_tip), side_files
        tree.update(files)
        if change.side:
            side_tip, side_files = mark, side_files | files
        else:
            main_tip = mark
        if change.fork:
            side_tip, side = mark, dict(main)
        planned.append(Planned(mark=mark, change=change, parents=parents, files=files))
    return planned


def _edited(change: Change, tree: Mapping[str, bytes]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for edit in change.edits:
        content = files.get(edit.file, tree.get(edit.file, b""))
        if content.count(edit.old) != 1:
            raise ConfigError(
                f"`{change.title}` does not fit this source: {edit.file} holds the text to replace "
                f"{content.count(edit.old)} times",
                remedy=f"Mend it in {CHANGES}.",
            )
        files[edit.file] = content.replace(edit.old, edit.new)
    return files


def newest_source(into: Path) -> Path:
    """Fetch the newest linux-source package of the series, verified. Raises HostError."""
    paths = default_paths()
    # Brings the package lists up to date where they are old.
    DebianLists(paths, note=say).catalogue()
    apt = AptRoot(paths.apt, debian_settings())
    with locks.lock(paths.apt / "lock", what="reading Debian's package lists", timeout_s=1200.0):
        found = list(_source_packages(apt))
        if not found:
            raise HostError(f"no suite of the mirror has linux-source-{SERIES}")
        package = max(found, key=lambda candidate: Version(candidate.version))
        say(f"fetching {package.name} {package.version} ({package.size_bytes >> 20} MiB)")
        return apt.download([package], into, lambda _done: None)[0]


def _source_packages(apt: AptRoot) -> Iterator[Package]:
    name = f"linux-source-{SERIES}"
    for listed in apt.package_lists():
        for text in apt.stanzas(listed.path, name):
            for fields in parse_stanzas(text):
                if fields["Package"] == name:
                    yield Package(
                        name=name,
                        version=fields["Version"],
                        filename=fields["Filename"],
                        size_bytes=int(fields["Size"]),
                        sha256=fields["SHA256"],
                        suite=listed.suite,
                        uri=listed.uri,
                    )


def unpack(package: Path, into: Path) -> tuple[Path, str]:
    """The source tarball inside a linux-source package, and the package's version. Raises HostError."""
    run(["dpkg-deb", "-x", package, into], timeout_s=600)
    version = run(["dpkg-deb", "-f", package, "Version"], timeout_s=60).stdout.strip()
    return next((into / "usr" / "src").glob("linux-source-*.tar.xz")), version


def import_history(repository: Path, tarball: Path, source: Source, changes: Sequence[Change]) -> list[Planned]:
    """Write base, tag and commits into the new `repository` in one go; marks end up in its folder."""
    fast = ["-c", "core.compression=1", "-c", "pack.compression=1", "fast-import", "--quiet", "--depth=0"]
    argv = ["git", "-C", str(repository), *fast, f"--export-marks={repository / '.git' / 'kab-marks'}"]
    try:
        with subprocess.Popen(argv, stdin=subprocess.PIPE) as importer:
            assert importer.stdin is not None
            _write_base(importer.stdin, tarball, source)
            planned = plan(changes, source.contents)
            for position, commit in enumerate(planned):
                _write_commit(importer.stdin, commit, source, AUTHORS[position % len(AUTHORS)])
    except BrokenPipeError as error:
        raise HostError("git fast-import ended early; it said why") from error
    if importer.returncode != 0:
        raise HostError(f"git fast-import ended with status {importer.returncode}")
    return planned


def _write_base(stream: IO[bytes], tarball: Path, source: Source) -> None:
    title = f"Linux {source.version}: Debian's linux-source-{SERIES}"
    stream.write(_head(BRANCH, 1, AUTHORS[0], EPOCH, f"{title}\n"))
    for mode, path, content in _members(tarball):
        if path in source.wanted:
            source.contents[path], source.modes[path] = content, mode
        _write_file(stream, mode, path, content)
    stream.write(f"\ntag {TAG}\nfrom :1\ntagger {AUTHORS[0]} {_stamp(EPOCH)}\n".encode() + _data(f"{title}\n"))


def _members(tarball: Path) -> Iterator[tuple[str, str, bytes]]:
    """Mode, path below the top folder and content of each file and link. Raises HostError."""
    with subprocess.Popen(["xz", "-dc", "-T0", tarball], stdout=subprocess.PIPE) as unpacker:
        assert unpacker.stdout is not None
        with tarfile.open(fileobj=unpacker.stdout, mode="r|", bufsize=1 << 20) as archive:
            for member in archive:
                path = member.name.partition("/")[2]
                if member.issym():
                    yield MODES["symlink"], path, member.linkname.encode()
                elif (extracted := archive.extractfile(member)) is not None:
                    yield MODES["executable" if member.mode & 0o100 else "plain"], path, extracted.read()
    if unpacker.returncode != 0:
        raise HostError(f"cannot unpack {tarball}")


def _write_commit(stream: IO[bytes], commit: Planned, source: Source, author: str) -> None:
    change = commit.change
    message = f"{change.title}\n\n{change.body}\n"
    if change.kind != "merge":
        message += f"\nSigned-off-by: {author}\n"
    stream.write(_head(SIDE if change.side else BRANCH, commit.mark, author, EPOCH + commit.mark * STEP, message))
    first, *others = commit.parents
    stream.write(f"from :{first}\n".encode() + b"".join(f"merge :{other}\n".encode() for other in others))
    for path, content in sorted(commit.files.items()):
        _write_file(stream, source.modes[path], path, content)
    stream.write(b"\n")


def _head(reference: str, mark: int, author: str, when: datetime, message: str) -> bytes:
    lines = f"commit {reference}\nmark :{mark}\nauthor {author} {_stamp(when)}\ncommitter {author} {_stamp(when)}\n"
    return lines.encode() + _data(message)


def _stamp(when: datetime) -> str:
    return f"{int(when.timestamp())} +0000"


def _data(text: str) -> bytes:
    content = text.encode()
    return f"data {len(content)}\n".encode() + content


def _write_file(stream: IO[bytes], mode: str, path: str, content: bytes) -> None:
    stream.write(f"M {mode} inline {path}\ndata {len(content)}\n".encode())
    stream.write(content)
    stream.write(b"\n")


def write_facts(repository: Path, source: Source, planned: Sequence[Planned]) -> list[dict[str, object]]:
    """Say in kab-history.json which commit is what."""
    marks = repository / ".git" / "kab-marks"
    hashes = {int(mark[1:]): sha for mark, sha in (line.split() for line in marks.read_text().splitlines())}
    marks.unlink()
    commits: list[dict[str, object]] = [
        {
            "sha": hashes[commit.mark],
            "kind": commit.change.kind,
            "branch": "side" if commit.change.side else "main",
            "title": commit.change.title,
        }
        for commit in planned
    ]
    facts = {
        "version": source.version,
        "tag": TAG,
        "base": hashes[1],
        "tip": hashes[planned[-1].mark],
        **{str(commit["kind"]): commit["sha"] for commit in commits if commit["kind"] in {"removes", "restores"}},
        "commits": commits,
    }
    (repository / ".git" / FACTS).write_text(json.dumps(facts, indent=1) + "\n")
    return commits


def git(repository: Path, *words: str) -> None:
    """Run git on the repository. Raises HostError."""
    run(["git", "-C", repository, *words], timeout_s=600)


def check_free(target: Path) -> None:
    """Raises ConfigError where `target` is more than an empty folder."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigError(f"{target} is there already", remedy="Name a folder that is not there, or remove it.")


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder beside `target` that takes its name when all went well, and is removed when not."""
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        temporary.replace(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def make(target: Path, tarball: Path, *, version: str, small: bool, checkout: bool) -> list[dict[str, object]]:
    """Make the repository from a tarball of `version`; what each commit is. Raises ConfigError, HostError."""
    changes = load_changes(small)
    source = Source(version=version, wanted=frozenset(edit.file for change in changes for edit in change.edits))
    with new_folder(target) as repository:
        git(repository, "init", "--quiet", "--initial-branch=main")
        say("importing the source and its history")
        planned = import_history(repository, tarball, source, changes)
        git(repository, "update-ref", "-d", SIDE)
        commits = write_facts(repository, source, planned)
        if checkout:
            say("checking out main")
            git(repository, "reset", "--quiet", "--hard", "main")
    return commits


def write_patches(repository: Path, into: Path) -> None:
    """The commits as files for `git am`, in the order of their dates; a merge has none."""
    git(repository, "format-patch", "--quiet", "--no-signature", "-o", str(into.absolute()), f"{TAG}..main")


def say(sentence: str) -> None:
    """Tell what takes time."""
    print(f"==> {sentence}", file=sys.stderr)


def main() -> int:
    """Parse the command line and go."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", metavar="DIR", type=Path, help="the repository to make")
    parser.add_argument("--small", action="store_true", help="fewer commits, every kind all the same")
    parser.add_argument("--patches", metavar="OUT", type=Path, help="write the commits as patches, too")
    parser.add_argument("--package", metavar="DEB", type=Path, help="a linux-source package that is here already")
    parser.add_argument("--no-checkout", dest="checkout", action="store_false", help="leave the work tree empty")
    arguments = parser.parse_args()
    begin = time.monotonic()
    try:
        target = arguments.directory.absolute()
        check_free(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".kab-") as scratch:
            package = arguments.package or newest_source(Path(scratch))
            tarball, version = unpack(package, Path(scratch))
            commits = make(target, tarball, version=version, small=arguments.small, checkout=arguments.checkout)
        if arguments.patches:
            write_patches(target, arguments.patches)
    except KabError as error:
        print(f"make_history: {error}", file=sys.stderr)
        return error.exit_code
    for commit in commits:
        print(f"{str(commit['sha'])[:12]}  {commit['kind']:<13} {commit['branch']}  {commit['title']}")
    say(f"done in {time.monotonic() - begin:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
