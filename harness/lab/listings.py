"""What is kept, one after the other: runs with how they ended, and whether cached content is sound."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.errors import HostError
from harness.kernels.cache import listed
from harness.lab.workspace import Workspace
from harness.model.run import Run

UNFINISHED = "unfinished"
DAMAGED = "damaged"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunListing:
    """Stored runs, newest first, each with its verdict, its answer, `UNFINISHED` or `DAMAGED`."""

    runs: tuple[tuple[Run, str], ...]
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


def list_runs(workspace: Workspace, limit: int) -> RunListing:
    """As Lab.runs."""
    from harness.store.damage import DamagedError

    store = workspace.store
    damaged: list[HostError] = list(store.damaged(limit))
    found = []
    for run in store.runs(limit):
        try:
            decision, outcome = store.decision(run.id), store.bisections.outcome(run.id)
            ended = str(decision.verdict if decision else outcome.answer if outcome else UNFINISHED)
        except DamagedError as error:
            damaged.append(error)
            ended = DAMAGED
        found.append((run, ended))
    return RunListing(runs=tuple(found), damaged=tuple(damaged))


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
