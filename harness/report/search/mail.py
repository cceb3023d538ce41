"""A search as a mail for a kernel mailing list: one change, its proof, its revert test, and how to see it again.

Subject, `commit:` line and table are those of the kernel test robot's reports; `#regzbot` lines are for the regression
tracker. One mail is about one change, the regression where there is one; a change that undoes it is told after it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.bisect.evidence import Evidence
from harness.bisect.view import Standing
from harness.model.bisection import BisectionOutcome, BisectionPlan, Edge, EdgeKind, RevertTest, RungState
from harness.model.experiment import BlockPlace
from harness.model.run import Run
from harness.model.source import Commit
from harness.model.trial import Trial
from harness.model.verdict import Comparison, Decision, Verdict
from harness.model.workload import Metric
from harness.parse.foreign import printable
from harness.report import wording
from harness.report.decisions import decision_reason
from harness.report.layout import wrap
from harness.report.search import rungs, suspects
from harness.report.search.gaps import gap_sentence
from harness.report.search.gitbisectlog import git_bisect_log
from harness.report.search.mailpeople import recipients
from harness.report.search.mailsetting import repeat_section, setting_section
from harness.report.search.mailtable import change, effect, table
from harness.report.search.reasons import missed_text
from harness.report.search.reverttest import revert_test_sentence
from harness.report.witness import explain

WIDTH = 76
_WORDS = {EdgeKind.REMOVED: "regression", EdgeKind.RESTORED: "improvement"}
_MOVED = frozenset({Verdict.FASTER, Verdict.SLOWER})
_SUSPECTS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mail:
    """What a mail is made from."""

    run: Run
    evidence: Evidence
    standing: Standing
    metrics: Mapping[str, Metric]
    edges: tuple[Edge, ...]
    # A/B runs of the search, by id.
    subruns: Mapping[str, Run] = field(default_factory=dict)
    tree: str = ""

    @property
    def plan(self) -> BisectionPlan:
        return self.evidence.plan

    def subrun(self, run_id: str | None) -> tuple[tuple[Trial[BlockPlace], ...], Decision] | None:
        """Boots and decision of a finished A/B run of the search."""
        found = (one for one in self.evidence.proofs if one[0].run_id == run_id)
        return next(((trials, decision) for _, trials, decision in found), None)

    def proof_run(self, edge: Edge) -> Run | None:
        """The A/B run of an edge's neighbours, where it is at hand."""
        return self.subruns.get(edge.proof_run or "")

    def restored(self, edge: Edge) -> Edge | None:
        """The first edge that brings back what `edge` lost."""
        return next((one for one in self.edges if one.kind is EdgeKind.RESTORED and one.before >= edge.after), None)


def list_mail(
    run: Run,
    evidence: Evidence,
    standing: Standing,
    outcome: BisectionOutcome | None,
    metrics: Mapping[str, Metric],
    *,
    subruns: Mapping[str, Run] | None = None,
    tree: str = "",
) -> str:
    """The mail, headers first, with a last newline; pure: the same stored search gives the same text.

    ``subruns`` are the A/B runs of the search by id, for the configuration and compiler of the neighbours and the
    command that compares them. ``tree`` stands in the subject ("linus:master"); without it the tree's folder does.
    """
    edges = outcome.edges if outcome else ()
    mail = _Mail(
        run=run, evidence=evidence, standing=standing, metrics=metrics, edges=edges, subruns=subruns or {}, tree=tree
    )
    if not edges:
        return _nothing(mail, outcome)
    first = _first(mail)
    sections = [
        _headers(mail, first),
        _opening(mail, first),
        *(section for edge in (first, *(one for one in edges if one is not first)) for section in _edge(mail, edge)),
        _searched(mail, outcome),
        setting_section(run, mail.proof_run(first), width=WIDTH),
        repeat_section(run, mail.proof_run(first), width=WIDTH),
        _regzbot(mail, first),
        *_logs(mail, first),
    ]
    return _joined(sections)


def _joined(sections: Sequence[Sequence[str]]) -> str:
    # Each line through `printable`: a title or a name with a line feed in it must not become a header of its own.
    return "\n\n".join("\n".join(printable(line).rstrip() for line in lines) for lines in sections if lines) + "\n"


