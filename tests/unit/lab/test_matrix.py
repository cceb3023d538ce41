"""A matrix through the laboratory: what is told before the first boot, and what takes single cells only."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from labs import InventedBench, InventedKernels, InventedLab
from ladders import World, kernel

from harness.config import build_experiment, load_workloads
from harness.errors import BuildError, ConfigError, ExitCode, HostError, KabError, NoKernelError
from harness.interfaces import NullProgress
from harness.lab import Lab, request
from harness.lab.matrixviews import matrix_view
from harness.model.arch import ARM64
from harness.model.kernel import Kernel
from harness.model.matrix import Cell, CellVerdict, FailKind, GatePolicy, MatrixPlan, Waiver
from harness.model.run import RunState

pytestmark = pytest.mark.unit

FAST, SLOW = "debian:6.1.192-2", "debian:6.12.43-1"


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAB_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("KAB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("KAB_SETTINGS", str(tmp_path / "settings.yaml"))


class Noted(NullProgress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


class Kernels(InventedKernels):
    """Those of a ladder, but for some."""

    def __init__(self, missing: dict[str, KabError]) -> None:
        self.missing = missing
        self.asked: list[str] = []

    def resolve(self, spec: str) -> Kernel:
        self.asked.append(spec)
        if spec in self.missing:
            raise self.missing[spec]
        found = kernel(spec)
        return replace(found, architecture=ARM64) if spec.endswith("-arm") else found


@pytest.fixture
def lab() -> Iterator[Lab]:
    with InventedLab.of(World())(Noted()) as opened:
        opened.__dict__["kernels"] = Kernels({})
        yield opened


def cell(name: str, candidate: str = SLOW, **options: str) -> Cell:
    asked = request(baseline=FAST, candidate=candidate, seed="3", **options)
    return Cell(name=name, axes={"fs": name}, experiment=build_experiment(asked, load_workloads()))


def plan(*cells: Cell) -> MatrixPlan:
    return MatrixPlan(title="mine", cells=cells)


def test_a_matrix_from_plan_to_view(lab: Lab) -> None:
    asked = plan(cell("btrfs"), cell("ext4", candidate=FAST, fs="ext4", margin="40%"))
    run, outcome = lab.measure_matrix(asked, place=request(accel="tcg"), command=("kab", "run", "mine.yaml"))
    assert [result.verdict for result in outcome.cells] == [CellVerdict.SLOWER, CellVerdict.SAME]
    assert (run.verb, run.state, run.command) == ("run", RunState.FINISHED, ("kab", "run", "mine.yaml"))
    found = matrix_view(lab)
    assert found.run == run
    assert found.outcome == outcome
    second = found.cells[1].run
    assert second is not None
    # How to repeat a cell alone.
    assert second.command == (
        "kab", "ab", FAST, FAST, "--fs", "ext4", "--margin", "40%", "--seed", "3", "--accel", "tcg",
    )  # fmt: skip
    # Each kernel is looked for once.
    assert lab.kernels.asked == [FAST, SLOW]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("error", "verdict", "trouble"),
    [
        (NoKernelError("no suite offers 7.9"), CellVerdict.UNMEASURED, ExitCode.USAGE),
        (HostError("the mirror does not answer"), CellVerdict.UNMEASURED, ExitCode.HOST),
        (BuildError("it does not build"), CellVerdict.FAULTY, None),
    ],
)
def test_a_kernel_that_is_gone_takes_its_cells_and_says_so(
    lab: Lab, error: KabError, verdict: CellVerdict, trouble: ExitCode | None
) -> None:
    lab.kernels.missing["debian:7.9"] = error  # type: ignore[attr-defined]
    _, outcome = lab.measure_matrix(plan(cell("gone", candidate="debian:7.9"), cell("here")))
    gone, here = outcome.cells
    assert (gone.verdict, gone.trouble, gone.run_id) == (verdict, trouble, None)
    assert gone.fails == ((FailKind.FAULT,) if verdict is CellVerdict.FAULTY else ())
    assert error.message in gone.reason
    assert gone.baseline is not None
    assert gone.candidate is None
    assert here.verdict is CellVerdict.SLOWER
    assert f"debian:7.9 cannot be had, and its cells cannot be measured: {error.message}" in lab.progress.notes  # type: ignore[attr-defined]


def test_where_no_kernel_can_be_had_nothing_is_stored(lab: Lab) -> None:
    lab.kernels.missing[FAST] = HostError("the mirror does not answer")  # type: ignore[attr-defined]
    with pytest.raises(HostError, match="the mirror does not answer"):
        lab.measure_matrix(plan(cell("a"), cell("b")))
    assert not lab.store.runs()


def test_what_the_plan_makes_impossible_is_told_before_any_kernel(lab: Lab) -> None:
    bad = cell("bad")
    workload = replace(bad.experiment.workload, template="/nonexistent.fio.j2")
    bad = replace(bad, experiment=replace(bad.experiment, workload=workload))
    with pytest.raises(ConfigError, match=r"cell bad: .*nonexistent"):
        lab.measure_matrix(plan(cell("a"), bad))
    assert not lab.kernels.asked  # type: ignore[attr-defined]


def test_kernels_of_two_architectures_are_refused_with_the_cell(lab: Lab) -> None:
    with pytest.raises(ConfigError, match=r"cell b: .*two architectures"):
        lab.measure_matrix(plan(cell("a"), cell("b", candidate=f"{SLOW}-arm")))
    assert not lab.store.runs()


def test_room_and_devices_are_looked_at_before_the_first_boot(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    refused: dict[str, KabError] = {"ext4": HostError("too little memory")}

    def check(_bench: object, experiment: object) -> None:
        if error := refused.get(experiment.filesystem.type):  # type: ignore[attr-defined]
            raise error

    monkeypatch.setattr(InventedBench, "check", check)
    asked = plan(cell("a"), cell("b", fs="ext4"))
    _, outcome = lab.measure_matrix(asked)
    assert [result.verdict for result in outcome.cells] == [CellVerdict.SLOWER, CellVerdict.UNMEASURED]
    assert outcome.exit_code is ExitCode.BAD
    refused["ext4"] = ConfigError("/dev/sdz is not to be destroyed", remedy="Give --destroy-data.")
    with pytest.raises(ConfigError, match="cell b: /dev/sdz"):
        lab.measure_matrix(asked)
    refused["btrfs"] = refused["ext4"] = HostError("too little memory")
    with pytest.raises(HostError, match="too little memory"):
        lab.measure_matrix(asked)


def test_templates_that_change_while_it_runs_take_the_cells_that_are_not_begun(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = plan(cell("a"), cell("b", workload="database-pages"))
    from harness.lab import matrix

    real, calls = matrix.job_condition, []

    def changed(workload: object) -> dict[str, str]:
        calls.append(workload.name)  # type: ignore[attr-defined]
        found = real(workload)  # type: ignore[arg-type]
        # The first time is before the matrix begins.
        return found if calls.count(calls[-1]) == 1 or calls[-1] != "database-pages" else {"job": "another"}

    monkeypatch.setattr(matrix, "job_condition", changed)
    _, outcome = lab.measure_matrix(asked)
    assert [result.verdict for result in outcome.cells] == [CellVerdict.SLOWER, CellVerdict.UNMEASURED]
    assert outcome.cells[1].trouble is ExitCode.USAGE
    assert "changed since the matrix began" in outcome.cells[1].reason


def test_waivers_that_are_over_are_told_before_the_first_boot(lab: Lab) -> None:
    def gate(**waiver: object) -> MatrixPlan:
        made = Waiver(
            **{"cells": "a", "metrics": "*", "bound": None, "owner": "ann@example.org", "reason": "known", **waiver}  # type: ignore[arg-type]
        )
        # Two hypotheses at 5 % each: worse can be shown by the fourth block, after which a is cleared with its waiver.
        return replace(plan(cell("a"), cell("b")), policy=GatePolicy(error=0.1), waivers=(made,))

    with pytest.raises(ConfigError, match=r"ann@example\.org has expired: it held until 2020-01-01"):
        lab.measure_matrix(gate(until=date(2020, 1, 1)), verb="gate")
    assert not lab.kernels.asked  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match=r"has expired: debian:6.12.43-1 is 6.12.43-1, and it holds before 6.12"):
        lab.measure_matrix(gate(until_version="6.12"), verb="gate")
    assert not lab.store.runs()
    _, outcome = lab.measure_matrix(gate(until_version="6.13"), verb="gate")
    assert outcome.cells[0].waiver is not None
    assert outcome.cells[0].exit_code is ExitCode.GOOD
    # Of the other cell nobody said anything.
    assert outcome.exit_code is ExitCode.BAD


def test_a_gate_in_which_nothing_counts_is_refused_before_any_kernel(lab: Lab) -> None:
    with pytest.raises(ConfigError, match="cell a: no metric"):
        lab.measure_matrix(replace(plan(cell("a")), policy=GatePolicy(margins={"nope": 0.1})), verb="gate")
    assert not lab.kernels.asked  # type: ignore[attr-defined]
