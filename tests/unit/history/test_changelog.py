"""Changes between package versions, from excerpts of Debian's changelogs (most commits of each update cut out)."""

from pathlib import Path

import pytest

from harness.history.changelog import changes_between, still_missing
from harness.model.history import Change, Origin
from harness.report.search.gaps import gap_sentence, read_gap

pytestmark = pytest.mark.unit


def said(gaps):
    """As reports say them; and as earlier versions stored them, which is read as the same."""
    assert tuple(map(read_gap, map(gap_sentence, gaps))) == gaps
    return list(map(gap_sentence, gaps))


DATA = Path(__file__).parents[2] / "data" / "changelogs"


def changelog(version):
    return (DATA / f"{version}.txt").read_text()


def step(older, newer, file=None, **options):
    return changes_between(changelog(file or newer), older, newer, **options)


def test_a_stable_update():
    found = step("6.12.105-1", "6.12.107-1", "6.12.117-1")
    assert found.complete
    assert found.changes[0] == Change(
        subject="PCI: host-generic: Fix NULL pointer dereference on 32-bit CAM systems",
        origin=Origin.UPSTREAM,
        version="6.12.107-1",
        point_release="6.12.106",
    )
    assert {change.point_release for change in found.changes} >= {"6.12.106", "6.12.107"}
    assert {change.version for change in found.changes} == {"6.12.107-1"}


def test_wrapped_lines_marks_and_vulnerabilities():
    found = step("6.12.116-1", "6.12.117-1")
    assert found.changes[1] == Change(
        subject="KVM: arm64: Transfer the hyp stack pages out of the host stage-2",
        origin=Origin.UPSTREAM,
        version="6.12.117-1",
        point_release="6.12.117",
        cves=("CVE-2026-98466",),
        architectures=("arm64",),
    )


def test_the_signed_packages_stanza_is_that_of_what_it_signs():
    """Its own version, 6.12.117+1, appears nowhere else."""
    found = step("6.12.116-1", "6.12.117-1")
    assert {change.version for change in found.changes} == {"6.12.117-1"}
    assert not [change for change in found.changes if "Sign kernel" in change.subject]


def test_a_step_over_several_packages():
    subjects = {
        change.subject: (change.point_release, change.version) for change in step("6.12.74-2", "6.12.117-1").changes
    }
    assert subjects["btrfs: always fallback to buffered write if the inode requires checksum"] == (
        "6.12.77",
        "6.12.85-1",
    )
    assert subjects["btrfs: fallback to buffered IO if the data profile has duplication"] == ("6.12.75", "6.12.85-1")
    later = {change.subject for change in step("6.12.85-1", "6.12.117-1").changes}
    assert "btrfs: always fallback to buffered write if the inode requires checksum" not in later
    assert later < set(subjects)


def test_rebuilds_count_as_what_they_were_rebuilt_from():
    """Though 6.12.117-1~deb12u1 sorts before 6.12.117-1, it holds all of it."""
    rebuilt = step("6.12.116-1", "6.12.117-1~deb12u1")
    assert rebuilt.complete
    upstream = [change for change in rebuilt.changes if change.origin is Origin.UPSTREAM]
    assert {change.point_release for change in upstream} == {"6.12.117"}
    assert [change.subject for change in rebuilt.changes if change not in upstream] == ["Rebuild for bookworm"]
    between = step("6.12.115-2~deb12u1", "6.12.117-1~deb12u1")
    assert set(rebuilt.changes) < set(between.changes)
    assert {change.version for change in between.changes} == {"6.12.117-1~deb12u1", "6.12.117-1", "6.12.116-1"}
    assert step("6.12.117-1~deb12u1", "6.12.117-1").changes == ()


def test_debians_own_changes_have_no_point_release():
    found = step("7.2.3-1~exp1", "7.2.6-1", "7.2.12-1~bpo13+1")
    assert found.changes[0] == Change(
        subject="drivers/hwmon: Enable SENSORS_YOGAFAN as module",
        origin=Origin.DEBIAN,
        version="7.2.6-1",
        architectures=("amd64",),
    )
    assert all(change.origin is Origin.DEBIAN for change in found.changes)


def test_items_below_items():
    subjects = [change.subject for change in step("6.16.1-1~exp1", "6.16.3-1~bpo13+1").changes]
    assert "ext4: restart handle if credits are insufficient during allocating blocks" in subjects
    assert "d/salsa-ci.yml: Set RELEASE to trixie-backports" in subjects


