"""What is written as KTAP is read by tap.py (its top level), whatever the texts in it.

Nesting is read by the kernel's own reader in tests/integration/test_ktap_reader.py.
"""

import re
from dataclasses import replace

import matrices
import pytest
from tap.parser import Parser

from harness.export.ktap import to_ktap

pytestmark = pytest.mark.unit

VIEWS = [matrices.gate, matrices.matrix_run, matrices.unfinished, matrices.alone, matrices.hostile]


def read(view) -> list:
    """Lines of the top level that are results."""
    return [line for line in Parser().parse_text(to_ktap(view)) if line.category == "test"]


@pytest.mark.parametrize("make", VIEWS)
def test_the_plan_and_every_cell_are_read(make) -> None:
    view = make()
    lines = list(Parser().parse_text(to_ktap(view)))
    [plan] = [line for line in lines if line.category == "plan"]
    results = read(view)
    assert plan.expected_tests == len(results) == len(view.cells) + view.open
    assert [line.number for line in results] == list(range(1, len(results) + 1))
    assert all(line.ok for line in results) == (view.exit_code == 0)
    cells = results[: len(view.cells)]
    assert [line.ok for line in cells] == [cell.result.exit_code == 0 for cell in view.cells]
    assert [line.skip for line in cells] == [cell.result.waiver is not None for cell in view.cells]
    assert len({line.description for line in results}) == len(results)


def test_what_is_not_finished_is_not_good() -> None:
    *_, last = read(replace(matrices.gate([matrices.NOT_WORSE] * 8), open=True))
    assert (last.ok, last.description.strip()) == (False, "finished")
    assert last.directive.text.startswith("ERROR ")


def test_directives_and_reasons() -> None:
    results = read(matrices.gate())
    assert results[1].description.strip() == "shared-dio/btrfs/virtio"
    assert results[1].directive.text == "slower: write_iops is worse than 5 %: -24 %"
    assert results[2].directive.text.startswith("ERROR inconclusive: ")
    assert results[4].directive.text.startswith("SKIP slower: ")
    assert "storage@distribution.example" in results[4].directive.text
    assert results[6].directive.text.startswith("ERROR unmeasured: cannot start nbdkit")


def test_metrics_are_nested_by_two_spaces_below_a_version_line() -> None:
    lines = to_ktap(matrices.gate()).splitlines()
    start = lines.index("  # Subtest: shared-dio/btrfs/virtio")
    assert lines[start - 1] == "  KTAP version 1"
    assert lines[start + 1] == "  1..2"
    assert lines[start + 2].startswith("  not ok 1 write_iops # write_iops -24 %")
    assert lines[start + 3].startswith("  ok 2 write_clat_p99 # ")


def test_nothing_in_a_message_is_taken_for_a_line_or_a_directive() -> None:
    text = to_ktap(matrices.hostile())
    assert "forged" in text
    for line in text.splitlines():
        assert re.match(r"(  )?(KTAP version 1$|1\.\.\d+$|# |(not )?ok \d+ [^#]+ # [^#]*$)", line), line
        assert line.isprintable() or "\ufffe" in line
    skipped = [line for line in text.splitlines() if "# SKIP" in line and "ok" in line.split()[:2]]
    assert len(skipped) == 2
    assert all("# SKIP slower" in line for line in skipped)


def test_what_ends_the_kernels_log_does_not_end_the_results() -> None:
    view = matrices.alone(
        matrices.Fate(
            verdict=matrices.CellVerdict.FAULTY,
            reason="reboot: System halted",
            broken=(matrices.crash(1, message="Kernel panic - not syncing: VFS: Unable to mount root fs"),),
        )
    )
    text = to_ktap(view)
    assert "System halted" in text
    assert "Unable to mount root" in text
    assert not re.search("List of all partitions:|Kernel panic - not syncing: VFS:|reboot: System halted", text)
