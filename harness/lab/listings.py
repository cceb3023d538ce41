"""What is kept, one after the other: runs with how they ended, and whether cached content is sound."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import HostError
from harness.kernels.cache import listed
from harness.lab.workspace import Workspace
from harness.model.matrix import MATRIX_VERBS
from harness.model.run import Run
from harness.report.wording import counted

if TYPE_CHECKING:
    from harness.store import SqlStore

UNFINISHED = "unfinished"
DAMAGED = "damaged"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunListing:
    """Stored runs, newest first, each with its verdict, its answer, `UNFINISHED` or `DAMAGED`."""

    runs: tuple[tuple[Run, str], ...]
    # Id of a matrix -> its title and how many cells it has.
    titles: Mapping[str, str]
    # What cannot be read, each with what can be done.
    damaged: tuple[HostError, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A kernel of the cache, or a guest image, after all of its content was read."""

    name: str
    # "" for an image.
    digest: str
    # The damaged files in words; "" for what is sound.
    damage: str
    # Whether it was removed for that: not where another process uses it.
    removed: bool


def list_runs(workspace: Workspace, limit: int, *, cells: bool = False) -> RunListing:
    """As Lab.runs."""
    from harness.store.damage import DamagedError

    store = workspace.store
    damaged: list[HostError] = list(store.damaged(limit, cells=cells))
    found = []
    titles = {}
    for run in store.runs(limit, cells=cells):
        try:
            ended = _ended(store, run)
            plan = store.matrices.plan(run.id) if run.verb in MATRIX_VERBS else None
            if plan is not None:
                titles[run.id] = f"{plan.title} ({counted(len(plan.cells), 'cell')})"
        except DamagedError as error:
            damaged.append(error)
            ended = DAMAGED
        found.append((run, ended))
    return RunListing(runs=tuple(found), titles=titles, damaged=tuple(damaged))


def _ended(store: "SqlStore", run: Run) -> str:
    """How a run ended, in a word. Raises DamagedError."""
    if run.verb in MATRIX_VERBS:
        from harness.report.matrix.claims import code_word

        matrix = store.matrices.outcome(run.id)
        return code_word(matrix.exit_code, gates=run.verb != "run") if matrix else UNFINISHED
    decision, outcome = store.decision(run.id), store.bisections.outcome(run.id)
    return str(decision.verdict if decision else outcome.answer if outcome else UNFINISHED)


def verify(workspace: Workspace, specs: Sequence[str]) -> Iterator[Verified]:
    """As Lab.verify."""
    for kernel in workspace.kernels.verify(specs):
        yield Verified(
            name=kernel.release or "(unknown)",
            digest=kernel.digest,
            damage=listed(kernel.damaged) if kernel.damaged else "",
            removed=kernel.removed,
        )
    for image in workspace.images.all() if not specs else ():
        damaged = workspace.images.damage(image)
        if damaged:
            workspace.images.remove(image)
        yield Verified(name=image.name, digest="", damage=listed(damaged) if damaged else "", removed=bool(damaged))
