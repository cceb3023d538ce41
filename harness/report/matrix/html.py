"""The HTML report of a matrix: one file, no network, nothing executed; the verdict first, then every cell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.errors import ExitCode
from harness.model.experiment import Arm
from harness.model.matrix import Ending, MatrixView
from harness.model.run import KernelRecord, Run
from harness.parse.units import fraction_text
from harness.render import render
from harness.report import wording
from harness.report.matrix import claims
from harness.report.matrix.cards import CellCard, cell_card
from harness.report.matrix.heatmap import HeatMap, heat_map
from harness.report.metricrows import Effect
from harness.report.numbers import seconds

# Cells that are bad are open on the page up to this many; all of them where there are no more than so few.
_MOST_OPEN, _FEW = 12, 2
# A matrix of up to so many cells is printed whole.
_PRINTED = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Everything that the template shows; the names that the frame of all reports asks for come first."""

    run: Run
    word: str
    sign: str
    kind: str
    claim: str
    effect: Effect | None
    counts: tuple[tuple[str, str], ...]
    repeat: str
    attachments: tuple[()]
    title: str
    why: tuple[str, ...]
    # Cells that a release manager has to look at: those that fail, cannot be told, or are waived.
    urgent: tuple[tuple[str, tuple[CellCard, ...]], ...]
    map: HeatMap
    cells: tuple[CellCard, ...]
    # Links of cells that are open when the page is.
    open: frozenset[str]
    whole_on_paper: bool
    gates: bool
    rules: Mapping[str, str]
    waivers: tuple[str, ...]
    kernels: tuple[tuple[Arm, KernelRecord], ...]
    host: Mapping[str, str]


def matrix_html(view: MatrixView, *, links: Mapping[str, str] | None = None, up: str = "") -> str:
    """The whole page of a matrix.

    Trials that carry `cards.CONSOLE` show how it ends. In a site, `links` leads from a cell's name to a page of its
    own, and `up` to the overview.
    """
    return render("report/matrix/page.html.j2", page=matrix_page(view), links=links or {}, up=up)


def matrix_page(view: MatrixView) -> Page:
    """What the page shows."""
    gates = view.plan.policy is not None
    cards = tuple(cell_card(cell, link=f"#cell-{number}", gates=gates) for number, cell in enumerate(view.cells, 1))
    word, sign, kind = claims.word(view)
    kernels = claims.shared_kernels(view)
    bad = [card.tile.link for card in cards if card.bad][:_MOST_OPEN]
    return Page(
        run=view.run,
        word=word,
        sign=sign,
        kind=kind,
        claim=claims.claim(view),
        effect=None,
        counts=(
            *((name, str(count)) for name, count in claims.counts(view)),
            ("boots", str(view.outcome.boots)),
            ("time", seconds(view.outcome.duration_s)),
        ),
        repeat=wording.repeat_command(view.run),
        attachments=(),
        title=view.plan.title,
        why=tuple(_why(view)),
        urgent=_urgent(view, cards),
        map=heat_map([(cell.cell.axes, card.tile) for cell, card in zip(view.cells, cards, strict=True)]),
        cells=cards,
        open=frozenset(card.tile.link for card in cards) if len(cards) <= _FEW else frozenset(bad),
        whole_on_paper=len(cards) <= _PRINTED,
        gates=gates,
        rules=_rules(view),
        waivers=tuple(f"{one.cells}, {one.metrics}: {claims.waiver_words(one)}" for one in view.plan.waivers),
        kernels=((Arm.BASELINE, kernels[0]), (Arm.CANDIDATE, kernels[1])) if kernels else (),
        host=_host(view),
    )


def _why(view: MatrixView) -> list[str]:
    """How sure it is, and why it ended."""
    lines = []
    policy = view.plan.policy
    if policy is not None:
        lines.append(
            "In each cell, each metric that counts must be shown to be not worse than its margin. Where none is worse, "
            f"the chance that any is called so is at most {fraction_text(policy.error)}, over all cells together."
        )
    else:
        lines.append("Each cell is a comparison of its own, with the error that its experiment allows.")
    if not view.open and view.outcome.ending is not Ending.DONE:
        spent = "the boots of its budget were made" if view.outcome.ending is Ending.BOOTS else "its time was over"
        lines.append(f"It ended because {spent}.")
    return lines


def _urgent(view: MatrixView, cards: Sequence[CellCard]) -> tuple[tuple[str, tuple[CellCard, ...]], ...]:
    pairs = list(zip(view.cells, cards, strict=True))

    def those(*codes: ExitCode) -> tuple[CellCard, ...]:
        found = [(cell.result.verdict, card) for cell, card in pairs if cell.result.exit_code in codes]
        # The worst first; equal ones stay in the order of the file.
        return tuple(card for _, card in sorted(found, key=lambda one: (claims.URGENCY.index(one[0]), one[1].better)))

    waived = tuple(card for cell, card in pairs if claims.is_waived(cell.result))
    groups = (
        ("Fails" if view.plan.policy else "Worse", those(ExitCode.BAD)),
        ("Could not be measured", those(ExitCode.HOST, ExitCode.USAGE)),
        ("Not decided yet" if view.open else "Cannot be told", those(ExitCode.CANNOT_TELL)),
        ("Waived", waived),
    )
    return tuple((title, found) for title, found in groups if found)


def _rules(view: MatrixView) -> dict[str, str]:
    policy = view.plan.policy
    if policy is None:
        return {}
    margins = "; ".join(f"{metric}: {fraction_text(margin)}" for metric, margin in policy.margins.items())
    budget = [f"{policy.max_boots} boots"] if policy.max_boots is not None else []
    budget += [seconds(policy.max_time_s)] if policy.max_time_s is not None else []
    return {
        "may be worse by": margins or "each deciding speed by its cell's margin",
        "false alarm": f"at most {fraction_text(policy.error)} over all cells and metrics",
        "missed": f"at most {fraction_text(policy.miss)} for each metric",
        "budget": ", ".join(budget) or "what the cells allow",
        "fails on": ", ".join(policy.fails) or "speed only",
    }


def _host(view: MatrixView) -> Mapping[str, str]:
    """Conditions that all cells share, which are the run's own where no cell has any."""
    told = [cell.run.conditions for cell in view.cells if cell.run is not None] or [view.run.conditions]
    return {name: text for name, text in told[0].items() if all(one.get(name) == text for one in told)}
