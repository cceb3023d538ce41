"""Patch series as history: a folder of patches, a quilt folder, or a mailbox, one commit for each patch."""

import logging
import re
import shlex
import tempfile
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path

from harness.errors import ConfigError, DoesNotApplyError, HostError
from harness.git.command import Git
from harness.git.derive import PERSON, commit_tree, some
from harness.host import process

_LOG = logging.getLogger(__name__)
_SUFFIXES = {".patch", ".diff", ".mbox", ".eml"}
_COVER = re.compile(r"(v\d+-)?0+-")
_BODY = re.compile(rb"^(diff |--- |Index: )", re.MULTILINE)
_MAIL = re.compile(rb"^(From |From:|Subject:)", re.MULTILINE)
_FILES = re.compile(
    r"^(?:error: patch failed: (?P<failed>.+):\d+|error: (?P<file>.+): (?:patch does not apply|does not exist in index"
    r"|already exists in index|does not match index)|U (?P<unmerged>.+))$",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class _Patch:
    """A patch as it lies on disk: one mail, or a bare diff."""

    name: str
    content: bytes
    # Leading folders of its file names to leave out.
    strip: int = 1
    # A mail without a patch may be a cover letter or an answer; a file of a series may not.
    may_be_empty: bool = True


@dataclass(frozen=True, slots=True)
class _Mail:
    """What ``git mailinfo`` reads in a patch."""

    author: str
    email: str
    date: str
    title: str
    body: str
    diff: bytes


def add_series(git: Git, base: str, source: Path) -> tuple[str, ...]:
    """Commits for the patches of `source`, the first on top of `base`, without a work tree.

    Raises DoesNotApplyError naming the patch and the files, ConfigError when `source` holds no patches; HostError.
    """
    source = source.expanduser().absolute()
    commits: list[str] = []
    try:
        with tempfile.TemporaryDirectory(prefix="kab-series-") as scratch:
            index = Path(scratch, "index")
            staged = Git(git.folder, {**git.variables, "GIT_INDEX_FILE": str(index)}, git.clone)
            staged.run("read-tree", base)
            for patch in _patches(staged, source, Path(scratch)):
                mail = _read(staged, patch, Path(scratch))
                if mail is not None:
                    commits.append(_commit(staged, commits[-1] if commits else base, patch, mail))
    except OSError as error:
        raise HostError(f"cannot read the patches of {source}: {error}") from error
    if not commits:
        raise ConfigError(f"{source} holds no patches", remedy="See `git format-patch`, or a quilt folder's `series`.")
    return tuple(commits)


def _patches(git: Git, source: Path, scratch: Path) -> list[_Patch]:
    if not source.exists():
        raise ConfigError(f"there is no {source}", remedy="Name a folder of patches, a quilt folder, or a mailbox.")
    if source.is_file():
        return _split(git, source, scratch)
    if (source / "series").is_file():
        return [_quilt(source, line) for line in _entries(source / "series")]
    files = sorted(path for path in source.iterdir() if path.suffix in _SUFFIXES and not _COVER.match(path.name))
    return [patch for path in files for patch in _split(git, path, scratch)]


def _entries(listing: Path) -> list[list[str]]:
    lines = (re.sub(r"(^|\s)#.*", "", line).split() for line in listing.read_text(errors="replace").splitlines())
    return [words for words in lines if words]


def _quilt(folder: Path, words: list[str]) -> _Patch:
    name, *options = words
    strip = 1
    for option in options:
        number = re.fullmatch(r"-p(\d+|ab)", option)
        if number is None:
            raise ConfigError(
                f"{folder / 'series'}: cannot use the option `{option}` of {name}", remedy="Only -pN is understood."
            )
        strip = 1 if number[1] == "ab" else int(number[1])
    path = folder / name
    if not path.is_file():
        raise ConfigError(f"{folder / 'series'} lists {name}, which is not there", remedy="Mend the list.")
    return _Patch(name, path.read_bytes(), strip, may_be_empty=False)


def _split(git: Git, path: Path, scratch: Path) -> list[_Patch]:
    content = path.read_bytes()
    if not _is_mail(content):
        return [_Patch(path.name, content, may_be_empty=False)]
    target = Path(tempfile.mkdtemp(dir=scratch))
    # -b: a file that is one mail without its "From " line is one mail.
    git.run("mailsplit", "-b", "-d6", f"-o{target}", path)
    mails = sorted(target.iterdir())
    names = [path.name] if len(mails) == 1 else [f"{path.name}, mail {place}" for place in range(1, len(mails) + 1)]
    return [_Patch(name, mail.read_bytes()) for name, mail in zip(names, mails, strict=True)]


def _is_mail(content: bytes) -> bool:
    body = _BODY.search(content)
    return _MAIL.search(content, 0, body.start() if body else len(content)) is not None


def _read(git: Git, patch: _Patch, scratch: Path) -> _Mail | None:
    """The parts of a patch; None for a mail without one."""
    content = patch.content
    if not _is_mail(content):
        content = f"From: unknown <unknown@localhost.invalid>\nSubject: {patch.name}\n\n".encode() + content
    message, diff = scratch / "message", scratch / "diff"
    done = git.run("mailinfo", "-b", "--encoding=UTF-8", message, diff, stdin=content, check=False)
    if done.status != 0 or not diff.read_bytes().strip():
        if done.status == 0 and patch.may_be_empty:
            _LOG.info("%s holds no patch: left out", patch.name)
            return None
        raise ConfigError(f"{patch.name} holds no patch", remedy="Take it out of the series.")
    fields = dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    return _Mail(
        author=fields.get("Author", "").strip() or "unknown",
        email=fields.get("Email", "").strip() or "unknown@localhost.invalid",
        date=fields.get("Date", ""),
        title=fields.get("Subject", "").strip() or patch.name,
        body=message.read_text(errors="replace").strip(),
        diff=diff.read_bytes(),
    )


def _commit(git: Git, parent: str, patch: _Patch, mail: _Mail) -> str:
    words = ("apply", "--cached", "--3way", "--whitespace=nowarn", f"-p{patch.strip}", "-")
    done = git.run(*words, stdin=mail.diff, check=False)
    if done.status != 0:
        raise _refused(git, parent, patch, done)
    person = {**PERSON, "GIT_AUTHOR_NAME": mail.author, "GIT_AUTHOR_EMAIL": mail.email}
    person |= {"GIT_AUTHOR_DATE": _iso(mail.date)} if _iso(mail.date) else {}
    message = f"{mail.title}\n\n{mail.body}\n" if mail.body else f"{mail.title}\n"
    return commit_tree(git, git.text("write-tree"), (parent,), message, **person)


def _refused(git: Git, parent: str, patch: _Patch, done: process.Completed) -> Exception:
    said = done.stderr
    if "corrupt patch" in said or "No valid patches" in said or "unrecognized input" in said:
        return ConfigError(f"{patch.name} is damaged: {said.strip()}", remedy="Get the patch again.")
    files = list(dict.fromkeys(next(filter(None, found.groups())) for found in _FILES.finditer(said)))
    if git.clone is not None and git.clone.promisor is not None:
        # To `git apply` a file that was not fetched is one that does not match.
        for name in files:
            blob = git.run("rev-parse", "--verify", "--quiet", f"{parent}:{name}", check=False).stdout.strip()
            if blob and git.run("cat-file", "-e", blob, check=False).status != 0:
                return git.clone.lacks(f"{name} as it is in {parent[:12]}")
    where = some(files) if files else shlex.join([said.strip()[-500:]])
    return DoesNotApplyError(
        f"the patch {patch.name} does not apply to {parent[:12]}: conflict in {where}",
        remedy="Is it made for another revision? Name the one that the series is based on.",
    )


def _iso(date: str) -> str:
    """A mail's date for git; empty when it is none."""
    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return ""
    return moment.replace(tzinfo=moment.tzinfo or UTC).isoformat(timespec="seconds")
