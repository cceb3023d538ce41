"""The git command, shielded: no configuration, hook, pager, prompt or network of the user's can change a result."""

import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.errors import ConfigError, HostError, KabError
from harness.git.clone import Clone
from harness.host import process
from harness.parse.foreign import printable

_TIMEOUT_S = 1800.0
# Only one that merges two revisions without a work tree will do.
OLDEST_GIT = "2.38"

_SETTINGS = {
    "advice.detachedHead": "false",
    "commit.gpgSign": "false",
    "core.attributesFile": "/dev/null",
    "core.autocrlf": "false",
    "core.excludesFile": "/dev/null",
    # The program that it may name would run on every look at the user's tree.
    "core.fsmonitor": "false",
    "core.hooksPath": "/dev/null",
    "core.quotePath": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
}
_MISSING = re.compile(
    r"unable to (read|find|parse)|(could|can)\s?not (read|parse)|missing (blob|tree|object|commit)|bad (object|tree)"
    r"|failed to read|promisor remote|not our ref|transport '.*' not allowed",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Git:
    """The git command in one folder."""

    folder: Path
    # Further variables of the environment (GIT_DIR, GIT_INDEX_FILE).
    variables: Mapping[str, str] = field(default_factory=dict)
    # Whose objects are read: says why one may be missing.
    clone: Clone | None = None

    def run(
        self,
        *arguments: str | Path,
        check: bool = True,
        stdin: bytes | None = None,
        variables: Mapping[str, str] | None = None,
        wrapper: Sequence[str | Path] = (),
    ) -> process.Completed:
        """Run ``git ARGUMENTS``; `wrapper` is a command that runs it.

        Raises HostError, or what ``failure`` makes of a status other than 0 with `check`.
        """
        done = process.run(
            [*wrapper, "git", *arguments],
            timeout_s=_TIMEOUT_S,
            check=False,
            stdin=stdin,
            env=environment(self.folder, {**self.variables, **(variables or {})}),
            cwd=self.folder,
        )
        if check and done.status != 0:
            raise self.failure(done)
        return done

    def with_settings(self, settings: Iterable[tuple[str, str]]) -> "Git":
        """The same git with more settings, each above what the repository's configuration says."""
        variables = dict(self.variables)
        count = int(variables.get("GIT_CONFIG_COUNT", 0))
        for key, value in settings:
            variables |= {f"GIT_CONFIG_KEY_{count}": key, f"GIT_CONFIG_VALUE_{count}": value}
            count += 1
        return replace(self, variables={**variables, "GIT_CONFIG_COUNT": str(count)})

    def text(
        self, *arguments: str | Path, stdin: bytes | None = None, variables: Mapping[str, str] | None = None
    ) -> str:
        """What ``git ARGUMENTS`` prints, without the white space at its ends. Raises as ``run``."""
        return self.run(*arguments, stdin=stdin, variables=variables).stdout.strip()

    def failure(self, done: process.Completed) -> KabError:
        """The error for a git that failed: of the user's clone where objects are missing, else of the host."""
        # git says names of files and revisions as they are.
        said = printable(done.stderr.strip() or done.stdout.strip(), lines=True)
        if "dubious ownership" in said:
            return ConfigError(
                f"git refuses to read {self.folder}: it belongs to another user",
                remedy=f"If you trust it: git config --global --add safe.directory {shlex.quote(str(self.folder))}",
            )
        if done.status == 129:
            return HostError(
                f"this git is too old: it does not know `{shlex.join(done.argv)}`",
                remedy=f"Install git {OLDEST_GIT} or newer.",
            )
        if self.clone is not None and _MISSING.search(said):
            return self.clone.lacks(said)
        return HostError(
            f"`{shlex.join(done.argv)}` failed with status {done.status} in {self.folder}:\n{said[-2000:]}"
        )


def environment(folder: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of every git: nothing of the user's git in it but the directories that are called safe."""
    settings = dict(_SETTINGS)
    count = int(variables.get("GIT_CONFIG_COUNT", 0))
    added = {f"GIT_CONFIG_KEY_{count + place}": key for place, key in enumerate(settings)}
    added |= {f"GIT_CONFIG_VALUE_{count + place}": value for place, value in enumerate(settings.values())}
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
        "LC_ALL": "C",
        "GIT_ATTR_NOSYSTEM": "1",
        # Of a folder that is no repository, the one around it is not meant.
        "GIT_CEILING_DIRECTORIES": str(folder.parent),
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_PAGER": "cat",
        "GIT_TERMINAL_PROMPT": "0",
        # GIT_NO_LAZY_FETCH is known from 2.45 on; this stops every transport of any git.
        "GIT_ALLOW_PROTOCOL": "none",
        **variables,
        **added,
        "GIT_CONFIG_COUNT": str(count + len(settings)),
    }


def trusted_folders() -> dict[str, str]:
    """What the user's own configuration calls ``safe.directory``, as variables for ``Git``."""
    done = process.run(
        ["git", "config", "--get-all", "safe.directory"], timeout_s=_TIMEOUT_S, check=False, cwd=Path("/")
    )
    folders = done.stdout.splitlines() if done.status == 0 else []
    variables = {f"GIT_CONFIG_KEY_{place}": "safe.directory" for place in range(len(folders))}
    variables |= {f"GIT_CONFIG_VALUE_{place}": folder for place, folder in enumerate(folders)}
    return {**variables, "GIT_CONFIG_COUNT": str(len(folders))}
