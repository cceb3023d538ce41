"""A search over real commits with a real builder, which the host loses in the middle of it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from ladders import FAST, SLOW, kernel, loop, request
from prebuilt import PrebuiltKernels, make_history

from harness.errors import HostError
from harness.interfaces import NullProgress
from harness.kernels.git.revisions import Revisions
from harness.lab import Lab
from harness.lab.ranges import BuildOptions, git_range
from harness.model.bisection import BisectionPlan
from harness.model.experiment import Experiment, TrialSpec
from harness.model.kernel import Kernel
from harness.model.source import GitSpec
from harness.model.trial import Outcome, Trial
from harness.parse.gitspec import parse_git

pytestmark = pytest.mark.integration

KERNELS = PrebuiltKernels(fast="debian:6.1", slow=("debian:6.12", "debian:6.13"), restored=("debian:7.2", "debian:7.3"))


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    for name in ("STATE", "CACHE"):
        monkeypatch.setenv(f"KAB_{name}_DIR", str(tmp_path / name.lower()))
    with Lab(progress=NullProgress()) as opened:
        yield opened


def test_a_builder_that_is_gone_stops_the_search_and_is_waited_for(lab: Lab, tmp_path: Path) -> None:
    history = make_history(tmp_path, KERNELS)
    away = tmp_path / "away"
    line = git_range(lab, (history.spec(f"{history.base}..main"),), BuildOptions(), ())

    def search(lose_after: int | None) -> tuple[object, ...]:
        # As a process has one: what it remembers of builds goes with it.
        revisions = Revisions(lab.paths, note=lambda _: None, progress=lambda *_: None)
        boots = 0

        def resolve(spec: str) -> Kernel:
            parsed = parse_git(spec, spec.removeprefix("git:"))
            assert isinstance(parsed, GitSpec)
            assert parsed.build.builder is not None
            given = revisions.external(parsed.build.builder, *revisions.commit(parsed))
            return replace(kernel(given), spec=spec)

        def boot(_asked: Experiment, spec: TrialSpec, booted: Kernel) -> Trial:
            nonlocal boots
            boots += 1
            if boots == lose_after:
                history.builder.rename(away)
            level = SLOW if booted.version.startswith("6.1") and booted.version != "6.1" else FAST
            samples = {name: (value * (1 + 0.002 * (boots % 5)),) for name, value in level.items()}
            return Trial(spec=spec, kernel_digest=booted.digest, outcome=Outcome.OK, samples=samples, duration_s=20.0)

        plan = BisectionPlan(rungs=line.rungs)
        first, last = resolve(plan.rungs[0].spec), resolve(plan.rungs[-1].spec)
        return loop(lab.store, boot, resolve).execute(request(plan=plan, first=first, last=last))

    with pytest.raises(HostError, match=r"the builder .* is not an executable file\n(.|\n)*same command continues"):
        search(lose_after=8)
    away.rename(history.builder)
    run, outcome = search(lose_after=None)
    assert lab.store.bisections.marks(run.id) == ()
    assert [edge.culprit and edge.culprit.sha for edge in outcome.edges] == [history.removed, history.restored]
