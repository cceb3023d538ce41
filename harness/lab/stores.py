"""The databases of results themselves: what is in one, what waits for one, and runs brought from one to another."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from harness.errors import ConfigError, HostError
from harness.lab.workspace import Workspace
from harness.model.check import Check, CheckStatus
from harness.store import SqlStore
from harness.store.contents import StoreContents as StoreContents
from harness.store.contents import contents_of, look_at
from harness.store.copying import Copied as Copied
from harness.store.copying import copy_store
from harness.store.engine import database_url, display_name
from harness.store.failures import AwayError
from harness.store.schema import SCHEMA_VERSION
from harness.store.served import ServedStore, kept_for
from harness.store.served import Waiting as Waiting
from harness.userpath import user_path


def waiting(workspace: Workspace) -> Waiting:
    """What is kept on this host for the server of the results; nothing where they are in a file."""
    store = workspace.store
    return store.waiting() if isinstance(store, ServedStore) else Waiting()


def deliver(workspace: Workspace, progress: Callable[[int, int], None]) -> Copied:
    """As Lab.deliver."""
    store = workspace.store
    if not isinstance(store, ServedStore):
        raise ConfigError(
            f"results are in a file ({store.name}): nothing waits for a server",
            remedy="Set `database` in the settings, or KAB_DATABASE, to that of the server.",
        )
    return store.deliver(progress)


def contents(workspace: Workspace, where: str | None) -> StoreContents:
    """As Lab.store_contents."""
    if where is None:
        return contents_of(workspace.store)
    with ExitStack() as stack:
        return contents_of(_opened(workspace, stack, where, must_exist=True))


def copy(workspace: Workspace, source: str, target: str, progress: Callable[[int, int], None]) -> Copied:
    """As Lab.copy_store."""
    with ExitStack() as stack:
        ours = _opened(workspace, stack, source, must_exist=True)
        theirs = _opened(workspace, stack, target, must_exist=False)
        if ours.name == theirs.name:
            raise ConfigError(f"{source} and {target} are the same database", remedy="Name two.")
        return copy_store(ours, theirs, progress=progress)


def _opened(workspace: Workspace, stack: ExitStack, where: str, *, must_exist: bool) -> SqlStore:
    path = where if "://" in where else str(user_path(where).resolve())
    url = database_url(path)
    if must_exist and url.get_backend_name() == "sqlite" and "://" not in where and not user_path(where).is_file():
        raise ConfigError(
            f"there is no database {where}", remedy="Name a file, or a URL as postgresql://USER@HOST/NAME."
        )
    return stack.enter_context(SqlStore(path, note=workspace.progress.note))


def database_check(workspace: Workspace) -> Check:
    """Whether the database of the results can be used, for `kab doctor`; nothing is made, migrated or delivered."""
    where = workspace.settings.database or str(workspace.paths.database)
    name = "results"
    try:
        url = database_url(where)
        file = url.get_backend_name() == "sqlite"
        kept = Waiting() if file else kept_for(where, outboxes=workspace.paths.outboxes)
        if file and not Path(url.database or "").exists():
            return Check(name=name, status=CheckStatus.OK, detail=f"none yet; {display_name(url)} will hold them")
        try:
            found = look_at(where)
        except AwayError as error:
            detail = f"{error.message}; {_kept_words(kept)}"
            remedy = f"{error.remedy} Runs go on meanwhile: what they store is kept here."
            return Check(name=name, status=CheckStatus.WARN, detail=detail, remedy=remedy)
    except (ConfigError, HostError) as error:
        return Check(name=name, status=CheckStatus.FAIL, detail=error.message, remedy=error.remedy)
    detail = f"{found.name} holds {found.runs} runs" if found.schema else f"{found.name} is empty"
    if found.schema and found.schema < SCHEMA_VERSION:
        detail += f", in schema version {found.schema}, which the next run brings to {SCHEMA_VERSION}"
    if kept.runs or kept.refused:
        refused = f"; {len(kept.refused)} runs that it refused stay here" if kept.refused else ""
        detail = f"{detail}; {_kept_words(kept)}{refused}"
        return Check(name=name, status=CheckStatus.WARN, detail=detail, remedy="Run `kab store deliver`.")
    return Check(name=name, status=CheckStatus.OK, detail=detail)


def _kept_words(kept: Waiting) -> str:
    return f"{kept.trials} boots of {kept.runs} runs wait here for it"
