"""Every boot of a search as tables of a page: the ends, the search itself, proofs and revert tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.bisect.evidence import Evidence, ends_of, rung_of
from harness.bisect.view import Standing
from harness.model.experiment import Arm, Place
from harness.model.trial import Trial
from harness.model.workload import Metric
from harness.report.attachments import Attachment
from harness.report.metricrows import figure
from harness.report.numbers import seconds
from harness.report.search import rungs


@dataclass(frozen=True, slots=True, kw_only=True)
class BootGroup:
    """Boots of one purpose, with the kernel of each."""

    anchor: str
    title: str
    metric: str | None
    arms: bool
    # (place on the ladder and name), boot.
    boots: tuple[tuple[tuple[str, str], Trial[Place]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BootRow:
    """One line of a table of boots."""

    # Counts from 1 over all tables.
    number: int
    trial: Trial[Place]
    rung: str
    kernel: str
    figure: str
    duration: str
    attachments: tuple[Attachment, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BootTable:
    """Boots that were made for one purpose."""

    anchor: str
    title: str
    metric: str
    # Whether boots are of two arms, and whether any has files.
    arms: bool
    files: bool
    rows: tuple[BootRow, ...]


def boot_groups(evidence: Evidence) -> list[BootGroup]:
    """Boots of the ends, of the search, of each proof and each revert test; those that were made."""
    plan = evidence.plan

    def named(rung: int | None, undone: str) -> tuple[str, str]:
        return (str(rung), rungs.name(plan.rungs[rung])) if rung is not None else ("", undone)

    decided = evidence.ends_decision
    groups = [
        BootGroup(
            anchor="boots-ends",
            title="The ends, by A/B",
            metric=decided.metric if decided else None,
            arms=True,
            boots=tuple((named(rung, ""), trial) for rung, trial in ends_of(plan, evidence.ends)),
        ),
        BootGroup(
            anchor="boots-search",
            title="The search",
            metric=None,
            arms=False,
            boots=tuple((named(trial.place.rung, ""), trial) for trial in evidence.trials),
        ),
    ]
    for subrun, trials, decision in evidence.proofs:
        places = " and ".join(rungs.name(plan.rungs[rung]) for rung in (subrun.before, subrun.after))
        undone = rung_of(plan, subrun, Arm.CANDIDATE) is None
        title = f"Revert test on {rungs.name(plan.rungs[subrun.before])}" if undone else f"Proof between {places}"
        beside = "with the change undone or applied" if undone else "the commit's parent"
        groups.append(
            BootGroup(
                anchor=anchor_of(subrun.run_id),
                title=f"{title}, by A/B: {decision.verdict}",
                metric=decision.metric,
                arms=True,
                boots=tuple((named(rung_of(plan, subrun, trial.place.arm), beside), trial) for trial in trials),
            )
        )
    return [group for group in groups if group.boots]


def anchor_of(run_id: str | None) -> str:
    """Of the table with the boots of a proof or a revert test."""
    return f"boots-{run_id}"


def boot_tables(
    groups: Sequence[BootGroup], standing: Standing, metrics: Mapping[str, Metric], files: Sequence[Attachment]
) -> list[BootTable]:
    """The tables, boots numbered over all of them."""
    tables, count = [], 0
    followed = standing.metric.name if standing.metric else ""
    for group in groups:
        name = group.metric or followed
        rows = []
        for (rung, kernel), trial in group.boots:
            count += 1
            rows.append(
                BootRow(
                    number=count,
                    trial=trial,
                    rung=rung,
                    kernel=kernel,
                    figure=figure(trial, metrics.get(name)),
                    duration=seconds(trial.duration_s),
                    attachments=tuple(found for found in files if count in found.boots),
                )
            )
        tables.append(
            BootTable(
                anchor=group.anchor,
                title=group.title,
                metric=name,
                arms=group.arms,
                files=any(row.attachments for row in rows),
                rows=tuple(rows),
            )
        )
    return tables