def _nothing(mail: _Mail, outcome: BisectionOutcome | None) -> str:
    """A search that names no change has not much to tell."""
    ends = f"{rungs.name(mail.plan.rungs[0])}..{rungs.name(mail.plan.rungs[-1])}"
    said = "no change found" if outcome else "search not finished"
    why = outcome.reason if outcome else "its boots so far are below"
    sections = [
        [f"Subject: [{_tree(mail)}] [{_subsystem(mail, None)}] {ends}: {said}"],
        wrap(f"kab searched {ends} and names no change: {why}.", width=WIDTH),
        _searched(mail, outcome),
        setting_section(mail.run, None, width=WIDTH),
        repeat_section(mail.run, None, width=WIDTH),
    ]
    return _joined(sections)


def _first(mail: _Mail) -> Edge:
    """The change that the mail is about: a loss that is still there, else a loss, else what there is."""
    lost = [edge for edge in mail.edges if edge.kind is EdgeKind.REMOVED]
    return next((edge for edge in lost if mail.restored(edge) is None), (*lost, *mail.edges)[0])


def _tree(mail: _Mail) -> str:
    if mail.tree:
        return mail.tree
    spec = rungs.git_spec(mail.plan.rungs[-1])
    if spec is not None:
        return Path(spec.tree).name or "linux"
    return mail.plan.rungs[-1].spec.partition(":")[0]


def _subsystem(mail: _Mail, edge: Edge | None) -> str:
    """The prefix of the culprit's title, else what the workload is about."""
    prefix, colon, _ = edge.culprit.title.partition(": ") if edge and edge.culprit else ("", "", "")
    if colon and " " not in prefix:
        return prefix
    folders = mail.evidence.experiment.workload.subsystems
    return folders[0].rpartition("/")[2] if folders else mail.evidence.experiment.filesystem.type


def _place(mail: _Mail, edge: Edge) -> str:
    """The commit, or the two kernels beside the edge."""
    if edge.culprit is not None:
        return edge.culprit.short
    before, after = mail.plan.rungs[edge.before], mail.plan.rungs[edge.after]
    if rungs.has_commits(mail.plan):
        return f"{rungs.name(before)}..{rungs.name(after)}"
    return rungs.name(after) if mail.plan.built else f"{before.version}..{after.version}"


def _leading(mail: _Mail, edge: Edge) -> Comparison | None:
    """What the subject tells of: the deciding metric; where that is a witness the speed with it, if that moved."""
    found = mail.subrun(edge.proof_run)
    if found is None or not edge.proven:
        return None
    second = wording.speed(mail.run, found[1], mail.metrics)
    return second if second is not None and second.verdict is edge.verdict else wording.deciding(found[1])


def _measured(mail: _Mail, edge: Edge) -> str:
    """``fio.write_iops -53.2% regression``, or what is not known."""
    leading = _leading(mail, edge)
    if leading is None or leading.ratio is None:
        return f"suspected {_WORDS[edge.kind]}" if not edge.proven else _WORDS[edge.kind]
    metric = mail.metrics.get(leading.metric)
    source = "" if metric is None or metric.witness else f"{mail.run.experiment.workload.kind}."
    return f"{source}{leading.metric} {change(leading.ratio)} {_WORDS[edge.kind]}"


def _headers(mail: _Mail, edge: Edge) -> list[str]:
    mark = "[REGRESSION] " if _is_regression(mail, edge) else ""
    where = f"{mark}[{_tree(mail)}] [{_subsystem(mail, edge)}]"
    lines = [f"Subject: {where} {_place(mail, edge)}: {_measured(mail, edge)}"]
    return lines if edge.culprit is None else [*lines, *recipients(edge.culprit, lost=edge.kind is EdgeKind.REMOVED)]


def _is_regression(mail: _Mail, edge: Edge) -> bool:
    """Whether the subject says so, as the kernel's documents ask for: of a kernel, proven, and not mended since."""
    of_options = mail.plan.built and not rungs.has_commits(mail.plan)
    return edge.kind is EdgeKind.REMOVED and edge.proven and mail.restored(edge) is None and not of_options


