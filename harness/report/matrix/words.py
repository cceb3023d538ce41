"""What is said of the cells of a matrix in every form: waivers, metrics that count, how many of which verdict."""

from collections import Counter
from collections.abc import Sequence

from harness.model.matrix import CellResult, MatrixView, MetricVerdict, Waiver
from harness.parse.foreign import printable
from harness.parse.units import fraction_text
from harness.report.compare.sentences import kernel_names
from harness.report.matrix import claims
from harness.report.matrix.claims import URGENCY
from harness.report.numbers import number
from harness.report.wording import counted, effect

# Of a sentence that came from elsewhere: the whole of it is in the store.
_LONGEST_TEXT = 400


def waiver_words(waiver: Waiver) -> str:
    """``waived: up to 12 % worse is accepted until 2027-01-31 by ann@example.org: known bug (waivers.yaml:4)``."""
    return printable(f"waived: {claims.waiver_words(waiver)}", limit=_LONGEST_TEXT)


def metric_words(found: MetricVerdict) -> str:
    """``write_iops -24 % (x0.76, 95 % interval 0.74 to 0.78), may be 5 % worse, over 4 blocks``."""
    comparison = found.comparison
    if comparison.ratio is None:
        said = f"{found.metric}: baseline {number(comparison.baseline)}, candidate {number(comparison.candidate)}"
    else:
        said = effect(comparison)
    return f"{said}, may be {fraction_text(found.margin)} worse, over {counted(comparison.blocks, 'block')}"


def reason_words(result: CellResult) -> str:
    """Why a cell's verdict is what it is, fit to be shown in a line."""
    return printable(" ".join(result.reason.split()), limit=_LONGEST_TEXT)


def count_words(results: Sequence[CellResult]) -> str:
    """``8 cells: 1 faulty, 2 slower (1 of them waived), 5 not-worse``."""
    verdicts = Counter(result.verdict for result in results)
    waived = Counter(result.verdict for result in results if result.waiver is not None)
    parts = []
    for verdict in URGENCY:
        if verdicts[verdict]:
            excused = f" ({waived[verdict]} of them waived)" if waived[verdict] else ""
            parts.append(f"{verdicts[verdict]} {verdict}{excused}")
    return f"{counted(len(results), 'cell')}: {', '.join(parts) or 'none has a verdict'}"


def kernels_words(view: MatrixView) -> str:
    """Candidate against baseline, where all cells have the same ones."""
    pairs = {
        (result.baseline.digest, result.candidate.digest)
        for result in view.outcome.cells
        if result.baseline is not None and result.candidate is not None
    }
    if len(pairs) > 1:
        return f"{len(pairs)} pairs of kernels"
    baseline, candidate = kernel_names(view.run)
    return printable(f"{candidate} against {baseline}", limit=_LONGEST_TEXT)
