"""The A/B loop over a real store: decided, interrupted and continued, lost, exclusive."""

import random
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from factories import experiment, failed, trial

from harness.errors import HostError
from harness.interfaces import NullProgress
from harness.model.experiment import Arm, Experiment, TrialSpec
from harness.model.guest import Accelerator
from harness.model.kernel import Kernel
from harness.model.run import RunState
from harness.model.trial import Outcome, Trial
from harness.model.verdict import Verdict
from harness.run.ab import AbLoop, AbRequest
from harness.run.boots import Runner
from harness.store import SqlStore
from harness.workloads.registry import METRICS

pytestmark = pytest.mark.unit

MakeTrial = Callable[[Experiment, TrialSpec, Kernel], Trial]


def kernel(series: str) -> Kernel:
    return Kernel(
        spec=f"debian:{series}",
        release=f"{series}.1-cloud-amd64",
        version=f"{series}.1-1",
        source="debian",
        digest=f"{series}-digest",
        directory=Path("/nonexistent"),
        vmlinuz=Path("/nonexistent/vmlinuz"),
    )


def request(**changes: object) -> AbRequest:
    asked = experiment(seed=7, max_boots=20, metric="auto")
    values = {
        "experiment": asked,
        "baseline": kernel("6.12"),
        "candidate": kernel("7.2"),
        "conditions": {"accelerator": "tcg"},
        "host": {},
        "command": ("kab", "ab"),
    }
    return AbRequest(**{**values, **changes})


def measured(asked: Experiment, spec: TrialSpec, booted: Kernel) -> Trial:
    """A trial with the founding case's figures; the same spec gives the same trial."""
    place = spec.place
    made = trial(place.arm, place.block, place.order, rng=random.Random(f"{place.block}/{place.order}"))
    return replace(made, spec=spec, kernel_digest=booted.digest)


def loop(store: SqlStore, make_trial: MakeTrial, run_id: str = "") -> AbLoop:
    ids: Iterator[str] = iter(f"run-{number}" for number in range(100))
    return AbLoop(
        runner=Runner(
            store=store,
            make_trial=make_trial,
            progress=NullProgress(),
            accelerator=Accelerator.TCG,
            new_run_id=lambda: run_id or next(ids),
            exclusive=lambda _digest: nullcontext(),
        ),
        metrics=METRICS,
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with SqlStore(tmp_path / "results.sqlite") as opened:
        yield opened


def test_decides_and_stores_everything(store: SqlStore) -> None:
    run, decision = loop(store, measured).execute(request())
    assert decision.verdict is Verdict.FASTER
    assert decision.final
    stored = store.run(run.id)
    assert stored.state is RunState.FINISHED
    assert [made.spec for made in stored.trials] == [made.spec for made in run.trials]
    assert store.decision(run.id) == decision
    assert {made.place.arm for made in run.trials} == set(Arm)


@pytest.mark.parametrize("boots", [1, 2, 3, 5])
def test_an_interrupted_run_continues_where_it_stopped(store: SqlStore, boots: int) -> None:
    whole, _ = loop(store, measured).execute(request(fresh=True))
    made: list[TrialSpec] = []

    def interrupted(asked: Experiment, spec: TrialSpec, booted: Kernel) -> Trial:
        if len(made) == boots:
            raise KeyboardInterrupt
        made.append(spec)
        return measured(asked, spec, booted)

    with pytest.raises(KeyboardInterrupt):
        loop(store, interrupted, "interrupted").execute(request())

    def counted(asked: Experiment, spec: TrialSpec, booted: Kernel) -> Trial:
        made.append(spec)
        return measured(asked, spec, booted)

    run, decision = loop(store, counted).execute(request())
    assert run.id == "interrupted"
    assert made == [one.spec for one in whole.trials]
    assert len(store.run(run.id).trials) == len(made)
    assert decision.verdict is Verdict.FASTER


def test_another_experiment_does_not_continue_it(store: SqlStore) -> None:
    def interrupted(_asked: Experiment, _spec: TrialSpec, _booted: Kernel) -> Trial:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop(store, interrupted).execute(request())
    run, _ = loop(store, measured, "other").execute(request(conditions={"accelerator": "kvm"}))
    assert run.id == "other"


def test_lost_boots_are_made_again_and_end_in_host_trouble(store: SqlStore) -> None:
    def lost(_asked: Experiment, spec: TrialSpec, booted: Kernel) -> Trial:
        return replace(failed(spec, Outcome.LOST, "QEMU was killed"), kernel_digest=booted.digest)

    with pytest.raises(HostError, match="QEMU was killed"):
        loop(store, lost).execute(request())
    stored = store.run("run-0")
    assert stored.state is RunState.OPEN
    assert [made.outcome for made in stored.trials] == [Outcome.LOST] * 3
    # Mended, the same command goes on from there.
    run, decision = loop(store, measured).execute(request())
    assert run.id == "run-0"
    assert decision.verdict is Verdict.FASTER


def test_a_crash_under_emulation_is_confirmed_by_another_boot(store: SqlStore) -> None:
    def crashing(asked: Experiment, spec: TrialSpec, booted: Kernel) -> Trial:
        if spec.place.arm is Arm.CANDIDATE:
            return replace(failed(spec, Outcome.CRASHED, "Oops"), kernel_digest=booted.digest)
        return measured(asked, spec, booted)

    run, decision = loop(store, crashing).execute(request())
    crashes = [made for made in run.trials if made.outcome is Outcome.CRASHED]
    assert len(crashes) == 2
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert "candidate crashed in 2 of 2 boots" in decision.reason


def test_a_signal_that_nobody_saw_ends_the_loop_before_the_next_boot(
    store: SqlStore, swallow: Callable[[], None]
) -> None:
    """As when it arrives in a destructor, right after an outcome was shown."""
    made: list[TrialSpec] = []

    def make(asked: Experiment, spec: TrialSpec, booted: Kernel) -> Trial:
        made.append(spec)
        if len(made) == 3:
            swallow()
        return measured(asked, spec, booted)

    with pytest.raises(KeyboardInterrupt):
        loop(store, make).execute(request())
    assert len(made) == 3
    assert len(store.run(store.runs()[0].id).trials) == 3
