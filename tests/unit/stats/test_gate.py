"""Where a gate stands: verdicts of cells, what is final, and which cell comes next."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from factories import another_try
from gateruns import boots, failing, logging, warning
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.model.experiment import Arm, BlockPlace
from harness.model.matrix import CellVerdict, FailKind, GatePolicy
from harness.model.trial import Outcome, Trial
from harness.model.verdict import Verdict
from harness.model.workload import Direction, Metric
from harness.stats.gate import CellEvidence, CellStanding, Gate, GateReasonKind, gate_standing, next_cell

pytestmark = pytest.mark.unit

METRICS = {
    "iops": Metric(name="iops", unit="1/s", direction=Direction.HIGHER, title="writes"),
    "p99": Metric(name="p99", unit="us", direction=Direction.LOWER, title="latency"),
}
POLICY = GatePolicy()
ALIKE = {"iops": 1.0}


def evidence(trials: Sequence[Trial[BlockPlace]], *names: str, max_blocks: int = 40) -> CellEvidence:
    return CellEvidence(trials=trials, margins=dict.fromkeys(names or ("iops",), 0.05), max_blocks=max_blocks)


def one(
    trials: Sequence[Trial[BlockPlace]], *names: str, max_blocks: int = 40, policy: GatePolicy = POLICY
) -> CellStanding:
    cells = {"cell": evidence(trials, *names, max_blocks=max_blocks)}
    return gate_standing(cells, policy, METRICS, confirm=False).cells["cell"]


def by_arm(trials: Sequence[Trial[BlockPlace]], arm: Arm) -> list[Trial[BlockPlace]]:
    return [trial for trial in trials if trial.place.arm is arm]


@pytest.mark.parametrize(
    ("metric", "ratio", "verdict"),
    [
        ("iops", 1.0, CellVerdict.NOT_WORSE),
        ("iops", 1.3, CellVerdict.NOT_WORSE),
        ("iops", 0.7, CellVerdict.SLOWER),
        ("p99", 0.7, CellVerdict.NOT_WORSE),
        ("p99", 1.3, CellVerdict.SLOWER),
    ],
)
def test_a_metric_is_worse_in_its_own_direction(metric: str, ratio: float, verdict: CellVerdict) -> None:
    standing = one(boots(8, {metric: ratio}, spread=0.01), metric)
    assert standing.verdict is verdict
    assert standing.final
    assert standing.blocks_left == 0
    assert [found.verdict for found in standing.metrics] == [verdict]
    comparison = standing.metrics[0].comparison
    assert comparison.blocks == 8
    assert comparison.low is not None
    assert comparison.high is not None
    assert comparison.low < ratio < comparison.high


def test_worse_by_less_than_the_margin_is_not_worse() -> None:
    standing = one(boots(40, {"iops": 0.99}, spread=0.005))
    assert standing.verdict is CellVerdict.NOT_WORSE
    assert standing.metrics[0].comparison.verdict is Verdict.SAME


def test_nothing_is_decided_before_four_blocks() -> None:
    for blocks in range(4):
        standing = one(boots(blocks, {"iops": 0.1}, spread=0.001))
        assert standing.verdict is CellVerdict.INCONCLUSIVE
        assert not standing.final
        assert standing.why.kind is GateReasonKind.OPEN
        assert standing.blocks == blocks


def test_every_metric_has_to_be_cleared_and_one_worse_is_enough() -> None:
    noisy = {"iops": 1.0, "p99": 1.0}
    mixed = [
        replace(trial, samples={**trial.samples, "p99": other.samples["p99"]})
        for trial, other in zip(boots(6, noisy, spread=0.01), boots(6, noisy, spread=0.3, seed=2), strict=True)
    ]
    standing = one(mixed, "iops", "p99")
    assert [found.verdict for found in standing.metrics] == [CellVerdict.NOT_WORSE, CellVerdict.INCONCLUSIVE]
    assert standing.verdict is CellVerdict.INCONCLUSIVE
    assert standing.why.metrics == ("p99",)
    assert not standing.final
    worse = one(boots(6, {"iops": 1.0, "p99": 1.4}, spread=0.01), "iops", "p99")
    assert worse.verdict is CellVerdict.SLOWER
    assert worse.why.metrics == ("p99",)
    assert [found.verdict for found in worse.metrics] == [CellVerdict.NOT_WORSE, CellVerdict.SLOWER]


def test_at_the_cap_an_open_cell_is_inconclusive_for_good() -> None:
    standing = one(boots(8, {"iops": 0.96}, spread=0.1), max_blocks=8)
    assert standing.verdict is CellVerdict.INCONCLUSIVE
    assert standing.final
    assert standing.why.kind is GateReasonKind.CAP
    assert standing.why.metrics == ("iops",)


def test_more_hypotheses_ask_for_more_evidence_until_others_are_rejected() -> None:
    suspect = boots(6, {"iops": 0.85}, spread=0.02, seed=5)
    alone = one(suspect)
    assert alone.verdict is CellVerdict.SLOWER
    many = {"suspect": evidence(suspect), **{f"open {i}": evidence(()) for i in range(2000)}}
    assert gate_standing(many, POLICY, METRICS, confirm=False).cells["suspect"].verdict is CellVerdict.INCONCLUSIVE
    sure = evidence(boots(12, {"iops": 0.3}, spread=0.01))
    rejected = {"suspect": evidence(suspect), **{f"worse {i}": sure for i in range(300)}}
    standing = gate_standing(rejected, POLICY, METRICS, confirm=False)
    assert standing.hypotheses == 301
    assert {cell.verdict for cell in standing.cells.values()} == {CellVerdict.SLOWER}
    del rejected["suspect"]
    few = {"suspect": evidence(suspect), **{f"open {i}": evidence(()) for i in range(300)}}
    assert gate_standing(few, POLICY, METRICS, confirm=False).cells["suspect"].verdict is CellVerdict.INCONCLUSIVE


def test_a_claim_once_shown_stays_and_the_interval_shown_is_the_one_that_made_it() -> None:
    calm, wild = boots(6, ALIKE, spread=0.01), boots(12, ALIKE, spread=0.8, seed=3)
    trials = (*calm, *(trial for trial in wild if trial.place.block >= 6))
    standing = one(trials, policy=POLICY)
    assert standing.verdict is CellVerdict.NOT_WORSE
    comparison = standing.metrics[0].comparison
    assert comparison.blocks < 12
    assert comparison.low is not None
    assert comparison.low > 1 / 1.05


def test_a_cell_that_was_cleared_is_worse_only_at_the_strictest_level() -> None:
    """Boots that came after it was final: they may speak against it, for itself but not with the help of others."""
    calm, slow = boots(5, ALIKE, spread=0.01), boots(40, {"iops": 0.5}, spread=0.01, seed=3)
    trials = (*calm, *(trial for trial in slow if trial.place.block >= 5))
    assert one(trials[:10]).verdict is CellVerdict.NOT_WORSE
    assert one(trials).verdict is CellVerdict.SLOWER
    sure = evidence(boots(12, {"iops": 0.3}, spread=0.01))
    cells = {"cell": evidence(trials[:26]), **{f"worse {i}": sure for i in range(49)}}
    standing = gate_standing(cells, POLICY, METRICS, confirm=False).cells
    assert standing["cell"].verdict is CellVerdict.NOT_WORSE
    assert standing["worse 7"].verdict is CellVerdict.SLOWER
    alone = one(trials[:26])
    assert alone.verdict is CellVerdict.SLOWER


class TestFailures:
    def test_a_candidate_that_crashes_where_the_baseline_runs_is_faulty_at_once(self) -> None:
        trials = boots(1, ALIKE)
        crashed = [failing(t, Outcome.CRASHED) if t.place.arm is Arm.CANDIDATE else t for t in trials]
        standing = one(crashed)
        assert standing.verdict is CellVerdict.FAULTY
        assert standing.final
        assert standing.fails == (FailKind.FAULT,)
        assert [fault.arm for fault in standing.why.faults] == [Arm.CANDIDATE]

    def test_it_is_not_known_before_the_baseline_ran(self) -> None:
        crashed = [failing(trial, Outcome.CRASHED) for trial in by_arm(boots(1, ALIKE), Arm.CANDIDATE)]
        standing = one(crashed)
        assert standing.verdict is CellVerdict.INCONCLUSIVE
        assert not standing.final

    def test_data_that_differ_are_named_so(self) -> None:
        trials = [failing(t, Outcome.CORRUPTED) if t.place.arm is Arm.CANDIDATE else t for t in boots(1, ALIKE)]
        assert one(trials).fails == (FailKind.DATA,)

    @pytest.mark.parametrize("both", [False, True])
    def test_a_baseline_whose_data_check_failed_is_nothing_to_be_measured_against(self, both: bool) -> None:
        trials = boots(9, {"iops": 0.5}, spread=0.01)
        broken = [
            failing(t, Outcome.CORRUPTED) if t.place.block == 8 and (both or t.place.arm is Arm.BASELINE) else t
            for t in trials
        ]
        standing = one(broken)
        assert standing.verdict is CellVerdict.INCONCLUSIVE
        assert standing.final
        assert standing.fails == ()
        assert standing.why.kind is GateReasonKind.BASELINE_DATA

    def test_a_baseline_that_crashes_is_none_either(self) -> None:
        trials = [failing(t, Outcome.CRASHED) if t.place.arm is Arm.BASELINE else t for t in boots(1, ALIKE)]
        standing = one(trials)
        assert (standing.verdict, standing.why.kind) == (CellVerdict.INCONCLUSIVE, GateReasonKind.BASELINE_FAILS)

    def test_what_the_policy_does_not_name_cannot_be_measured(self) -> None:
        trials = [failing(t, Outcome.CRASHED) if t.place.arm is Arm.CANDIDATE else t for t in boots(1, ALIKE)]
        standing = one(trials, policy=replace(POLICY, fails=(FailKind.DATA,)))
        assert (standing.verdict, standing.final) == (CellVerdict.INCONCLUSIVE, True)
        assert standing.why.kind is GateReasonKind.FAILS_UNNAMED

    def test_what_the_baseline_has_shown_once_does_not_make_the_candidate_faulty(self) -> None:
        trials = list(boots(3, ALIKE))
        hung = [failing(t, Outcome.HUNG) if t.place.block == 1 else t for t in trials]
        again = another_try(failing(by_arm(trials, Arm.CANDIDATE)[1], Outcome.HUNG))
        standing = one([*hung, again])
        assert standing.verdict is CellVerdict.INCONCLUSIVE
        assert standing.why.kind is GateReasonKind.FAILS_ALIKE
        assert standing.final

    def test_one_boot_that_hung_proves_nothing(self) -> None:
        trials = list(boots(8, ALIKE, spread=0.01))
        hung = failing(by_arm(trials, Arm.CANDIDATE)[0], Outcome.HUNG)
        standing = one([hung, *(another_try(t) for t in trials)])
        assert standing.verdict is CellVerdict.NOT_WORSE


class TestWarnings:
    NEW = warning("WARNING: CPU: 0 PID: 71 at fs/btrfs/inode.c:3127 btrfs_finish_one_ordered+0x1a/0x90")

    def test_one_in_every_boot_of_the_candidate_fails_the_gate_before_it_can_be_cleared(self) -> None:
        trials = logging(boots(8, ALIKE, spread=0.005), self.NEW, arm=Arm.CANDIDATE, blocks=range(8))
        many = {f"other {i}": evidence(()) for i in range(49)}
        seen = []
        for blocks in range(4, 8):
            cells = {"cell": evidence(trials[: 2 * blocks]), **many}
            cell = gate_standing(cells, POLICY, METRICS, confirm=False).cells["cell"]
            seen.append((blocks, cell.verdict, cell.final))
        assert seen == [
            (4, CellVerdict.INCONCLUSIVE, False),
            (5, CellVerdict.INCONCLUSIVE, False),
            (6, CellVerdict.FAULTY, True),
            (7, CellVerdict.FAULTY, True),
        ]

    def test_it_counts_where_the_policy_says_so_only(self) -> None:
        trials = logging(boots(8, ALIKE, spread=0.005), self.NEW, arm=Arm.CANDIDATE, blocks=range(8))
        assert one(trials).fails == (FailKind.WARNING,)
        lenient = one(trials, policy=replace(POLICY, fails=(FailKind.FAULT, FailKind.DATA)))
        assert lenient.verdict is CellVerdict.NOT_WORSE
        assert [found.boots for found in lenient.warnings] == [8]

    def test_a_warning_of_both_is_none_of_the_candidate(self) -> None:
        trials = logging(boots(8, ALIKE, spread=0.005), self.NEW, arm=Arm.CANDIDATE, blocks=range(8))
        trials = logging(trials, self.NEW, arm=Arm.BASELINE, blocks=[3])
        standing = one(trials)
        assert standing.verdict is CellVerdict.NOT_WORSE
        assert standing.warnings == ()

    def test_a_rare_one_does_not_keep_a_cell_from_being_cleared(self) -> None:
        trials = logging(boots(8, ALIKE, spread=0.005), self.NEW, arm=Arm.CANDIDATE, blocks=[2])
        standing = one(trials)
        assert standing.verdict is CellVerdict.NOT_WORSE
        assert [(found.boots, found.blocks, found.counts) for found in standing.warnings] == [(1, 8, False)]


class TestMetricsThatAreNotThere:
    def test_what_no_boot_gives_does_not_count(self) -> None:
        standing = one(boots(8, ALIKE, spread=0.01), "iops", "p99")
        assert standing.verdict is CellVerdict.NOT_WORSE
        assert standing.missing == ("p99",)
        assert [found.metric for found in standing.metrics] == ["iops"]

    def test_nothing_at_all_is_no_pass(self) -> None:
        standing = one(boots(1, {"iops": 1.0}), "p99")
        assert (standing.verdict, standing.final) == (CellVerdict.INCONCLUSIVE, True)
        assert standing.why.kind is GateReasonKind.NO_METRIC

    def test_what_the_candidate_alone_does_not_give_is_no_pass(self) -> None:
        trials = [
            replace(t, samples={"iops": t.samples["iops"]}) if t.place.arm is Arm.CANDIDATE else t
            for t in boots(8, {"iops": 1.0, "p99": 1.0}, spread=0.01)
        ]
        standing = one(trials, "iops", "p99")
        assert (standing.verdict, standing.final) == (CellVerdict.INCONCLUSIVE, True)
        assert standing.why.kind is GateReasonKind.ONE_SIDED
        assert standing.why.metrics == ("p99",)


def gated(cells: Mapping[str, Sequence[Trial[BlockPlace]]], *, max_blocks: int = 40) -> Mapping[str, CellEvidence]:
    return {name: evidence(trials, max_blocks=max_blocks) for name, trials in cells.items()}


class TestNextCell:
    def test_each_cell_gets_its_first_blocks_in_turn(self) -> None:
        trials = boots(40, ALIKE, spread=0.5)
        made = {"a": 0, "b": 0, "c": 0}
        order = []
        for _ in range(6):
            cells = gated({name: trials[: 2 * blocks] for name, blocks in made.items()})
            chosen = next_cell(gate_standing(cells, POLICY, METRICS, confirm=False))
            assert chosen is not None
            made[chosen] += 1
            order.append(chosen)
        assert order == ["a", "b", "c", "a", "b", "c"]

    def test_then_the_one_that_is_nearest_to_its_end(self) -> None:
        cells = gated({"noisy": boots(4, ALIKE, spread=0.2), "calm": boots(4, ALIKE, spread=0.02)})
        standing = gate_standing(cells, POLICY, METRICS, confirm=False)
        assert not standing.final
        assert next_cell(standing) == "calm"
        assert next_cell(standing, without=["calm"]) == "noisy"
        assert next_cell(standing, without=["calm", "noisy"]) is None

    def test_a_budget_too_small_for_all_is_spent_on_few(self) -> None:
        cells = gated({"a": (), "b": boots(2, ALIKE), "c": ()})
        standing = gate_standing(cells, POLICY, METRICS, confirm=False)
        # The first round takes 4 + 2 + 4 blocks.
        assert next_cell(standing) == "a"
        assert next_cell(standing, blocks=20) == "a"
        assert next_cell(standing, blocks=19) == "b"

    def test_with_such_a_budget_another_cell_is_begun_where_one_takes_too_long(self) -> None:
        cells = gated({"new": (), "noisy": boots(4, ALIKE, spread=0.3), "calm": boots(4, ALIKE, spread=0.02)})
        standing = gate_standing(cells, POLICY, METRICS, confirm=False)
        assert next_cell(standing, blocks=6) == "calm"
        assert next_cell(standing, blocks=6, without=["calm"]) == "new"

    def test_none_when_all_are_final(self) -> None:
        standing = gate_standing(gated({"a": boots(8, ALIKE, spread=0.01)}), POLICY, METRICS, confirm=False)
        assert standing.final
        assert next_cell(standing) is None


@settings(max_examples=25, deadline=None)
@given(
    ratios=st.lists(st.sampled_from([0.6, 0.9, 0.95, 1.0, 1.2]), min_size=1, max_size=4),
    spread=st.sampled_from([0.005, 0.03, 0.2]),
    seed=st.integers(min_value=0, max_value=1000),
)
def test_a_gate_played_to_its_end_is_what_it_is_when_asked_once(ratios: list[float], spread: float, seed: int) -> None:
    """Remembering changes nothing; what is final stays as it is, while other cells go on; and there is an end."""
    cap = 10
    whole = {f"{i}": boots(cap, {"iops": ratio}, spread=spread, seed=seed + i) for i, ratio in enumerate(ratios)}
    made = dict.fromkeys(whole, 0)
    gate, ended = Gate(POLICY, METRICS, confirm=False), dict[str, CellVerdict]()
    while True:
        cells = gated({name: whole[name][: 2 * blocks] for name, blocks in made.items()}, max_blocks=cap)
        standing = gate.standing(cells)
        for name, verdict in ended.items():
            # What is inconclusive at its cap, Holm's procedure may yet reject once others are.
            later = {CellVerdict.SLOWER} if verdict is CellVerdict.INCONCLUSIVE else set()
            assert standing.cells[name].verdict in {verdict, *later}
            assert standing.cells[name].final
        ended |= {name: cell.verdict for name, cell in standing.cells.items() if cell.final}
        chosen = next_cell(standing)
        if chosen is None:
            break
        assert chosen not in ended
        made[chosen] += 1
    assert standing == gate_standing(cells, POLICY, METRICS, confirm=False)
    assert standing.final