def _opening(mail: _Mail, edge: Edge) -> list[str]:
    article = "an" if edge.kind is EdgeKind.RESTORED else "a"
    lines = ["Hello,", "", *wrap(f"kab measured {article} {_opening_words(mail, edge)} on:", width=WIDTH), ""]
    lines += _identity(mail, edge)
    told = _fate(mail, edge)
    return [*lines, "", *wrap(told, width=WIDTH)] if told else lines


def _opening_words(mail: _Mail, edge: Edge) -> str:
    leading = _leading(mail, edge)
    if leading is None or leading.ratio is None:
        return f"{_WORDS[edge.kind]}, NOT proven by A/B (it says {edge.verdict or 'nothing'}),"
    of = mail.metrics[leading.metric].title if leading.metric in mail.metrics else leading.metric
    return f"{_WORDS[edge.kind]} of {change(leading.ratio)} in {leading.metric} ({of})"


def _identity(mail: _Mail, edge: Edge) -> list[str]:
    """The commit; or the kernels beside the edge, with the commits or changes between them."""
    if edge.culprit is not None:
        return _commit_lines(edge.culprit)
    before, after = mail.plan.rungs[edge.before], mail.plan.rungs[edge.after]
    old, new = ("fast", "slow") if edge.kind is EdgeKind.REMOVED else ("slow", "fast")
    lines = [f"last {old} kernel:  {rungs.full_name(before)}", f"first {new} kernel: {rungs.full_name(after)}"]
    between = mail.plan.rungs[edge.before + 1 : edge.after + 1]
    if rungs.has_commits(mail.plan):
        lines += ["", *wrap("What is between them cannot be tested; it is one of:", width=WIDTH)]
        lines += [f"  {rungs.full_name(rung)}" for rung in between]
    elif found := suspects.suspects_of(edge):
        lines += ["", *wrap(f"{suspects.heading(edge)}:", width=WIDTH)]
        for suspect in found[:_SUSPECTS]:
            said = f"{suspect.change.subject} ({suspects.source_of(suspect.change)})"
            lines += wrap(said, indent="  ", hang="      ", width=WIDTH)
    # What the tree of one's own lacks is nothing for a list.
    for gap in () if suspects.suspects_of(edge) else suspects.missing(edge):
        lines += wrap(f"Mind: {gap_sentence(gap)}", width=WIDTH)
    return lines


def _commit_lines(commit: Commit) -> list[str]:
    title = printable(commit.title)
    return [
        f'commit: {commit.sha} ("{title}")',
        f"author: {commit.author} <{commit.email}>",
        f"date:   {commit.date[:10]}",
    ]


def _fate(mail: _Mail, edge: Edge) -> str:
    """Whether a loss is still there."""
    if edge.kind is not EdgeKind.REMOVED:
        return ""
    back, last = mail.restored(edge), mail.plan.rungs[-1]
    if back is not None:
        where = rungs.tag(back.culprit) if back.culprit else rungs.full_name(mail.plan.rungs[back.after])
        return f"It is gone since {where}, see below."
    if mail.standing.rungs[-1].state is RungState.SLOW:
        return f"The newest kernel tested, {rungs.full_name(last)}, is still slow."
    return ""


def _edge(mail: _Mail, edge: Edge) -> list[list[str]]:
    """An edge's proof and revert test; one that the mail is not about says first which it is."""
    sections: list[list[str]] = []
    if edge is not _first(mail):
        said = f"Another change, {_measured(mail, edge)}, came with:"
        sections.append([*wrap(said, width=WIDTH), "", *_identity(mail, edge)])
    found = mail.subrun(edge.proof_run)
    names = (rungs.parent_name(mail.plan, edge), rungs.name(mail.plan.rungs[edge.after]))
    if found is None:
        sections.append(["Proof: none was made."])
    else:
        trials, decision = found
        sections.append(_proof(edge, decision, names, mail))
        sections.append(table(names, decision, trials, mail.metrics, width=WIDTH))
        sections.append(_witnesses(mail, decision))
    if edge.revert_test is not None:
        sections.append(_revert_test(mail, edge.revert_test))
    elif rungs.has_commits(mail.plan):
        sections.append(["Revert test: none was made."])
    return sections


