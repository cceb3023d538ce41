"""Reports of a search over commits: text, page, JSON and log."""

import json
import re
from dataclasses import replace

import jsonschema
import pytest
from commits import COMMITS, REMOVED, Story, commit, failure, plan, rung_of_commit, sha, story

from harness.bisect.fold import stand
from harness.model.bisection import Answer, EdgeKind, EdgeWish, IdenticalBuild, Mark, Obstacle, RungState
from harness.model.run import SEARCH_ROLES, SubrunRole
from harness.model.source import OperationKind
from harness.model.trial import Finding, FindingKind, Outcome
from harness.report.search import sentences
from harness.report.search.bisectlog import read_log, steps_of, write_log
from harness.report.search.html import bisection_html
from harness.report.search.json import search_json_schema, search_to_json
from harness.report.search.text import bisection_summary
from harness.stats.faults import signature_of
from harness.workloads.registry import METRICS

pytestmark = pytest.mark.unit

TRACE = """BUG: kernel NULL pointer dereference, address: 0000000000000018
#PF: supervisor read access in kernel mode
RIP: 0010:btrfs_direct_write+0x1a2/0x3f0
RSP: 0018:ffffc90000a3bd60 EFLAGS: 00010246
Call Trace:
 btrfs_file_write_iter+0x9b/0x130"""
CRASH = Finding(kind=FindingKind.BUG, message=TRACE.splitlines()[0], excerpt=TRACE, time_s=7.5)


@pytest.fixture(scope="module")
def both() -> Story:
    return story(failures=[failure(20, 0)])


def summary(told: Story) -> str:
    return bisection_summary(told.run, told.evidence, told.standing, told.outcome, METRICS)


def flat(text: str) -> str:
    return " ".join(text.split())


def test_the_summary_names_commits(both: Story) -> None:
    text = summary(both)
    culprit = f'{commit(REMOVED).short} ("btrfs: move mount code to the new mount API")'
    said = flat(text)
    assert f"removed by {culprit}." in said
    assert f"Removed by {culprit}; worse from there on By Ann Ättiksdotter <ann@example.org>, 2023-11-22" in said
    assert re.search(
        rf'Revert test: Effect of the revert alone on top of {commit(30).short} \("fs: .*?"\): queue_depth \+', said
    )
    assert re.search(rf"Revert test: Effect of the commit alone on top of {commit(REMOVED).short} ", said)
    assert f'{commit(20).short} ("fs: change number 20"): build-failed in 1 of 1 boots: fs/btrfs/super.c' in said
    table = [line for line in text.splitlines() if re.match(rf"  +{REMOVED}  {commit(REMOVED).short} ", line)]
    assert table[0].endswith("btrfs: move mount code to the new mount API")
    assert "Suspects" not in text


def test_nothing_of_a_kernel_steers_the_readers_eyes(both: Story) -> None:
    hostile = "\x1b[2J\u202egood\x07"
    rungs = tuple(replace(rung, release=hostile, version=hostile, title=hostile) for rung in both.evidence.plan.rungs)
    evidence = replace(both.evidence, plan=replace(both.evidence.plan, rungs=rungs))
    run = replace(both.run, conditions={"qemu": hostile})
    for text in (
        bisection_summary(run, evidence, both.standing, both.outcome, METRICS),
        bisection_html(run, evidence, both.standing, both.outcome, METRICS),
        write_log(run.id, evidence),
    ):
        assert "\\x1b[2J\\u202egood\\x07" in text or "\\u001b[2J\\u202egood" in text
        assert not set(text) & set("\x1b\u202e\x07")


def test_kernels_that_are_one_are_not_told_as_failures(both: Story) -> None:
    evidence = replace(both.evidence, identical_builds=(IdenticalBuild(rung=33, of=32, after_trials=5),))
    told = replace(both, evidence=evidence, standing=stand(evidence, METRICS))
    skipped, _, alike = summary(told).partition("\nSkipped\n")[2].partition("Not booted, for")
    assert commit(20).short in skipped
    assert commit(33).short not in skipped
    assert f'{commit(33).short} ("fs: change number 33"): the same kernel as {commit(32).short}' in flat(alike)


def test_a_revert_test_that_does_not_apply_is_in_the_summary() -> None:
    text = flat(summary(story(counter="the revert does not apply: fs/btrfs/super.c")))
    assert f"The revert does not apply to {commit(30).short}" in text


def long(count: int = 400) -> Story:
    rungs = tuple(rung_of_commit(commit(number)) for number in range(count))
    return story(
        plan(rungs=rungs), edges=((230, EdgeKind.REMOVED),), boots=(100, 200, 250, 225, 235, 230, 229),
        failures=[failure(150, 0)],
    )  # fmt: skip


