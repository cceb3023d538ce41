"""The page of a search: one sound file with the edges, the ladder, what is believed, and every boot."""

import re
from dataclasses import replace

import factories
import ladders
import pytest
from commits import COMMITS, REMOVED, Story, boot, commit, failure, plan, rung_of_commit, sha, story
from pages import Page, sound

from harness.bisect.fold import stand
from harness.model.bisection import Answer, BisectionOutcome, EdgeKind, IdenticalBuild, Mark
from harness.model.experiment import RungPlace, TrialSpec
from harness.model.history import Change, Gap, GapKind, Origin, Suspect
from harness.model.kconfig import OptionChange, OptionEffect
from harness.model.trial import Outcome
from harness.report.search import charts
from harness.report.search.html import bisection_html
from harness.workloads.registry import METRICS

pytestmark = pytest.mark.unit

ONE = ((230, EdgeKind.REMOVED),)
FILES = {"domain.xml": factories.DOMAIN_XML, "build.log": b"error: <b>\xff\x1b[31m", "fio-0.json": b"{}"}


@pytest.fixture(scope="module")
def both() -> Story:
    told = story(
        failures=[replace(failure(20, 0), artifacts=FILES)], marks=[Mark(rung=22, skip=True, reason="by hand")]
    )
    evidence = replace(told.evidence, identical_builds=(IdenticalBuild(rung=33, of=32, after_trials=3),))
    return replace(told, evidence=evidence, standing=stand(evidence, METRICS))


def html(told: Story, outcome: BisectionOutcome | None) -> str:
    return bisection_html(told.run, told.evidence, told.standing, outcome, METRICS)


def page(told: Story, outcome: BisectionOutcome | None = None) -> Page:
    return sound(html(told, outcome or told.outcome))


def flat(found: Page) -> str:
    return " ".join(found.text.split())


def cut(told: Story, boots: int, *, ends: bool = True) -> Story:
    """As it was after so many boots."""
    evidence = replace(told.evidence, trials=told.evidence.trials[:boots], proofs=())
    if not ends:
        evidence = replace(evidence, ends=(), ends_decision=None, identical_builds=(), marks=())
    return replace(told, evidence=evidence, standing=stand(evidence, METRICS))


def test_every_edge_has_a_card_with_effect_proof_and_revert_test(both: Story) -> None:
    found = page(both)
    text = flat(found)
    assert {f"edge-{REMOVED}", "edge-31"} <= set(found.ids)
    assert text.count("proven") >= 2
    assert (
        f'Removed by {commit(REMOVED).short} ("btrfs: move mount code to the new mount API"); worse from there on'
        in text
    )
    assert f"By Ann Ättiksdotter <ann@example.org>, 2023-11-22; {sha(REMOVED)}" in text
    # Effect with its interval, the figures before and after, verdict and boots of the proof.
    assert re.search(r"-7\d % queue_depth x0\.\d\d 99 % interval 0\.\d\d to 0\.\d\d 3\.\d+ → 0\.9\d", text)
    assert "A/B says slower, run proof-12, 6 blocks (12 boots) (its boots)" in text
    assert "queue_depth: before: requests run in parallel; after: I/O to the file is serialised" in text
    assert f"Effect of the revert alone on top of {commit(30).short}" in text
    assert "git bisect start '--term-old=fast' '--term-new=slow'" in text
    assert {"#boots-proof-12", "#boots-counter-12"} <= set(found.links)


def test_every_boot_is_in_a_table_with_its_kernel_and_its_files(both: Story) -> None:
    found = page(both)
    evidence = both.evidence
    boots = len(evidence.ends) + len(evidence.trials) + sum(len(trials) for _, trials, _ in evidence.proofs)
    numbers = [int(name.removeprefix("boot-")) for name in found.ids if re.fullmatch(r"boot-\d+", name)]
    assert numbers == list(range(1, boots + 1))
    assert {"boots-ends", "boots-search", "boots-proof-12", "boots-counter-31"} <= set(found.ids)
    text = flat(found)
    assert (
        f"9 20 {commit(20).short} build-failed fs/btrfs/super.c:12:2: error: expected ';' 0.0 s domain.xml, build.log"
        in text
    )
    assert f"10 10 {commit(10).short} ok 3." in text
    # fio's own JSON is for programs.
    assert "fio-0.json" not in text
    assert "\x1b" not in html(both, both.outcome)


