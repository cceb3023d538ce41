"""Tables are read by the csv module, numbers come back exactly, and no text is a formula."""

import csv
import io

import factories
import matrices
import pytest

from harness.export.csv import BOOT_COLUMNS, CELL_COLUMNS, to_csv
from harness.export.formats import CsvRows

pytestmark = pytest.mark.unit

VIEWS = [matrices.gate, matrices.matrix_run, matrices.unfinished, matrices.alone, matrices.hostile]


def read(text: str) -> list[dict[str, str]]:
    rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    assert all(None not in row and None not in row.values() for row in rows)
    return rows


@pytest.mark.parametrize("make", VIEWS)
@pytest.mark.parametrize(("what", "columns"), [(CsvRows.CELLS, CELL_COLUMNS), (CsvRows.BOOTS, BOOT_COLUMNS)])
def test_every_row_has_every_column(make, what: CsvRows, columns) -> None:
    text = to_csv(make(), what)
    assert tuple(next(csv.reader(io.StringIO(text)))) == columns
    rows = read(text)
    # One line each, for tools that read lines.
    assert len(rows) == len(text.splitlines()) - 1
    for row in rows:
        for value in row.values():
            try:
                float(value)
            except ValueError:
                assert not value.startswith(("=", "+", "-", "@", "\t", "\r")), value


def test_a_row_for_each_cell_and_metric() -> None:
    rows = read(to_csv(matrices.gate()))
    assert {row["cell"] for row in rows} == {cell.name for cell in matrices.cells()}
    [iops] = [row for row in rows if (row["cell"], row["metric"]) == ("shared-dio/btrfs/virtio", "write_iops")]
    view = matrices.gate()
    comparison = view.cells[1].result.metrics[0].comparison
    assert float(iops["candidate_value"]) == comparison.candidate
    assert float(iops["ratio_low"]) == comparison.low
    assert (iops["counts"], iops["margin"], iops["metric_verdict"], iops["unit"]) == ("1", "0.05", "slower", "1/s")
    [queue] = [row for row in rows if (row["cell"], row["metric"]) == ("shared-dio/btrfs/virtio", "queue_depth")]
    assert (queue["counts"], queue["margin"]) == ("0", "")
    [gone] = [row for row in rows if row["cell"] == "database-pages/ext4/virtio"]
    assert (gone["cell_verdict"], gone["exit_code"], gone["metric"], gone["candidate"]) == ("unmeasured", "129", "", "")


def test_a_row_for_each_boot_and_metric() -> None:
    rows = read(to_csv(matrices.gate(), CsvRows.BOOTS))
    boots = {(row["boot_run"], row["block"], row["arm"], row["attempt"]) for row in rows}
    assert len(boots) == matrices.gate().outcome.boots
    crashed = [row for row in rows if row["outcome"] == "crashed"]
    assert len(crashed) == 2
    assert all(row["metric"] == "" and row["message"] == factories.PANIC.message for row in crashed)
    trial = matrices.gate().cells[0].run.trials[0]
    [row] = [
        row
        for row in rows
        if row["cell"] == "shared-dio/btrfs/nvme" and row["metric"] == "write_iops"
        and (row["block"], row["order"]) == ("0", "0")
    ]  # fmt: skip
    assert float(row["value"]) == sorted(trial.samples["write_iops"])[1]
    assert row["iterations"] == "3"


def test_formulas_of_others_are_texts() -> None:
    rows = read(to_csv(matrices.hostile()))
    reasons = {row["reason"] for row in rows}
    assert f"'{matrices.FORMULAS[0]}" in reasons
    assert f"'{matrices.FORMULAS[2]}" in reasons
    messages = {row["message"] for row in read(to_csv(matrices.hostile(), CsvRows.BOOTS))}
    assert f"'{matrices.FORMULAS[1]}" in messages