def test_long_ladders_fit() -> None:
    told = long()
    lines = summary(told).splitlines()
    strip = lines[next(number for number, line in enumerate(lines) if line.startswith("The ladder (400")) + 1 :]
    # The legend may take two lines.
    strip = [line for line in strip[: strip.index("")] if line.startswith("  ")]
    assert len(strip) <= 4
    assert max(map(len, strip)) <= 96
    # Every kernel is accounted for.
    letters = "".join(strip).replace(commit(0).short, "").replace(commit(399).short, "").split()
    counted = sum(int(word[2:]) if "*" in word else len(word) for word in letters)
    assert counted == 400
    page = bisection_html(told.run, told.evidence, told.standing, told.outcome, METRICS)
    width = float(re.search(r'<svg width="([\d.]+)"', page)[1])
    assert width < 2000
    assert "400 kernels" in page
    hidden = sum(int(count) for count in re.findall(r"<title>(\d+) kernels without a boot</title>", page))
    assert hidden + page.count('class="belief"') == 400
    assert page.count('<rect class="edge"') == 1


def test_short_ladders_are_shown_whole(both: Story) -> None:
    text = summary(both)
    assert f"  {commit(0).short} {both.standing.strip} {commit(COMMITS - 1).short}" in text
    page = bisection_html(both.run, both.evidence, both.standing, both.outcome, METRICS)
    assert page.count('class="belief"') == COMMITS
    assert "kernels without a boot" not in page
    assert f"removed by {commit(REMOVED).short} (&#34;btrfs: move mount code" in page


class TestLog:
    def test_identical_builds_revert_tests_and_marks_are_kept(self, both: Story) -> None:
        evidence = replace(
            both.evidence,
            identical_builds=(
                IdenticalBuild(rung=16, of=15, after_trials=3),
                IdenticalBuild(rung=17, of=15, after_trials=99),
            ),
            marks=(Mark(rung=22, skip=True, reason="by hand", after_trials=2),),
        )
        log = write_log("some-run", evidence)
        again = read_log(log)
        assert again.identical_builds == evidence.identical_builds
        assert again.marks == evidence.marks
        assert [part for part, _, _ in again.proofs] == [part for part, _, _ in evidence.proofs]
        assert {part.role for part, _, _ in again.proofs} == {SubrunRole.PROOF, SubrunRole.REVERT_TEST}
        assert [decision for *_, decision in again.proofs] == [decision for *_, decision in evidence.proofs]
        assert stand(again, METRICS) == stand(evidence, METRICS)
        assert write_log("some-run", again) == log
        early, late = (next(step for step in steps_of(again) if len(step.trials) == count) for count in (2, 4))
        assert early.identical_builds == ()
        assert late.identical_builds == evidence.identical_builds[:1]
        assert len(early.marks) == len(late.marks) == 1

    def test_crashes_keep_what_tells_them_apart(self) -> None:
        other = replace(CRASH, excerpt=TRACE.replace("btrfs_direct_write", "ext4_file_write_iter"))
        crashed = [
            replace(failure(20, number, Outcome.CRASHED, "the kernel crashed in measure"), findings=(finding,))
            for number, finding in enumerate((CRASH, other, CRASH))
        ]
        told = story(failures=crashed)
        evidence = replace(told.evidence, confirm=True)
        assert (
            sentences.rung_note(evidence.plan, stand(evidence, METRICS).rungs[20])
            == "crashed in 2 of 3 boots: the kernel crashed in measure"
        )
        log = write_log("some-run", evidence)
        again = read_log(log)
        assert list(map(signature_of, again.trials[:3])) == list(map(signature_of, crashed))
        assert stand(again, METRICS) == stand(evidence, METRICS)
        # With one of the two alike taken away nothing is proven: a replay shows that too.
        fewer = replace(again, trials=again.trials[1:])
        assert stand(fewer, METRICS).rungs[20].state is not RungState.SKIP
        # No more of the trace than that takes.
        assert "btrfs_file_write_iter" not in log
        assert "RIP: 0010:btrfs_direct_write" in log

    def test_a_failed_boot_keeps_message_and_samples(self, both: Story) -> None:
        rotten = replace(
            both.evidence.trials[1], outcome=Outcome.CORRUPTED, message="the checksum differs: é # \"quoted\"",
        )  # fmt: skip
        again = read_log(write_log("some-run", replace(both.evidence, trials=(rotten,))))
        (read,) = again.trials
        assert (read.message, read.samples, read.outcome) == (rotten.message, rotten.samples, rotten.outcome)

    def test_logs_of_version_1_are_read(self, both: Story) -> None:
        log = write_log("some-run", replace(both.evidence, trials=both.evidence.trials[1:2], proofs=()))
        old = log.replace("version 2", "version 1")
        old += 'boot search 20.0.0 candidate crashed 77ab01 "it broke" # 7.2\n'
        old += 'boot search 21.0.0 candidate corrupted 77ab02 {"queue_depth": [3.0, 3.1]} # 7.2\n'
        read = read_log(old)
        assert read.trials[0].samples == both.evidence.trials[1].samples
        assert read.trials[1].message == "it broke"
        assert read.trials[2].samples == {"queue_depth": (3.0, 3.1)}