def test_the_ladder_is_a_picture_and_sentences(both: Story) -> None:
    found = page(both)
    strip = charts.strip(both.evidence.plan, both.standing, both.outcome.edges)
    assert strip.stretches == (
        f"fast: {commit(0).short} to {commit(11).short}, 12 kernels, 3 of them booted",
        f"slow: {commit(12).short} to {commit(30).short}, 19 kernels, 3 of them booted, 2 of them cannot be tested",
        f"fast: {commit(31).short} to {commit(39).short}, 9 kernels, 4 of them booted",
    )
    described = [value for name, value in found.attributes if name == "aria-label"]
    assert f"The ladder: {'; '.join(strip.stretches)}" in described
    # On hover each kernel says what it is.
    assert (
        f'rung 12: {commit(12).short} ("btrfs: move mount code to the new mount API"): slow, 13 boots, P(slow) 1.000'
        in found.text
    )
    assert (
        f'rung 22: {commit(22).short} ("fs: change number 22"): cannot be tested, P(slow) 1.000 (by hand)' in found.text
    )
    above, below = (
        {cell.y + cell.height / 2 < strip.height / 2 for cell in strip.cells if kind in cell.kind.split()}
        for kind in ("fast", "slow")
    )
    assert (above, below) == ({True}, {False})


def test_what_was_left_out_is_told(both: Story) -> None:
    text = flat(page(both))
    assert f'20 {commit(20).short} ("fs: change number 20") build-failed in 1 of 1 boots: ' in text
    assert f'22 {commit(22).short} ("fs: change number 22") by hand' in text
    assert f'33 {commit(33).short} ("fs: change number 33") the same kernel as {commit(32).short}' in text


def test_setting_host_and_how_to_repeat(both: Story) -> None:
    text = flat(page(both))
    for told in (*both.run.conditions.values(), *both.run.host.values(), "kab bisect git:/src/linux@v6.7..v7.2"):
        assert str(told) in text
    assert f"{commit(39).short} against {commit(0).short}: inconclusive" in text


@pytest.mark.parametrize(("boots", "ends"), [(3, True), (0, True), (0, False)])
def test_a_search_that_is_not_finished(both: Story, boots: int, ends: bool) -> None:
    told = cut(both, boots, ends=ends)
    found = sound(html(told, None))
    text = flat(found)
    assert "Not finished: " in text
    assert f"Searching between {commit(0).short} and {commit(39).short}" in text
    assert ("No boot has been made yet." in text) == (not ends)
    assert not [name for name in found.ids if name.startswith("edge-")]


@pytest.mark.parametrize(
    ("answer", "said"),
    [(Answer.NOTHING, "Nothing changes between"), (Answer.UNCERTAIN, "Cannot tell what changes between")],
)
def test_a_search_without_edges(both: Story, answer: Answer, said: str) -> None:
    told = cut(both, 1)
    evidence = replace(told.evidence, ends_decision=None, ends=(), trials=())
    told = replace(told, evidence=evidence, standing=stand(evidence, METRICS))
    assert said in flat(page(told, BisectionOutcome(answer=answer, reason="because")))


def long(count: int) -> Story:
    rungs = tuple(rung_of_commit(commit(number)) for number in range(count))
    return story(
        plan(rungs=rungs), edges=ONE, boots=(100, 200, 250, 225, 235, 230, 229), failures=[failure(150, 0)]
    )  # fmt: skip


def test_a_long_ladder_stays_small() -> None:
    short, told = long(300), long(2000)
    few, many = html(short, short.outcome), html(told, told.outcome)
    assert len(many) < 1.1 * len(few)
    found = sound(many)
    strip = charts.strip(told.evidence.plan, told.standing, told.outcome.edges)
    assert len(strip.cells) < 40
    assert max(cell.x + cell.width for cell in strip.cells) <= strip.width + 0.1
    # To scale, but for kernels that could not be seen.
    assert all(cell.width >= 4 for cell in strip.cells)
    assert "rungs 251 to " in found.text
    assert "2000 kernels" in flat(found)


