"""The page of a matrix: one sound file, the verdict first, every cell with what it takes to judge and to repeat it."""

import re
import time
from dataclasses import replace

import factories
import matrices
import pytest
from pages import Page, sound

from harness.model.matrix import CellVerdict
from harness.report.matrix.html import matrix_html

pytestmark = pytest.mark.unit


def page(view) -> Page:
    return sound(matrix_html(view))


def flat(found: Page) -> str:
    return " ".join(found.text.split())


def test_a_gate_begins_with_its_verdict_and_with_what_somebody_must_look_at() -> None:
    text = flat(page(matrices.gate()))
    assert "✕ fail Candidate 7.2.12+deb13-cloud-amd64 against baseline 6.12.107+deb13-cloud-amd64 fails: " in text
    assert "fails: 1 faulty and 1 slower of 8 cells" in text
    assert "the chance that any is called so is at most 5%, over all cells together" in text
    look = text[text.index("What to look at") : text.index("All cells")]
    parts = [look.index(word) for word in ("Fails: 2", "Could not be measured: 2", "Cannot be told: 1", "Waived: 1")]
    assert parts == sorted(parts)
    assert "shared-dio/btrfs/virtio: write_iops -24 % (x0.76, 99 % interval 0.74 to 0.78)" in look
    assert "storage@distribution.example: known since 7.1, a fix is under review (waivers.yaml:4)" in look


def test_every_cell_is_a_tile_that_leads_to_its_card() -> None:
    found = page(matrices.gate())
    links = [link for link in found.links if link.startswith("#cell-")]
    assert {f"#cell-{number}" for number in range(1, 9)} <= set(links)
    text = flat(found)
    tiles = text[text.index("workload down") : text.index("Cell by cell")]
    for told in ("✓ +31 % not worse write_iops", "▼ -24 % slower write_iops", "? +5.0 % inconclusive write_clat_p99",
                 "▼ -9.5 % slower write_iops waived", "✕ faulty", "○ unmeasured"):  # fmt: skip
        assert told in tiles, told


def test_a_card_has_figures_beside_margins_boots_costs_and_the_command() -> None:
    found = page(matrices.gate())
    text = flat(found)
    card = text[text.index("write_iops is worse than 5 %") :]
    card = card[: card.index("shared-dio/ext4/nvme")]
    assert re.search(r"write_iops slower -24 % -26 % to -22 % at 99 % 5% \d+ \d+ 1/s", card)
    assert "The same writes need 1.32 machines instead of 1 (99 % interval 1.28 to 1.36). Hours are not told" in card
    assert "write_clat_p99_9" in card
    assert "queue_depth" in card
    assert "kab ab debian:6.12.107+deb13-cloud-amd64 debian:7.2.12+deb13-cloud-amd64" in card
    descriptions = re.findall(r"<desc>(.*?)</desc>", matrix_html(matrices.gate()))
    assert any(re.fullmatch(r"baseline (\d+, ){3}\d+ 1/s; candidate (\d+, ){3}\d+ 1/s", told) for told in descriptions)


def test_what_failed_shows_findings_and_how_the_console_ends() -> None:
    text = page(matrices.gate()).text
    assert "crashed: 2 of 3 boots of the candidate" in text
    assert "btrfs_finish_one_ordered" in text
    assert "How the console of boot 3, candidate, crashed ends:" in text
    assert "btrfs_direct_write+0x1a2/0x3f0 [btrfs]\n[   11.250611]  <b>\ufffd\\x00]]>" in text


def test_cells_that_fail_are_open_and_the_others_folded() -> None:
    html = matrix_html(matrices.gate())
    opened = re.findall(r'<details class="card cell \w+" id="cell-(\d)" open>', html)
    assert opened == ["2", "6"]
    assert html.count("<details") == 8


def test_of_very_many_the_worst_are_told_first_and_the_rest_is_folded() -> None:
    html = matrix_html(matrices.large(100))
    look = html[html.index('id="mind"') : html.index('id="map"')]
    fails = look[: look.index("Could not be measured")]
    shown = fails[: fails.index("<details>")]
    assert shown.count("<li>") == shown.count("faulty") == 10
    assert "and 15 more" in fails
    assert fails.count("<li>") == 25


