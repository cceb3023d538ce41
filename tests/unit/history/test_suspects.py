"""Ranking of changes against what workloads declare."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.config import load_workloads
from harness.history.changelog import changes_between
from harness.history.suspects import likeliest, merge, rank
from harness.model.arch import ARM64
from harness.model.history import Change, Origin

pytestmark = pytest.mark.unit

DATA = Path(__file__).parents[2] / "data" / "changelogs"
SUBSYSTEMS = ("fs/btrfs", "fs/direct-io.c", "mm/filemap.c", "block", "drivers/nvme")
WORDS = ("direct", "dio", "lock", "fallback")


def change(subject, *architectures):
    return Change(
        subject=subject,
        origin=Origin.UPSTREAM,
        version="7.2.6-1",
        point_release="7.2.6",
        architectures=tuple(architectures),
    )


def only(subject, *architectures):
    (suspect,) = rank([change(subject, *architectures)], SUBSYSTEMS, WORDS)
    return suspect


@pytest.mark.parametrize(
    ("subject", "score", "matched"),
    [
        ("btrfs: tidy up", 4, ("fs/btrfs",)),
        ("fs/btrfs: tidy up", 4, ("fs/btrfs",)),
        ("btrfs: zoned: tidy up", 4, ("fs/btrfs",)),
        ("blk-mq: tidy up", 4, ("block",)),
        ("block, bfq: tidy up", 4, ("block",)),
        ("nvme-pci: tidy up", 4, ("drivers/nvme",)),
        ("mm/filemap: tidy up", 4, ("mm/filemap.c",)),
        ("mm: filemap: tidy up", 4, ("mm/filemap.c",)),
        ("filemap: tidy up", 4, ("mm/filemap.c",)),
        ("mm: tidy up", 2, ("mm/filemap.c",)),
        ("fs: tidy up", 2, ("fs/direct-io.c",)),
        ("btrfs: take a lock around direct IO", 8, ("fs/btrfs", "direct", "lock")),
        ("btrfs: add locking", 6, ("fs/btrfs", "lock")),
        ("btrfs: stop logging, lockd", 4, ("fs/btrfs",)),
        ("btrfs: use i_lock", 6, ("fs/btrfs", "lock")),
        ("btrfs: serialize everything", 5, ("fs/btrfs",)),
        ("btrfs: fix leak after direct IO", 4, ("fs/btrfs", "direct")),
        ("xfs: fix a lock", 1, ("lock",)),
        ("drm/amdgpu: fix leak under lock", 1, ("lock",)),
    ],
)
def test_points(subject, score, matched):
    suspect = only(subject)
    assert (suspect.score, suspect.matched) == (score, matched)


@pytest.mark.parametrize(
    "subject",
    [
        # Other places of the same name.
        "x86/mm: tidy up",
        "mmc: block: tidy up",
        "mm/damon: tidy up",
        "nvmem: tidy up",
        "Enable the block: prose with btrfs: inside",
        # Other words.
        "xfs: fix directory of blocks",
        "xfs: serialize everything",
    ],
)
def test_no_points(subject):
    assert (only(subject).score, only(subject).matched) == (0, ())


@pytest.mark.parametrize(
    ("word", "said"), [("serialize", "serialized"), ("log", "logging"), ("read", "reads"), ("wait", "no-wait")]
)
def test_forms_of_words(word, said):
    assert rank([change(f"btrfs: {said} it")], (), (word,))[0].matched == (word,)


def test_other_architectures_have_no_points():
    assert only("block: take a lock", "s390x").score == 0
    assert only("block: take a lock", "arm64", "armhf").score == 0
    assert only("block: take a lock", "!amd64").score == 0
    assert only("block: take a lock", "arm64", "x86").score == only("block: take a lock").score == 6


def test_to_kernels_of_arm64_others_are_the_others():
    def points(*marks):
        (suspect,) = rank([change("block: take a lock", *marks)], SUBSYSTEMS, WORDS, ARM64)
        return suspect.score

    assert [points(*marks) for marks in (("x86",), ("amd64",), ("!arm64",), ("armhf", "armel"), ("s390x",))] == [0] * 5
    assert [points(*marks) for marks in (("arm64",), ("!amd64",), ("armhf", "arm64"), ())] == [6] * 4


@pytest.mark.parametrize(
    "subject",
    ['Revert "btrfs: take direct lock"', 'btrfs: Revert "btrfs: take direct lock"', "Revert: btrfs: take direct lock"],
)
def test_reverts_are_read_through(subject):
    suspect = only(subject)
    assert suspect.revert
    assert suspect.score == only("btrfs: take direct lock").score + 1
    assert suspect.matched == ("fs/btrfs", "direct", "lock")


def test_order_is_by_points_and_then_as_given():
    subjects = ["mm: b", "btrfs: b", "unrelated", "btrfs: a", "btrfs: direct"]
    ranked = [suspect.change.subject for suspect in rank([change(name) for name in subjects], SUBSYSTEMS, WORDS)]
    assert ranked == ["btrfs: direct", "btrfs: b", "btrfs: a", "mm: b", "unrelated"]


def test_the_likeliest_are_few_and_fit():
    changes = [change(f"btrfs: change {number}") for number in range(20)]
    assert [one.change for one in likeliest([change("xfs: lock"), *changes], SUBSYSTEMS, WORDS)] == changes[:10]
    # A word elsewhere in the kernel has one point.
    assert likeliest([change("xfs: lock"), change("unrelated")], SUBSYSTEMS, WORDS) == ()


def in_tree(subject, commit):
    return replace(change(subject), point_release=None, commit=commit)


def test_one_subject_is_one_suspect_with_release_and_commit():
    subjects = ("btrfs: direct", "btrfs: a")
    listed = rank([change(subject) for subject in subjects], SUBSYSTEMS, WORDS)
    found = rank(
        [in_tree("btrfs: a", "aa"), in_tree("btrfs: lock direct", "bb"), in_tree("btrfs: b", "cc")], SUBSYSTEMS, WORDS
    )
    merged = [(one.change.subject, one.change.point_release, one.change.commit) for one in merge(listed, found)]
    assert merged == [
        ("btrfs: lock direct", None, "bb"),
        ("btrfs: direct", "7.2.6", ""),
        ("btrfs: a", "7.2.6", "aa"),
        ("btrfs: b", None, "cc"),
    ]
    assert merge(listed, ()) == listed
    many = rank([in_tree(f"btrfs: {number}", f"{number:x}") for number in range(15)], SUBSYSTEMS, WORDS)
    assert len(merge(listed, many)) == 10


def test_without_subsystems_and_words_nothing_has_points():
    assert [suspect.score for suspect in rank([change("btrfs: serialize direct IO")], (), ())] == [0]


def ranked_step(older, newer, workload, extra=()):
    step = changes_between((DATA / "6.12.117-1.txt").read_text(), older, newer)
    declared = load_workloads()[workload]
    return rank([*step.changes, *extra], declared.subsystems, declared.words)


@pytest.mark.parametrize("workload", ["shared-dio", "shared-dio-uring", "checkpoint-shared"])
def test_the_checksum_fallback_heads_its_step(workload):
    """6.12.85-1 took it: from there on, direct writes to checksummed files go through the page cache."""
    first, second, *_ = ranked_step("6.12.74-2", "6.12.85-1", workload)
    assert first.change.subject == "btrfs: always fallback to buffered write if the inode requires checksum"
    assert (first.change.point_release, first.change.version) == ("6.12.77", "6.12.85-1")
    assert first.score > second.score


def test_the_restored_fast_path_would_head_its_step():
    """No package on the mirror lists this commit, so it is put among commits that one does list."""
    restored = change("btrfs: don't force DIO writes to be serialized")
    suspects = ranked_step("6.12.85-1", "6.12.117-1", "shared-dio", [replace(restored, version="6.12.117-1")])
    assert suspects[0].change.subject == restored.subject
    assert suspects[0].score > suspects[1].score
    assert suspects[0].matched == ("fs/btrfs", "dio")
