"""The repository of our own beside the user's: it borrows the user's objects and holds what is derived from them.

Nothing of the user's is written. What git does do is to set the time of an object of the user's that we would have
written too, which keeps `git gc` from dropping it.
"""

import hashlib
import re
import secrets
import shutil
from pathlib import Path

from harness.errors import ConfigError, HostError
from harness.git.clone import Clone
from harness.git.command import Git, trusted_folders
from harness.host.files import write_atomically
from harness.host.locks import lock
from harness.parse.foreign import printable
from harness.userpath import user_path

_LOCK_TIMEOUT_S = 120.0
_ALTERNATES = "objects/info/alternates"


def look_at(tree: Path) -> tuple[Git, Clone]:
    """The user's repository at `tree`: a work tree's top, a linked work tree, or a bare one. Raises ConfigError."""
    try:
        tree = user_path(tree).absolute()
        there = tree.is_dir()
    except (OSError, ValueError) as error:
        # A name that is too long, or one with a NUL.
        raise ConfigError(
            f"cannot look at {printable(str(tree))}: {printable(str(error), limit=200)}",
            remedy="Name a git work tree, or a bare repository.",
        ) from error
    if not there:
        raise ConfigError(f"there is no folder {tree}", remedy="Name a git work tree, or a bare repository.")
    git = Git(tree.resolve(), trusted_folders())
    words = ("--path-format=absolute", "--show-object-format", "--git-common-dir", "--git-path", "objects")
    done = git.run("rev-parse", *words, "--git-path", "shallow", check=False)
    if done.status != 0:
        if "not a git repository" in done.stderr:
            raise ConfigError(
                f"{tree} is not a git repository", remedy="Name the top of a git work tree, or a bare repository."
            )
        failure = git.failure(done)
        raise ConfigError(failure.message, remedy=failure.remedy)
    lines = done.stdout.splitlines()
    if len(lines) != 4:
        raise ConfigError(f"{tree}: a repository in a folder whose name has a line break cannot be used")
    object_format, common, objects, shallow = lines
    clone = Clone(
        tree=tree,
        common=Path(common),
        objects=Path(objects),
        object_format=object_format,
        boundary=frozenset(_lines(Path(shallow))),
        promisor=_promisor(git),
    )
    return git, clone


def unfiltered(git: Git) -> Git:
    """The same git where no attribute, be it of the tree or of the repository, makes a file run a program.

    `git status` sends a file whose time has changed through the clean filter that its attributes name. Raises
    ConfigError for a filter whose name is no text.
    """
    # By names, and not by attributes: what has no program cannot run one, whoever names it.
    listed = git.run("config", "-z", "--name-only", "--get-regexp", r"^filter\.", check=False).stdout
    if "\ufffd" in listed:
        # Such a name cannot be said to git here, so its program could not be kept from running.
        raise ConfigError(f"{git.folder}: its configuration names a filter in bytes that are no UTF-8")
    filters = sorted({key.rpartition(".")[0] for key in listed.split("\0") if key})
    return git.with_settings(
        (f"{name}.{key}", value)
        for name in filters
        for key, value in (("clean", ""), ("smudge", ""), ("process", ""), ("required", "false"))
    )


def prepare(clone: Clone, folder: Path) -> Git:
    """Our own bare repository for `clone` below `folder`, made where missing. Raises HostError."""
    name = own_name(clone)
    path = folder / name
    with lock(
        folder / f"{name}.lock", what=f"preparing a git repository beside {clone.tree}", timeout_s=_LOCK_TIMEOUT_S
    ):
        try:
            if not (path / "HEAD").is_file():
                _create(clone, path)
            _borrow(clone, path)
        except OSError as error:
            raise HostError(
                f"cannot prepare {path}: {error.strerror}", remedy="Free some space, or mend the folder's permissions."
            ) from error
    return Git(path, {"GIT_DIR": str(path)}, clone)


def own_name(clone: Clone) -> str:
    """The file name of our own repository: readable, and different for each repository of the user's."""
    common = clone.common
    word = common.parent.name if common.name == ".git" else common.name.removesuffix(".git")
    digest = hashlib.sha256(str(common).encode(errors="surrogateescape")).hexdigest()[:12]
    return f"{re.sub(r'[^A-Za-z0-9._-]', '-', word)}-{digest}.git"


def _create(clone: Clone, path: Path) -> None:
    # Under a temporary name first: one that was killed here must not be taken for a whole one.
    for left in path.parent.glob(f".{path.name}.*.tmp"):
        shutil.rmtree(left)
    if path.exists():
        shutil.rmtree(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    Git(path.parent).run(
        "init", "--quiet", "--bare", "--template=", f"--object-format={clone.object_format}", temporary
    )
    temporary.rename(path)


def _borrow(clone: Clone, path: Path) -> None:
    """Let our own repository see the user's objects, and the user's edges of history, as they are now."""
    # Git follows alternates of alternates, but not relative ones from everywhere: name them all.
    wanted = "".join(f"{place}\n" for place in _stores(clone.objects))
    if _read(path / _ALTERNATES) != wanted:
        write_atomically(path / _ALTERNATES, wanted.encode(errors="surrogateescape"))
    boundary = "".join(f"{sha}\n" for sha in sorted(clone.boundary))
    if not boundary:
        (path / "shallow").unlink(missing_ok=True)
    elif _read(path / "shallow") != boundary:
        write_atomically(path / "shallow", boundary.encode())


def _stores(objects: Path) -> list[Path]:
    found, left = [], [objects]
    while left:
        place = left.pop(0).resolve()
        if place in found:
            continue
        found.append(place)
        left += [place / line for line in _lines(place / "info/alternates") if not line.startswith(("#", '"'))]
    return found


def _promisor(git: Git) -> str | None:
    done = git.run("config", "--get-regexp", r"^(remote\..*\.promisor|extensions\.partialclone)$", check=False)
    for line in done.stdout.splitlines():
        key, _, value = line.partition(" ")
        if key.startswith("extensions."):
            return value
        if value == "true":
            return key.removeprefix("remote.").removesuffix(".promisor")
    return None


def _lines(path: Path) -> list[str]:
    return [line for line in _read(path).splitlines() if line]


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="surrogateescape")
    except FileNotFoundError:
        return ""
