"""What no changelog lists: kinds to sentences, and sentences of earlier versions back to kinds."""

import pytest

from harness.model.bisection import Edge, EdgeKind
from harness.model.history import Change, Gap, GapKind, Origin, Suspect, TreeListing
from harness.parse.plainjson import from_plain, to_plain
from harness.report.search import suspects
from harness.report.search.gaps import gap_sentence, names_text, read_gap

pytestmark = pytest.mark.unit

RELEASES = Gap(kind=GapKind.RELEASES, names=("6.19", "7.0", "7.1", "7.2"))
UPDATES = Gap(kind=GapKind.UPDATES, names=("6.19.1", "6.19.2", "6.19.3", "7.0.9", "7.0.10"))
GAPS = (
    Gap(kind=GapKind.NO_CHANGELOG, newer="7.2.6-cloud-amd64"),
    Gap(kind=GapKind.ABSENT, newer="6.12.110-1"),
    Gap(kind=GapKind.BEGINS, older="5.10.262-1", at="6.18.1-1~exp1"),
    Gap(kind=GapKind.FORKED, older="6.18.15-1~bpo13+1", newer="7.2.6-1~bpo13+1", at="6.18.3-1"),
    RELEASES,
    UPDATES,
    Gap(kind=GapKind.UPDATES, names=("7.2~rc3", "7.2.1")),
    Gap(kind=GapKind.NEWEST, at="500"),
    Gap(kind=GapKind.TOLD, text="Nobody knows."),
)
SUSPECT = Suspect(change=Change(subject="btrfs: a change", origin=Origin.UPSTREAM, version="7.2.6-1"), score=4)


def edge(*gaps: Gap | str, tree: TreeListing | None = None, found: bool = True) -> Edge:
    return Edge(
        before=1,
        after=2,
        kind=EdgeKind.REMOVED,
        changes=240,
        gaps=gaps,
        tree=tree,
        suspects=(SUSPECT,) if found else (),
    )


@pytest.mark.parametrize("gap", GAPS, ids=lambda gap: f"{gap.kind}")
def test_what_earlier_versions_stored_is_read(gap: Gap) -> None:
    assert read_gap(gap_sentence(gap)) == gap
    assert read_gap(gap) == gap


def test_ranges_are_of_one_series() -> None:
    assert names_text(UPDATES.names) == "6.19.1 to 6.19.3, 7.0.9 to 7.0.10"
    assert names_text(RELEASES.names) == "6.19, 7.0, 7.1, 7.2"
    assert names_text(("7.0", "7.1", "7.2")) == "7.0, 7.1, 7.2"


def test_both_forms_are_stored() -> None:
    stored = to_plain(edge(RELEASES))
    assert from_plain(Edge, stored) == edge(RELEASES)
    old = {**stored, "gaps": [gap_sentence(RELEASES), "A sentence of old."]}
    read = from_plain(Edge, old)
    assert read.gaps == (gap_sentence(RELEASES), "A sentence of old.")
    assert suspects.missing(read) == (RELEASES, Gap(kind=GapKind.TOLD, text="A sentence of old."))


def test_only_where_all_is_listed_are_suspects_the_likeliest() -> None:
    assert suspects.heading(edge()) == "Suspects, the likeliest first, of 240 changes that the changelog lists"
    assert suspects.heading(edge(RELEASES, UPDATES)) == (
        "Suspects: 1 of 240 changes that the changelog lists; not listed are those of new upstream releases 6.19, 7.0, "
        "7.1, 7.2 and those of stable updates 6.19.1 to 6.19.3, 7.0.9 to 7.0.10"
    )
    listed = TreeListing(tree="/src/linux", older="v6.18.15", newer="v7.2.6", exact=True, commits=90)
    assert suspects.heading(edge(RELEASES, UPDATES, tree=listed)) == (
        "Suspects, the likeliest first, of 240 changes that the changelog lists and 90 commits of v6.18.15..v7.2.6"
    )
    for gap in GAPS:
        assert "likeliest" not in suspects.heading(edge(gap))


def test_without_suspects_the_gap_has_a_sentence() -> None:
    lacking = edge(RELEASES, found=False)
    assert suspects.heading(lacking) == "Suspects: none of 240 changes that the changelog lists fits the workload"
    assert suspects.notes(lacking) == [gap_sentence(RELEASES)]
    assert suspects.notes(edge(RELEASES)) == []
