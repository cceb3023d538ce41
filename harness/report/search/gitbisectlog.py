"""One edge of a search as `git bisect log` prints one: `git bisect replay` reads it and ends at the culprit.

kab searches a history as one line of kernels (harness.history.lineage), git searches a graph. What both mean alike
becomes a statement: commits of the line itself. A commit of a side branch was measured merged into the line and never
alone, so it is told in a comment; only the culprit and its parents, without which replay cannot end, are always stated.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.bisect.evidence import Evidence, ends_of, rung_of
from harness.bisect.view import Standing
from harness.model.bisection import BisectionPlan, Edge, EdgeKind, RungState
from harness.model.source import Commit
from harness.parse.foreign import printable
from harness.report.search.rungs import git_spec, name, revision, title

# Terms for the older and the newer side of an edge.
_TERMS = {EdgeKind.REMOVED: ("fast", "slow"), EdgeKind.RESTORED: ("slow", "fast")}


def git_bisect_log(evidence: Evidence, standing: Standing, edge: Edge, edges: Sequence[Edge]) -> str:
    """Text for `git bisect replay`, with a last newline; "" where the edge is not between commits.

    Of a history with several `edges` only the stretch between the neighbouring ones is told.
    """
    plan = evidence.plan
    suspects = _suspects(plan, edge)
    if not suspects:
        return ""
    old, new = _TERMS[edge.kind]
    lower = max((one.after for one in edges if one.after <= edge.before), default=0)
    upper = min((one.before for one in edges if one.before >= edge.after), default=plan.last)
    writer = _Writer(plan, edge, suspects)
    lines = [f"git bisect start '--term-old={old}' '--term-new={new}'"]
    for rung in _measured(evidence, standing):
        if lower <= rung <= upper:
            lines += writer.measured(rung, skipped=standing.rungs[rung].state is RungState.SKIP)
    lines += writer.culprit()
    return "\n".join(lines) + "\n"


def _suspects(plan: BisectionPlan, edge: Edge) -> tuple[Commit, ...]:
    """The culprit, or the commits between the neighbours where some could not be tested; oldest first."""
    if edge.culprit is not None:
        return (edge.culprit,)
    found = [plan.rungs[rung].commit for rung in range(edge.before + 1, edge.after + 1)]
    known = tuple(commit for commit in found if commit is not None)
    return known if len(known) == len(found) else ()


def _measured(evidence: Evidence, standing: Standing) -> Sequence[int]:
    """Rungs in the order of their first boots; then those that were skipped without one."""
    order = [rung for rung, _ in ends_of(evidence.plan, evidence.ends)]
    order += [trial.place.rung for trial in evidence.trials]
    for subrun, trials, _ in evidence.proofs:
        arms = (rung_of(evidence.plan, subrun, trial.place.arm) for trial in trials)
        order += [rung for rung in arms if rung is not None]
    there = [rung for rung in dict.fromkeys(order) if standing.rungs[rung].state is not RungState.UNKNOWN]
    skipped = (rung for rung, known in enumerate(standing.rungs) if known.state is RungState.SKIP)
    return list(dict.fromkeys([*there, *skipped]))


def _ancestors(plan: BisectionPlan, commit: Commit) -> frozenset[str]:
    """Hashes of the commits that a commit of the plan surely contains: found by their parents, as far as those go."""
    known = {rung.commit.sha: rung.commit for rung in plan.rungs if rung.commit}
    found: set[str] = set()
    open_ = list(commit.parents)
    while open_:
        sha = open_.pop()
        if sha not in found:
            found.add(sha)
            open_ += known[sha].parents if sha in known else ()
    return frozenset(found)


@dataclass(slots=True)
class _Writer:
    """Statements so far."""

    plan: BisectionPlan
    edge: Edge
    suspects: tuple[Commit, ...]
    # Hashes of commits that the last suspect surely contains.
    ancestors: frozenset[str]
    said: set[str]
    # The oldest rung stated to be on the new side: git takes the last statement, whatever was said before.
    newest: int

    def __init__(self, plan: BisectionPlan, edge: Edge, suspects: tuple[Commit, ...]) -> None:
        self.plan, self.edge, self.suspects = plan, edge, suspects
        self.ancestors = _ancestors(plan, suspects[-1])
        self.said = set()
        self.newest = plan.last + 1

    def measured(self, rung: int, *, skipped: bool) -> Iterator[str]:
        """A kernel that was booted (or that could not be)."""
        old, new = _TERMS[self.edge.kind]
        there, sha = self.plan.rungs[rung], revision(self.plan.rungs[rung])
        term = "skip" if skipped else old if rung <= self.edge.before else new
        if self.edge.before < rung < self.edge.after and not skipped:
            return
        if sha is None:
            spec = git_spec(there)
            into = f", merged into {spec.revision[:12]}" if spec else ""
            yield f"# {term}: {_bracketed(there.commit.sha if there.commit else name(there), title(there))}{into}"
            return
        yield f"# {term}: {_bracketed(sha, title(there))}"
        if self._narrows(rung, sha, term):
            self.said.add(sha)
            yield f"git bisect {term} {sha}"

    def _narrows(self, rung: int, sha: str, term: str) -> bool:
        """Whether git can take the statement in: it knows of no doubt, and takes no older side beside the culprit."""
        last = self.suspects[-1]
        if term == _TERMS[self.edge.kind][1]:
            if rung >= self.newest:
                return False
            self.newest = rung
            return True
        if term == "skip":
            return sha not in {commit.sha for commit in self.suspects}
        # The commits of the line contain those before them; one of a side branch contains what its parents do.
        on_line = last.sha == revision(self.plan.rungs[self.edge.after])
        return on_line or sha in self.ancestors

    def culprit(self) -> Iterator[str]:
        """What replay needs to end at the suspects: their parents on the old side, the last of them on the new one."""
        old, new = _TERMS[self.edge.kind]
        inside = {commit.sha for commit in self.suspects}
        commits = {rung.commit.sha: rung.commit for rung in self.plan.rungs if rung.commit}
        for commit in self.suspects:
            for parent in commit.parents:
                if parent in self.said | inside:
                    continue
                self.said.add(parent)
                known = commits.get(parent)
                yield f"# {old}: {_bracketed(parent, known.title if known else f'parent of {commit.short}')}"
                yield f"git bisect {old} {parent}"
        last = self.suspects[-1]
        if last.sha not in self.said or self.newest > self.edge.after:
            yield f"# {new}: {_bracketed(last.sha, last.title)}"
            yield f"git bisect {new} {last.sha}"
        if len(self.suspects) == 1:
            yield f"# first {new} commit: {_bracketed(last.sha, last.title)}"
            return
        for commit in self.suspects[:-1]:
            yield f"git bisect skip {commit.sha}"
        yield "# only skipped commits left to test"
        for commit in self.suspects:
            yield f"# possible first {new} commit: {_bracketed(commit.sha, commit.title)}"


def _bracketed(sha: str, text: str) -> str:
    # A comment is one line: what follows a line feed would be a statement.
    return f"[{sha}] {printable(text)}".rstrip()
