"""A file in any format is good if and only if the exit status is 0, and no failure of the host accuses a kernel."""

from dataclasses import replace

import factories
import matrices
import pytest

from harness.errors import ExitCode
from harness.export.statuses import Status, cell_message, cell_status, metric_status
from harness.model.experiment import Arm
from harness.model.matrix import CellVerdict
from harness.model.trial import Outcome

pytestmark = pytest.mark.unit

FATES = [
    (matrices.NOT_WORSE, Status.PASSED),
    (matrices.FASTER, Status.PASSED),
    (matrices.SAME, Status.PASSED),
    (matrices.SLOWER, Status.FAILED),
    (matrices.FAULTY, Status.FAILED),
    (matrices.WAIVED, Status.WAIVED),
    (matrices.OPEN, Status.UNDECIDED),
    (matrices.LOST, Status.LOST),
    (matrices.GONE, Status.ABSENT),
]


@pytest.mark.parametrize("view", [matrices.gate(), matrices.matrix_run(), matrices.unfinished(), matrices.alone()])
def test_good_is_what_has_status_0(view) -> None:
    for cell in view.cells:
        status = cell_status(cell)
        assert status.is_good == (cell.result.exit_code is ExitCode.GOOD)
        if status.is_good:
            assert all(metric_status(found, status).is_good for found in cell.result.metrics)


def test_every_verdict_has_its_status() -> None:
    seen = set()
    for view, fates in ((matrices.gate(), matrices.GATE), (matrices.matrix_run(), matrices.PLAIN)):
        for cell, fate in zip(view.cells, fates, strict=True):
            expected = next(status for one, status in FATES if one is fate)
            assert cell_status(cell) is expected
            seen.add(cell.result.verdict)
    assert seen == set(CellVerdict)


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        ([Outcome.LOST, Outcome.LOST], Status.LOST),
        ([Outcome.LOST, Outcome.WORKLOAD_FAILED], Status.BROKEN),
        ([Outcome.USERSPACE_DIED], Status.BROKEN),
        # A baseline that crashes leaves its candidate unjudged; the host has no part in it.
        ([Outcome.CRASHED, Outcome.LOST], Status.UNDECIDED),
        ([], Status.UNDECIDED),
    ],
)
def test_what_was_never_measured_is_told_apart(outcomes, status: Status) -> None:
    trials = [
        factories.failed(factories.block_spec(0, 0, Arm.BASELINE, attempt=place), outcome, "so it went")
        for place, outcome in enumerate(outcomes)
    ]
    [cell] = matrices.alone(matrices.OPEN).cells
    assert cell_status(replace(cell, run=replace(cell.run, trials=tuple(trials)))) is status


def test_a_metric_that_decides_nothing_is_not_told_as_bad() -> None:
    [cell] = matrices.alone(matrices.SLOWER).cells
    [slower] = cell.result.metrics
    assert metric_status(slower, Status.FAILED) is Status.FAILED
    # A comparison may be faster by one metric while another is slower.
    assert metric_status(slower, Status.PASSED) is Status.NOTED
    assert metric_status(slower, Status.WAIVED) is Status.WAIVED
    assert metric_status(replace(slower, verdict=CellVerdict.INCONCLUSIVE), Status.PASSED) is Status.NOTED


def test_a_waived_cell_says_whose_it_is() -> None:
    waived = next(cell for cell in matrices.gate().cells if cell.result.waiver)
    said = cell_message(waived.result)
    assert said.startswith("slower: write_iops is worse than 5 %")
    assert "by storage@distribution.example: known since 7.1" in said
