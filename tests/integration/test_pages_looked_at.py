"""The pages in a real browser: nothing reaches over the edge, nothing covers anything, and all of it can be read."""

from collections.abc import Callable, Mapping
from pathlib import Path

import browser
import factories
import matrices
import pytest
import sites
from commits import story

from harness.config import Settings
from harness.host.paths import Paths
from harness.lab.lab import Lab
from harness.model.experiment import Arm
from harness.model.trial import Outcome
from harness.report.compare.html import to_html
from harness.report.matrix.html import matrix_html
from harness.report.search.html import bisection_html
from harness.workloads.registry import METRICS

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(browser.CHROMIUM is None, reason="no Chromium"),
    # A browser with all its processes, on a busy machine.
    pytest.mark.timeout(300),
]

FAULTY = """<!DOCTYPE html><html><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"></head><body>
<p style="color: #999">pale words</p><div style="width: 1400px">wide</div>
<details><summary>more</summary><p style="color: #aaa">pale and folded</p></details>
<svg viewBox="0 0 100 20" width="300" role="img"><text x="2" y="12" font-size="8">first text</text>
<rect x="60" width="20" height="20" fill="#222"/><text x="62" y="12" font-size="8">dark</text>
<text x="10" y="13" font-size="8">second text</text><text x="85" y="12" font-size="8">reaches out</text></svg>
</body></html>"""


def compared() -> str:
    trials = factories.blocks(4)
    spec = factories.block_spec(4, 0, Arm.CANDIDATE)
    crash = factories.failed(spec, Outcome.CRASHED, "it panicked", (factories.PANIC,))
    made = (*trials, crash)
    return to_html(factories.finished(factories.run(made)), factories.decide(trials), made, METRICS)


def searched() -> str:
    told = story()
    return bisection_html(told.run, told.evidence, told.standing, told.outcome, METRICS)


PAGES: Mapping[str, Callable[[], str]] = {
    "ab": compared,
    "search": searched,
    "gate": lambda: matrix_html(matrices.gate()),
    "run": lambda: matrix_html(matrices.matrix_run()),
    "hostile": lambda: matrix_html(matrices.hostile()),
    "many": lambda: matrix_html(matrices.large(40)),
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_fault(name: str, tmp_path: Path) -> None:
    page = tmp_path / f"{name}.html"
    page.write_text(PAGES[name]())
    # Each width in one of the two colour schemes, and the other way round.
    for width, dark in zip((*browser.WIDTHS, *browser.WIDTHS), (False, True, True, False), strict=True):
        look = browser.look_at(page, tmp_path, width=width, dark=dark)
        assert look.texts > 100
        assert look.faults == {}, (width, dark)


def test_a_site_has_no_fault(tmp_path: Path) -> None:
    with Lab(settings=Settings(), paths=Paths(cache=tmp_path / "cache", state=tmp_path / "state")) as lab:
        sites.filled(lab)
        made = lab.site(tmp_path / "site")
    cell = next((tmp_path / "site").glob("cell/*.shared-dio.btrfs.virtio.html"))
    for page in (made.overview, cell):
        for width, dark in zip(browser.WIDTHS, (True, False), strict=True):
            look = browser.look_at(page, tmp_path, width=width, dark=dark)
            assert look.texts > 50
            assert look.faults == {}, (page.name, width, dark)


def test_a_small_matrix_is_whole_on_paper_and_a_large_one_is_not(tmp_path: Path) -> None:
    sheets = {}
    for name, view in (("small", matrices.gate()), ("large", matrices.large(40))):
        html = matrix_html(view)
        for state, text in (("as it is", html), ("open", html.replace("<details", "<details open"))):
            page = tmp_path / f"{name}.html"
            page.write_text(text)
            sheets[name, state] = browser.sheets(page, tmp_path)
    assert sheets["small", "as it is"] == sheets["small", "open"] > 3
    assert sheets["large", "as it is"] < sheets["large", "open"]


def test_what_is_looked_for_is_found(tmp_path: Path) -> None:
    page = tmp_path / "faulty.html"
    page.write_text(FAULTY)
    look = browser.look_at(page, tmp_path, width=390)
    assert look.overflow
    assert look.overlap == ("first text | second text",)
    assert [told.startswith("reaches out in ") for told in look.cut] == [True]
    assert [told.split(": ")[1].split(" (")[0] for told in look.contrast] == ["pale words", "pale and folded", "dark"]