def test_stable_updates_without_a_list_are_told():
    found = step("7.2.3-1~exp1", "7.2.6-1", "7.2.12-1~bpo13+1")
    assert said(found.gaps) == ["Few or no commits are listed of stable updates: 7.2.4 to 7.2.6."]
    assert not found.complete


def test_new_upstream_releases_and_forks_are_told():
    found = step("6.18.15-1~bpo13+1", "7.2.6-1~bpo13+1", "7.2.12-1~bpo13+1")
    fork, releases, updates = said(found.gaps)
    assert fork.startswith("7.2.6-1~bpo13+1 does not descend from 6.18.15-1~bpo13+1 but from 6.18.3-1: stable branches")
    assert releases == "Few or no commits are listed of new upstream releases: 6.19, 7.0, 7.1, 7.2."
    assert updates.endswith(": 6.19.1 to 6.19.6, 7.0.1 to 7.0.2, 7.1.1 to 7.1.2, 7.2.1 to 7.2.6.")
    listed = {change.point_release: change.subject for change in found.changes if change.point_release}
    assert listed["7.2.2"] == "inet: frags: strip GSO state from fragments before reassembly"
    assert listed["7.2~rc3"] == "Bluetooth: btusb: Add TP-Link UB600 for Realtek 8761BUV"
    # Taken between 6.18 and 6.18.3, all of which 6.18.15 has.
    assert not {"6.18.1", "6.18.2", "6.18.3"} & listed.keys()


def test_a_changelog_that_begins_later():
    found = step("5.10.262-1", "7.2.12-1~bpo13+1")
    assert said(found.gaps)[0].startswith("The changelog begins with 6.18.1-1~exp1")
    # A tree lists the commits of stable updates only where it has their tags.
    (updates,) = still_missing(found.gaps, exact=False)
    assert gap_sentence(updates).startswith("Few or no commits are listed of stable updates: ")
    assert still_missing(found.gaps, exact=True) == ()


def test_what_a_tree_lists_is_not_missing():
    found = step("6.18.15-1~bpo13+1", "7.2.6-1~bpo13+1", "7.2.12-1~bpo13+1")
    fork, _, updates = found.gaps
    assert still_missing(found.gaps, exact=False) == (fork, updates)
    assert still_missing(found.gaps, exact=True) == ()
    (gap,) = gaps = step("6.12.107-1", "6.12.110-1", "6.12.117-1").gaps
    assert still_missing(gaps, exact=True) == (gap,)


def test_a_version_that_the_changelog_does_not_hold():
    found = step("6.12.107-1", "6.12.110-1", "6.12.117-1")
    assert (found.changes, said(found.gaps)) == ((), ["The changelog does not hold 6.12.110-1."])


def test_wrong_order():
    with pytest.raises(ValueError, match=r"6\.12\.117-1 is newer than 6\.12\.107-1"):
        step("6.12.117-1", "6.12.107-1", "6.12.117-1")


STANZA = """linux ({version}) unstable; urgency=medium

  * New upstream stable update:
    https://example.org/ChangeLog-{release}
    - {subjects}

 -- Somebody <somebody@example.org>  Mon, 02 Nov 2026 10:00:00 +0100
"""


def made(*stanzas):
    return "\n".join(
        STANZA.format(version=f"{release}-1", release=release, subjects="\n    - ".join(subjects))
        for release, subjects in stanzas
    )


@pytest.mark.parametrize(
    ("had", "left"),
    [
        (["btrfs: one"], ["btrfs: two"]),
        (["btrfs: one", 'Revert "btrfs: one"'], ["btrfs: one", "btrfs: two"]),
        (["btrfs: three"], ["btrfs: one", "btrfs: two"]),
    ],
)
def test_commits_that_the_older_branch_had_taken_too(had, left):
    newer = made(("6.16.3", ["btrfs: one", "btrfs: two"]), ("6.12.3", ["btrfs: old"]))
    older = made(("6.12.107", had), ("6.12.3", ["btrfs: old"]))
    found = changes_between(newer, "6.12.107-1", "6.16.3-1", older_changelog=older)
    assert [change.subject for change in found.changes] == left
    assert len(changes_between(newer, "6.12.107-1", "6.16.3-1").changes) == 2


def test_a_commit_that_one_branch_took_twice():
    text = made(("6.12.2", ["btrfs: one"]), ("6.12.1", ["btrfs: one"]))
    found = changes_between(text, "6.12.1-1", "6.12.2-1", older_changelog=made(("6.12.1", ["btrfs: one"])))
    assert [change.point_release for change in found.changes] == ["6.12.2"]
    assert found.complete
