"""A matrix as JUnit XML, which CI systems show as tests: a test for each cell, and for each metric that counts.

The names are those of Jenkins' schema: ``testsuites`` > ``testsuite`` > ``testcase``. What is worse or fails is a
failure, what could not be told or measured an error, what is waived is skipped.
"""

import re
from collections.abc import Iterator, Mapping
from xml.etree import ElementTree

from harness.export.evidence import FINISHED, OPEN, cell_facts, cell_lines, duration_s, run_facts
from harness.export.statuses import Status, cell_message, cell_status, metric_status
from harness.model.matrix import CellView, MatrixView, MetricVerdict
from harness.parse.foreign import printable
from harness.parse.names import NameForm, name_of
from harness.report.matrix.words import metric_words, waiver_words

# What XML 1.0 has no way to write.
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LONGEST_TEXT = 65_536
# Name of the test that is the cell as a whole, beside those of its metrics.
_WHOLE = "verdict"


def to_junit(view: MatrixView) -> str:
    """The matrix as one XML document with one suite."""
    name = name_of(NameForm.LINE, f"kab {view.run.verb} {view.plan.title}")
    cases = [case for cell in view.cells for case in _cases(view, cell)]
    if view.open:
        cases.append(_case(name_of(NameForm.PATH, "kab", view.plan.title), FINISHED, 0.0))
        _tell(cases[-1], Status.UNDECIDED, "open", OPEN, "")
    counts = _counts(cases) | {"time": _seconds(view.outcome.duration_s)}
    root = ElementTree.Element("testsuites", {"name": "kab", **counts})
    suite = ElementTree.SubElement(
        root, "testsuite", {"name": name, "timestamp": f"{view.run.created:%Y-%m-%dT%H:%M:%S}", **counts}
    )
    _properties(suite, run_facts(view))
    suite.extend(cases)
    ElementTree.indent(root, " ")
    return "<?xml version='1.0' encoding='utf-8'?>\n" + ElementTree.tostring(root, encoding="unicode") + "\n"


def _cases(view: MatrixView, cell: CellView) -> Iterator[ElementTree.Element]:
    path = name_of(NameForm.PATH, "kab", view.plan.title, cell.cell.name)
    whole = _case(path, _WHOLE, duration_s(cell))
    _properties(whole, cell_facts(cell))
    status = cell_status(cell)
    _tell(whole, status, str(cell.result.verdict), cell_message(cell.result), "\n".join(cell_lines(cell)))
    yield whole
    for found in cell.result.metrics:
        case = _case(path, found.metric, 0.0)
        _properties(case, _figures(found))
        said = metric_words(found)
        message = f"{said}; {waiver_words(found.waiver)}" if found.waiver else said
        _tell(case, metric_status(found, status), str(found.verdict), f"{found.verdict}: {message}", "")
        yield case


def _case(path: str, name: str, took_s: float) -> ElementTree.Element:
    attributes = {"classname": path, "name": name_of(NameForm.LINE, name), "time": _seconds(took_s)}
    return ElementTree.Element("testcase", attributes)


def _tell(case: ElementTree.Element, status: Status, kind: str, message: str, details: str) -> None:
    """Put into a test how it came out, unless it is good."""
    tags = {Status.PASSED: "", Status.WAIVED: "skipped", Status.NOTED: "skipped", Status.FAILED: "failure"}
    tag = tags.get(status, "error")
    if not tag:
        return
    told = ElementTree.SubElement(case, tag, {"type": kind, "message": _text(message)})
    if details:
        told.text = _text(details, lines=True)


def _figures(found: MetricVerdict) -> dict[str, str]:
    """A metric's comparison, as numbers."""
    comparison = found.comparison
    numbers = {
        "baseline": comparison.baseline,
        "candidate": comparison.candidate,
        "ratio": comparison.ratio,
        "low": comparison.low,
        "high": comparison.high,
        "error": comparison.error,
        "margin": found.margin,
    }
    told = {name: repr(float(value)) for name, value in numbers.items() if value is not None}
    return {**told, "blocks": str(comparison.blocks), "verdict": str(found.verdict)}


def _properties(parent: ElementTree.Element, values: Mapping[str, str]) -> None:
    if values:
        properties = ElementTree.SubElement(parent, "properties")
        for name, value in values.items():
            ElementTree.SubElement(properties, "property", {"name": _text(name), "value": _text(value)})


def _counts(cases: list[ElementTree.Element]) -> dict[str, str]:
    found = {"tests": len(cases)}
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        found[attribute] = sum(case.find(tag) is not None for case in cases)
    return {name: str(count) for name, count in found.items()}


def _seconds(value: float) -> str:
    return f"{value:.3f}"


def _text(text: str, *, lines: bool = False) -> str:
    return _ILLEGAL.sub("\ufffd", printable(text, lines=lines, limit=_LONGEST_TEXT))
