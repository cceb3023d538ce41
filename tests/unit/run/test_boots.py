"""Boots are stored before they are told and decided upon, and losses in a row are the host's."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

import factories
import pytest
from ladders import kernel
from ladders import request as asked

from harness.errors import HostError
from harness.interfaces import NullProgress
from harness.model.experiment import Place, RungPlace, TrialSpec
from harness.model.guest import Accelerator
from harness.model.kernel import Kernel
from harness.model.run import Run, RunState
from harness.model.trial import Outcome, Trial
from harness.plan import MAX_LOSSES
from harness.run.boots import Boots, Runner, record_of
from harness.store import SqlStore

pytestmark = pytest.mark.unit

EXPERIMENT = factories.experiment()
KERNEL = kernel("debian:6.12.43-1")
OK, LOST, BUILD_FAILED = Outcome.OK, Outcome.LOST, Outcome.BUILD_FAILED


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with SqlStore(tmp_path / "results.sqlite") as opened:
        yield opened


class Bench(NullProgress):
    """Boots end as they are told to; what is done is written down, and what the store had by then."""

    def __init__(self, store: SqlStore, outcomes: Sequence[Outcome] = ()) -> None:
        self.store = store
        self.outcomes = iter(outcomes)
        self.events: list[tuple[str, int]] = []

    def note_event(self, event: str) -> None:
        self.events.append((event, len(self.store.run("last").trials)))

    def trial_started(self, spec: TrialSpec[Place], kernel: Kernel) -> None:
        self.note_event("started")

    def trial_finished(self, trial: Trial[Place]) -> None:
        assert trial.artifacts == {}
        self.note_event("finished")

    def boot(self, experiment, spec, booted):
        self.note_event("booted")
        outcome = next(self.outcomes, OK)
        artifacts = {"console.log": b"all of it"}
        return Trial(spec=spec, kernel_digest=booted.digest, outcome=outcome, message="QEMU died", artifacts=artifacts)

    def runner(self, accelerator: Accelerator = Accelerator.TCG) -> Runner:
        return Runner(
            store=self.store,
            make_trial=self.boot,
            progress=self,
            accelerator=accelerator,
            new_run_id=lambda: "the-run",
            exclusive=lambda _digest: nullcontext(),
        )


def new_boots(bench: Bench, **changes: object) -> Boots[RungPlace]:
    runner = bench.runner()
    run = runner.new_run("bisect", asked(), baseline=record_of(KERNEL), candidate=record_of(KERNEL), seed=None)
    runner.store.create_run(run)
    return Boots(**{"runner": runner, "run": run, "trials": [], **changes})


def make(boots: Boots[RungPlace], count: int = 1) -> None:
    for _ in range(count):
        boots.make(EXPERIMENT, factories.rung_spec(3, len(boots.trials)), KERNEL)


def test_a_boot_is_stored_before_it_is_told_and_its_artifacts_are_there_alone(store: SqlStore) -> None:
    bench = Bench(store)
    boots = new_boots(bench)
    make(boots, 2)
    once = [("started", 0), ("booted", 0), ("finished", 1)]
    assert bench.events == once + [(event, count + 1) for event, count in once]
    assert [trial.artifacts for trial in boots.trials] == [{}, {}]
    assert list(boots.whole().trials) == boots.trials == list(store.run("the-run").trials)
    assert store.artifact("the-run", boots.trials[1].spec, "console.log") == b"all of it"


def test_what_is_not_stored_is_neither_told_nor_kept(store: SqlStore) -> None:
    bench = Bench(store)
    boots = new_boots(bench)
    make(boots)
    with pytest.raises(HostError, match="already"):
        boots.make(EXPERIMENT, boots.trials[0].spec, KERNEL)
    assert [event for event, _ in bench.events].count("finished") == 1
    assert len(boots.trials) == 1


def test_no_boot_begins_after_a_signal(store: SqlStore, swallow: Callable[[], None]) -> None:
    bench = Bench(store)
    boots = new_boots(bench)
    swallow()
    with pytest.raises(KeyboardInterrupt):
        make(boots)
    assert bench.events == []


@pytest.mark.parametrize(
    ("outcomes", "ends"),
    [
        ([LOST] * MAX_LOSSES, MAX_LOSSES),
        ([OK, OK, LOST, LOST, LOST], 5),
        ([LOST, LOST, OK, LOST, LOST, OK], None),
        ([LOST, LOST, BUILD_FAILED, LOST, LOST], None),
    ],
)
def test_losses_in_a_row_end_it_and_are_stored(store: SqlStore, outcomes: list[Outcome], ends: int | None) -> None:
    boots = new_boots(Bench(store, outcomes))
    if ends is None:
        make(boots, len(outcomes))
    else:
        with pytest.raises(HostError, match="3 boots in a row were lost: QEMU died") as raised:
            make(boots, len(outcomes) + 1)
        assert "the same command continues" in raised.value.remedy
    stored = store.run("the-run")
    assert [trial.outcome for trial in stored.trials] == outcomes[:ends]
    assert stored.state is RunState.OPEN


def test_losses_of_a_process_before_are_not_counted_again(store: SqlStore) -> None:
    with pytest.raises(HostError):
        make(new_boots(Bench(store, [LOST] * 3)), 3)
    bench = Bench(store, [LOST, LOST, OK, LOST, LOST, LOST])
    run = store.run("the-run")
    boots = Boots(runner=bench.runner(), run=run, trials=list(run.rung_trials))
    assert boots.resumed == 3
    make(boots, 5)
    with pytest.raises(HostError, match="3 boots in a row"):
        make(boots)


def test_a_run_that_is_not_continued_does_not_promise_it(store: SqlStore) -> None:
    boots = new_boots(Bench(store, [LOST] * 3), resumable=False)
    with pytest.raises(HostError) as raised:
        make(boots, 3)
    assert "kab doctor" in raised.value.remedy
    assert "continues" not in raised.value.remedy


def test_what_was_made_without_a_boot_is_stored_alike(store: SqlStore) -> None:
    bench = Bench(store)
    boots = new_boots(bench)
    failed = Trial(
        spec=factories.rung_spec(3), kernel_digest="", outcome=BUILD_FAILED, artifacts={"build.log": b"error: x"}
    )
    kept = boots.add(failed)
    assert boots.trials == [kept] == list(store.run("the-run").trials)
    assert store.artifact("the-run", failed.spec, "build.log") == b"error: x"
    assert bench.events == [("finished", 1)]


def test_a_new_run_draws_its_seed_unless_it_has_one(store: SqlStore) -> None:
    runner = Bench(store).runner()

    def new(seed: int | None) -> Run:
        return runner.new_run("ab", asked(), baseline=record_of(KERNEL), candidate=record_of(KERNEL), seed=seed)

    assert new(0).seed == 0
    assert len({new(None).seed for _ in range(5)}) > 1
    assert new(7).digest == asked().digest
    assert new(7).baseline.digest == KERNEL.digest


def test_only_emulation_wants_crashes_confirmed(store: SqlStore) -> None:
    bench = Bench(store)
    assert bench.runner(Accelerator.TCG).confirm
    assert not bench.runner(Accelerator.KVM).confirm