def valid(document):
    text = json.dumps(document, allow_nan=False)
    validator = jsonschema.Draft202012Validator(
        search_json_schema(), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    assert list(validator.iter_errors(json.loads(text))) == []
    return json.loads(text)


class TestJson:
    def document(self, told: Story):
        return valid(search_to_json(told.run, told.evidence, told.standing, told.outcome, METRICS))

    def test_everything_is_in_it(self, both: Story) -> None:
        document = self.document(both)
        assert document["schema"] == "kab/bisect-1"
        assert (document["answer"], document["exit_code"]) == ("found", 0)
        assert len(document["rungs"]) == COMMITS
        assert document["rungs"][20]["state"] == "skip"
        assert document["rungs"][REMOVED]["commit"]["sha"] == sha(REMOVED)
        assert document["rungs"][REMOVED]["slow"] > 0.9
        removed, restored = document["edges"]
        assert removed["culprit"]["title"] == "btrfs: move mount code to the new mount API"
        assert removed["proven"]
        assert removed["proof"]["decision"]["metric"] == "queue_depth"
        (queue,) = [
            one for one in removed["proof"]["decision"]["comparisons"] if one["metric"] == "queue_depth"
        ]  # fmt: skip
        assert queue["low"] < queue["ratio"] < queue["high"] < 0.4
        assert "serialised" in queue["reading"]
        assert restored["counterproof"]["kind"] == "pick"
        assert restored["counterproof"]["holds"]
        assert restored["counterproof"]["decision"]["verdict"] == "faster"
        assert removed["git_bisect_log"].startswith("git bisect start")
        boots = document["boots"]
        made = len(both.evidence.ends) + len(both.evidence.trials) + sum(len(t) for _, t, _ in both.evidence.proofs)
        assert len(boots) == made
        undone = [boot for boot in boots if boot["part"] == "counterproof" and boot["arm"] == "candidate"]
        assert undone
        assert all(boot["rung"] is None for boot in undone)
        assert document["belief"]["strip"] == both.standing.strip

    @pytest.mark.parametrize("ends", [True, False])
    def test_an_open_search(self, both: Story, ends: bool) -> None:
        evidence = replace(both.evidence, trials=both.evidence.trials[:3], proofs=())
        if not ends:
            evidence = replace(evidence, ends=(), ends_decision=None, trials=())
        told = replace(both, evidence=evidence, standing=stand(evidence, METRICS))
        document = valid(search_to_json(told.run, told.evidence, told.standing, None, METRICS))
        assert (document["answer"], document["exit_code"], document["edges"]) == (None, None, [])
        assert (document["ends"] is not None) == ends

    def test_a_revert_test_that_does_not_apply(self) -> None:
        document = self.document(story(counter="does not apply"))
        counter = document["edges"][0]["counterproof"]
        assert (counter["run"], counter["decision"], counter["holds"]) == (None, None, False)
        assert counter["reason"] == "does not apply"

    def test_the_schema_is_not_for_everything(self, both: Story) -> None:
        schema = search_json_schema()
        jsonschema.Draft202012Validator.check_schema(schema)
        for break_it in (
            lambda found: found.pop("edges"),
            lambda found: found.update(answer="perhaps"),
            lambda found: found["edges"][0]["culprit"].update(sha="HEAD"),
            lambda found: found["edges"][0]["counterproof"].pop("holds"),
            lambda found: found["boots"][0].update(part="some"),
            lambda found: found["rungs"][0].update(state="good"),
        ):
            broken = self.document(both)
            break_it(broken)
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate(broken, schema)

    def test_the_schema_knows_every_value_that_the_model_has(self) -> None:
        properties = search_json_schema()["properties"]
        assert set(properties["answer"]["enum"]) == {*Answer, None}
        assert set(properties["plan"]["properties"]["edges"]["enum"]) == set(EdgeWish)
        assert set(properties["rungs"]["items"]["properties"]["state"]["enum"]) == set(RungState)
        assert set(properties["edges"]["items"]["properties"]["kind"]["enum"]) == set(EdgeKind)
        boot = properties["boots"]["items"]["properties"]
        assert set(boot["part"]["enum"]) == {*SEARCH_ROLES, "search"}
        assert set(boot["outcome"]["enum"]) == set(Outcome)
        kinds = set(search_json_schema()["$defs"]["counterproof"]["properties"]["kind"]["enum"])
        assert kinds == set(OperationKind) - {OperationKind.MERGE}
        obstacles = search_json_schema()["$defs"]["counterproof"]["properties"]["obstacle"]["enum"]
        assert set(obstacles) == {*Obstacle, None}
