"""Nights of invented matrices in a real store, for tests of the site that is made of it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import matrices
import nightly

from harness.lab.workspace import Workspace
from harness.model.matrix import MatrixPlan, MatrixView
from harness.model.run import Parent, RunState, SubrunRole

# What came of the eight cells in each night, oldest first.
NIGHTS: tuple[tuple[matrices.Fate, ...], ...] = (
    (matrices.NOT_WORSE,) * 8,
    (matrices.NOT_WORSE,) * 5 + (matrices.OPEN, matrices.NOT_WORSE, matrices.NOT_WORSE),
    matrices.GATE,
)


def night(number: int, fates: Sequence[matrices.Fate] = matrices.GATE, *, title: str = "release gate") -> MatrixView:
    """The matrix of a night, with runs of its own."""
    run_id = f"202611{10 + number:02d}-2310-{title.replace(' ', '')[:4]}"
    later = timedelta(days=number - 14)

    def own(text: str) -> str:
        return f"{run_id[:8]}-{text[-4:]}-{run_id[-4:]}"

    made = matrices.view(
        MatrixPlan(title=title, cells=matrices.cells(), policy=matrices.gate().plan.policy, waivers=(matrices.WAIVER,)),
        fates,
        verb="gate",
        run_id=run_id,
    )
    cells = tuple(
        replace(
            one,
            run=None
            if one.run is None
            else replace(
                one.run,
                id=own(one.run.id),
                digest=f"{number:02d}{one.run.digest[2:]}",
                created=one.run.created + later,
                parent=Parent(run_id=run_id, role=SubrunRole.CELL, place=one.cell.name),
            ),
            result=replace(one.result, run_id=own(one.result.run_id) if one.result.run_id else None),
        )
        for one in made.cells
    )
    return replace(
        made,
        run=replace(made.run, created=made.run.created + later),
        cells=cells,
        outcome=replace(made.outcome, cells=tuple(one.result for one in cells)),
    )


def stored(workspace: Workspace, view: MatrixView) -> MatrixView:
    """The view, with all of it in the store."""
    store = workspace.store
    store.matrices.create(replace(view.run, state=RunState.OPEN, finished=None), view.plan)
    for cell in view.cells:
        if cell.run is not None:
            store.create_run(cell.run)
            if cell.decision is not None:
                store.finish(cell.run.id, cell.decision)
    if not view.open:
        store.matrices.finish(view.run.id, view.outcome)
    return view


def filled(workspace: Workspace) -> None:
    """Three nights of a gate, and an alarm of one of its cells."""
    for number, fates in enumerate(NIGHTS, 1):
        stored(workspace, night(number, fates))
    name = replace(nightly.SERIES, matrix="release gate", cell="shared-dio/btrfs/virtio", series="debian:7.2")
    workspace.store.alarms.tell(replace(nightly.ALARM, name=name))