def test_tables_and_pictures_can_be_heard() -> None:
    html = matrix_html(matrices.gate())
    found = sound(html)
    heat = html[html.index('<table class="heat') : html.index("</table>")]
    assert "<caption" in heat
    assert heat.count('scope="colgroup" colspan="2"') == 2
    assert heat.count('scope="col"') == 4
    assert heat.count('scope="row"') == 2
    pictures = re.findall(r"<svg[^>]*>", html)
    assert all('role="img"' in one or 'aria-hidden="true"' in one for one in pictures)
    assert found.tags.count("desc") == found.tags.count("figure") > 0


@pytest.mark.parametrize(
    "view",
    [
        matrices.gate(),
        matrices.matrix_run(),
        matrices.unfinished(),
        matrices.alone(),
        matrices.gate([matrices.LOST] * 8),
    ],
    ids=["gate", "run", "open", "alone", "lost"],
)
def test_whatever_there_is(view) -> None:
    page(view)


def test_an_open_matrix_is_not_told_as_one_that_cannot_be_told() -> None:
    text = flat(page(matrices.unfinished()))
    assert "Not decided yet: 7" in text
    assert "Cannot be told" not in text


@pytest.mark.parametrize(
    ("fates", "told"),
    [
        ([matrices.NOT_WORSE] * 8, "pass Candidate 7.2.12+deb13-cloud-amd64 against baseline"),
        ([matrices.NOT_WORSE] * 7 + [matrices.WAIVED], "not worse in any of 8 cells, 1 of them by a waiver"),
        ([matrices.NOT_WORSE] * 7 + [matrices.OPEN], "cannot be told yet: 1 inconclusive of 8 cells"),
        ([matrices.NOT_WORSE] * 7 + [matrices.LOST], "is not told as a whole: 1 unmeasured of 8 cells"),
    ],
)
def test_the_claim(fates, told: str) -> None:
    assert told in flat(page(matrices.gate(fates)))


def test_what_came_from_elsewhere_is_only_text() -> None:
    html = matrix_html(matrices.hostile())
    found = sound(html)
    assert "<script>alert(1)</script>" in found.text
    assert not set(html) & set("\x1b\u202e\x07\x00\r\x85\u2028")
    html.encode()


def test_five_hundred_cells_are_made_fast_and_small() -> None:
    view = matrices.large(500)
    began = time.process_time()
    html = matrix_html(view)
    took_s = time.process_time() - began
    assert html.count('<details class="card cell') == 500
    assert len(html.encode()) < 5 * 2**20
    assert took_s < 3.0


def test_an_open_interval_and_no_ratio_are_drawn_all_the_same() -> None:
    view = matrices.gate()
    result = view.cells[1].result
    odd = [
        replace(one, comparison=replace(one.comparison, low=low, high=high, ratio=ratio))
        for one, (low, high, ratio) in zip(result.metrics, [(0.0, float("inf"), 0.5), (None, None, None)], strict=True)
    ]
    cell = replace(view.cells[1], result=replace(result, metrics=tuple(odd)))
    sound(matrix_html(replace(view, cells=(view.cells[0], cell, *view.cells[2:]))))


def test_cells_of_other_kernels_name_theirs() -> None:
    view = matrices.gate()
    other = replace(factories.kernel("7.2"), digest="ee" * 32, release="7.3.1")
    cell = replace(view.cells[0], result=replace(view.cells[0].result, candidate=other))
    text = flat(page(replace(view, cells=(cell, *view.cells[1:]))))
    assert "Release gate fails: 1 faulty" in text
    assert f"candidate 7.3.1 {'ee' * 6}" in text


def test_every_verdict_has_its_sign_and_word() -> None:
    for verdict in CellVerdict:
        fate = replace(matrices.NOT_WORSE, verdict=verdict, by_metric={})
        text = flat(page(matrices.alone(fate)))
        assert str(verdict).replace("-", " ") in text