def test_hundreds_of_boots_still_fit_the_strip() -> None:
    rungs = tuple(rung_of_commit(commit(number)) for number in range(300))
    told = story(
        plan(rungs=rungs), edges=((150, EdgeKind.REMOVED),), boots=range(0, 300, 2), counter="it does not apply"
    )
    strip = charts.strip(told.evidence.plan, told.standing, told.outcome.edges)
    assert max(cell.x + cell.width for cell in strip.cells) <= strip.width + 0.1


def test_packages_have_suspects_and_what_is_not_listed() -> None:
    suspect = Suspect(
        change=Change(
            subject="btrfs: <i>direct</i>", origin=Origin.UPSTREAM, version="6.12.43-1", point_release="6.12.40"
        ),
        score=6,
        matched=("fs/btrfs",),
    )
    told = story(ladders.plan(), edges=((1, EdgeKind.REMOVED), (16, EdgeKind.RESTORED)), boots=(10, 5, 1, 15, 18, 16))
    removed, restored = told.outcome.edges
    gap = Gap(kind=GapKind.RELEASES, names=("6.2", "6.3"))
    edges = (
        replace(removed, suspects=(suspect,), changes=240, gaps=(gap,)),
        replace(restored, suspects=(suspect,), changes=12),
    )
    text = flat(page(told, replace(told.outcome, edges=edges)))
    assert (
        "Suspects: 1 of 240 changes that the changelog lists; not listed are those of new upstream releases 6.2, 6.3:"
        in text
    )
    assert "Suspects, the likeliest first, of 12 changes that the changelog lists:" in text
    assert "6 btrfs: <i>direct</i> 6.12.40 fs/btrfs" in text
    assert f"kab bisect report {told.run.id} --tree ~/linux" in text


def test_an_edge_that_is_not_proven_and_one_that_is_a_set() -> None:
    told = story(edges=((REMOVED, EdgeKind.REMOVED),), befores={REMOVED: REMOVED - 3}, counter="it does not apply")
    (edge,) = told.outcome.edges
    text = flat(page(told, replace(told.outcome, answer=Answer.UNPROVEN, edges=(replace(edge, verdict=None),))))
    assert "removed not proven" in text
    assert "2 kernels between them could not be tested: a set." in text
    assert f'{commit(10).short} ("fs: change number 10")' in text
    evidence = replace(told.evidence, proofs=())
    bare = replace(told, evidence=evidence, standing=stand(evidence, METRICS))
    untold = replace(edge, proof_run=None, verdict=None)
    assert "removed no proof Removed" in flat(page(bare, replace(told.outcome, edges=(untold,))))


def test_what_the_step_of_a_configuration_did() -> None:
    told = story(edges=((REMOVED, EdgeKind.REMOVED),))
    change = OptionChange(name="PROVE_LOCKING", good="n", bad="y")
    (edge,) = told.outcome.edges
    stepped = replace(edge, options=OptionEffect(step=change, took=True))
    assert f"the step did {change.short}" in flat(page(told, replace(told.outcome, edges=(stepped,))))


def test_what_guests_and_commits_say_is_text() -> None:
    evil = "</title><script>alert(1)</script>\u202e"
    crashed = replace(
        boot(TrialSpec(place=RungPlace(rung=20, boot=0)), "20", slow=True),
        outcome=Outcome.CRASHED,
        message=evil,
        findings=(replace(factories.PANIC, message=evil, excerpt=evil),),
        samples={},
    )
    rungs = tuple(rung_of_commit(replace(commit(number), title=evil, author=evil)) for number in range(COMMITS))
    told = story(plan(rungs=rungs), failures=[crashed])
    text = html(told, told.outcome)
    sound(text)
    assert "<script>" not in text
    assert "\u202e" not in text
    assert 'in <a href="#boot-9">boot 9</a>' in text