def _proof(edge: Edge, decision: Decision, names: tuple[str, str], mail: _Mail) -> list[str]:
    """What the commit does to its parent."""
    leading, second = wording.deciding(decision), wording.speed(mail.run, decision, mail.metrics)
    told = [effect(one) for one in (leading, second) if one is not None]
    what = "Effect of the commit" if edge.culprit else "Effect"
    if not edge.proven:
        what = f"NOT proven (A/B says {edge.verdict}): {what.lower()}"
    against = f"{names[1]} against {names[0]}"
    return wrap(f"{what}, {against}: {'; '.join(told) or decision_reason(decision)}.", width=WIDTH)


def _witnesses(mail: _Mail, decision: Decision) -> list[str]:
    lines = []
    for found in wording.shown(decision, mail.metrics):
        metric = mail.metrics.get(found.metric)
        if metric is None or not metric.witness or (found.verdict not in _MOVED and found.metric != decision.metric):
            continue
        reading = explain(metric, found.baseline, found.candidate, ("before", "after"))
        lines += wrap(f"{metric.name}: {metric.title}. {_capital(reading)}.", indent="  ", hang="    ", width=WIDTH)
    return ["What the witnesses say:", *lines] if lines else []


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _revert_test(mail: _Mail, counter: RevertTest) -> list[str]:
    """What undoing the loss does at the far end of the slow stretch."""
    found = mail.subrun(counter.run)
    told = ""
    if found is not None:
        leading, second = wording.deciding(found[1]), wording.speed(mail.run, found[1], mail.metrics)
        told = "; ".join(effect(one) for one in (leading, second) if one is not None)
    return wrap(revert_test_sentence(mail.plan, counter, told), width=WIDTH)


def _searched(mail: _Mail, outcome: BisectionOutcome | None) -> list[str]:
    plan, standing = mail.plan, mail.standing
    noun = "commits" if rungs.has_commits(plan) else "kernels"
    tested = sum(rung.boots > 0 and rung.state is not RungState.SKIP for rung in standing.rungs)
    skipped = sum(rung.state is RungState.SKIP for rung in standing.rungs)
    proofs = sum(len(trials) for _, trials, _ in mail.evidence.proofs)
    ends = f"{rungs.name(plan.rungs[0])} to {rungs.name(plan.rungs[-1])}"
    boots = f"{wording.counted(standing.boots, 'boot')}, and {proofs} more for the proofs"
    text = (
        f"Searched: {len(plan.rungs)} {noun} from {ends}, of which {tested} were booted and {skipped} could not be "
        f"tested; {boots}."
    )
    if outcome is not None and outcome.edges:
        text += f" Before any proof the search believed its result with probability {outcome.probability:.3g}."
        if missed := missed_text(outcome.missed):
            text += f" {missed[0].upper()}{missed[1:]}."
    return wrap(text, width=WIDTH)


def _regzbot(mail: _Mail, edge: Edge) -> list[str]:
    """Tags for the one who mends a loss, and for who keeps the list of them."""
    if edge.kind is not EdgeKind.REMOVED or not edge.proven or not rungs.has_commits(mail.plan):
        return []
    lines = []
    if edge.culprit is not None:
        lines += ["A fix may carry:", f"Fixes: {rungs.tag(edge.culprit)}", ""]
    lines.append(f"#regzbot introduced: {_introduced(mail, edge)}")
    back = mail.restored(edge)
    if back is not None and back.culprit is not None and back.proven:
        lines = lines[-1:]
        lines.append(f"#regzbot fix: {back.culprit.sha}")
        if edge.culprit is not None:
            lines = [f"Fixes: {rungs.tag(edge.culprit)}", "", *lines]
    return lines


def _introduced(mail: _Mail, edge: Edge) -> str:
    """The culprit's whole hash, or those of the commits beside the edge."""
    if edge.culprit is not None:
        return edge.culprit.sha
    beside = (mail.plan.rungs[rung] for rung in (edge.before, edge.after))
    return "..".join(rung.commit.sha if rung.commit else rungs.name(rung) for rung in beside)


def _logs(mail: _Mail, first: Edge) -> list[list[str]]:
    """For `git bisect replay`: of each change a log of its own."""
    sections = []
    for edge in (first, *(one for one in mail.edges if one is not first)):
        text = git_bisect_log(mail.evidence, mail.standing, edge, mail.edges)
        if text:
            title = f"The search for the {_WORDS[edge.kind]}, for `git bisect replay`:"
            sections.append([title, "", *text.splitlines()])
    return sections
