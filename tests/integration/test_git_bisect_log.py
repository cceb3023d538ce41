"""What kab writes as a `git bisect log`, git itself replays to the same commit."""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import commits
import pytest
from commits import failure, rung_of_commit, story

from harness.history.lineage import linearise
from harness.model.bisection import BisectionPlan, EdgeKind
from harness.model.source import Commit
from harness.report.search.gitbisectlog import git_bisect_log
from harness.report.search.mail import list_mail
from harness.workloads.registry import METRICS

pytestmark = pytest.mark.integration

WHO = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Ann"), ("EMAIL", "ann@example.org"))
}


class Repository:
    """A small history: c0..c5, a side branch s1..s4 forked at c1 and merged after c5, c6..c9."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.git("init", "-q", "-b", "main")
        self.count = 0
        self.line = [self.commit(f"c{number}") for number in range(2)]
        self.git("checkout", "-q", "-b", "side")
        self.side = [self.commit(f"s{number}") for number in range(1, 5)]
        self.git("checkout", "-q", "main")
        self.line += [self.commit(f"c{number}") for number in range(2, 6)]
        self.git("merge", "-q", "--no-ff", "-m", "Merge side", "side")
        self.merge = self.read("HEAD")
        self.after = [self.commit(f"c{number}") for number in range(6, 10)]

    def git(self, *words: str, check: bool = True) -> str:
        done = subprocess.run(
            ["git", *words], cwd=self.folder, env={"PATH": "/usr/bin:/bin", "HOME": str(self.folder), **WHO},
            capture_output=True, text=True, check=check,
        )  # fmt: skip
        return done.stdout + done.stderr

    def commit(self, title: str) -> Commit:
        self.count += 1
        (self.folder / f"{title}.txt").write_text(title)
        self.git("add", ".")
        self.git("commit", "-q", "-m", title)
        return self.read("HEAD")

    def read(self, name: str) -> Commit:
        text = self.git("log", "-1", "--format=%H%x00%P%x00%T%x00%s%x00%an%x00%ae%x00%cI", name).strip()
        sha, parents, tree, title, author, email, date = text.split("\0")
        return Commit(
            sha=sha, parents=tuple(parents.split()), tree=tree, title=title, author=author, email=email, date=date
        )

    @property
    def plan(self) -> BisectionPlan:
        """The one line that kab makes of it."""
        first, *others = self.line
        return BisectionPlan(
            rungs=tuple(
                rung_of_commit(
                    place.commit,
                    f"git:{self.folder}@{place.revision}" + "".join(f"+merge={sha}" for sha in place.merged),
                )
                for place in linearise((*others, *self.side, self.merge, *self.after), first)
            )
        )

    def replay(self, log: str) -> str:
        """What git says after the log."""
        file = self.folder.parent / "search.log"
        file.write_text(log)
        self.git("bisect", "reset", check=False)
        return self.git("bisect", "replay", str(file), check=False)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    folder = tmp_path / "linux"
    folder.mkdir()
    return Repository(folder)


def logs(
    searched: BisectionPlan, edges: Sequence[tuple[int, EdgeKind]], boots: Sequence[int], **more: object
) -> list[str]:
    told = story(searched, edges=edges, boots=boots, **more)
    return [git_bisect_log(told.evidence, told.standing, edge, told.outcome.edges) for edge in told.outcome.edges]


# Rungs: 0..5 are c0..c5, 6..9 made from s1..s4, 10 the merge itself, 11..14 are c6..c9.
@pytest.mark.parametrize("after", range(1, 15))
@pytest.mark.parametrize("kind", EdgeKind)
def test_one_edge_wherever_it_is(repository: Repository, after: int, kind: EdgeKind) -> None:
    plan = repository.plan
    culprit = plan.rungs[after].commit
    assert culprit is not None
    boots = [rung for rung in (7, 3, 10, 5, 12, after, after - 1) if 0 < rung < plan.last]
    (log,) = logs(plan, [(after, kind)], boots)
    new = "slow" if kind is EdgeKind.REMOVED else "fast"
    assert f"{culprit.sha} is the first {new} commit" in repository.replay(log)
    assert f"# first {new} commit: [{culprit.sha}] {culprit.title}" in log
    assert repository.git("bisect", "log").splitlines()[-1] == f"# first {new} commit: [{culprit.sha}] {culprit.title}"
    # git itself wrote the same statements into its own log.
    mine = set(re.findall(r"^git bisect (?:fast|slow|skip) .*$", log, re.MULTILINE))
    its = set(re.findall(r"^git bisect (?:fast|slow|skip) .*$", repository.git("bisect", "log"), re.MULTILINE))
    assert mine == its


@pytest.mark.parametrize("pair", [(1, 4), (2, 8), (3, 10), (5, 11), (7, 9), (6, 13), (4, 14)])
def test_two_edges_have_a_log_each(repository: Repository, pair: tuple[int, int]) -> None:
    plan = repository.plan
    boots = [rung for rung in (7, 3, 10, 12, 5, *pair, pair[0] - 1, pair[1] - 1) if 0 < rung < plan.last]
    both = logs(plan, [(pair[0], EdgeKind.REMOVED), (pair[1], EdgeKind.RESTORED)], boots)
    for rung, new, log in zip(pair, ("slow", "fast"), both, strict=True):
        assert f"{plan.rungs[rung].commit.sha} is the first {new} commit" in repository.replay(log)


def test_commits_of_a_side_branch_are_no_statements_but_for_the_parent(repository: Repository) -> None:
    (log,) = logs(repository.plan, [(8, EdgeKind.REMOVED)], [6, 7, 8])
    s1, s2, s3 = (commit.sha for commit in repository.side[:3])
    assert f"# fast: [{s1}] s1, merged into {repository.line[-1].sha[:12]}" in log
    assert f"git bisect fast {s1}" not in log
    assert f"git bisect fast {s2}\n" in log
    assert f"git bisect slow {s3}\n" in log


def test_what_cannot_be_tested_is_skipped(repository: Repository) -> None:
    plan = repository.plan
    culprit = plan.rungs[12].commit
    (log,) = logs(plan, [(12, EdgeKind.REMOVED)], [11, 12], failures=[failure(3, 0), failure(10, 0)])
    assert f"git bisect skip {plan.rungs[10].commit.sha}" in log
    assert f"{culprit.sha} is the first slow commit" in repository.replay(log)


def test_a_set_that_cannot_be_told_apart_is_one_for_git_too(repository: Repository) -> None:
    plan = repository.plan
    (log,) = logs(plan, [(13, EdgeKind.REMOVED)], [10, 9], failures=[failure(11, 0), failure(12, 0)], befores={13: 10})
    said = repository.replay(log)
    for rung in (11, 12, 13):
        assert f"possible first slow commit: [{plan.rungs[rung].commit.sha}]" in log
        assert plan.rungs[rung].commit.sha in said
    assert plan.rungs[10].commit.sha not in said
    assert "only 'skip'ped commits left" in said


@pytest.mark.parametrize(("before", "after"), [(7, 9), (8, 10), (5, 7), (4, 8), (9, 12)])
def test_a_set_with_commits_of_a_side_branch(repository: Repository, before: int, after: int) -> None:
    plan = repository.plan
    between = range(before + 1, after)
    (log,) = logs(
        plan,
        [(after, EdgeKind.REMOVED)],
        [rung for rung in (before, after, 2, 12) if rung not in between],
        failures=[failure(rung, 0) for rung in between],
        befores={after: before},
    )
    said = repository.replay(log)
    for rung in (*between, after):
        assert f"possible first slow commit: [{plan.rungs[rung].commit.sha}]" in log
    assert plan.rungs[after].commit.sha in said
    for rung in range(before + 1):
        assert plan.rungs[rung].commit.sha not in said


def test_a_history_limited_to_paths(repository: Repository) -> None:
    """Parents that have no rung are stated all the same."""
    whole = repository.plan
    for kept in ((0, 2, 4, 7, 9, 11, 14), (0, 8, 14), (0, 6, 9, 14)):
        limited = replace(whole, rungs=tuple(whole.rungs[rung] for rung in kept))
        for after in range(1, len(kept)):
            (log,) = logs(limited, [(after, EdgeKind.REMOVED)], list(range(1, len(kept) - 1)))
            assert f"{limited.rungs[after].commit.sha} is the first slow commit" in repository.replay(log)


def test_the_mail_as_a_whole_replays(repository: Repository) -> None:
    plan = repository.plan
    told = story(plan, edges=[(4, EdgeKind.REMOVED)], boots=[7, 3, 4, 5])
    mail = list_mail(told.run, told.evidence, told.standing, told.outcome, METRICS, subruns=told.subruns)
    assert f"{plan.rungs[4].commit.sha} is the first slow commit" in repository.replay(mail)


def test_packages_have_no_such_log() -> None:
    told = story()
    plan = replace(
        told.evidence.plan,
        rungs=tuple(replace(rung, commit=None, spec="debian:6.12") for rung in told.evidence.plan.rungs),
    )
    edges = tuple(replace(edge, culprit=None) for edge in told.outcome.edges)
    evidence = replace(told.evidence, plan=plan)
    assert [git_bisect_log(evidence, told.standing, edge, edges) for edge in edges] == ["", ""]
    assert len(plan.rungs) == commits.COMMITS
