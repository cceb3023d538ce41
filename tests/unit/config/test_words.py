"""Words of a command line from an experiment: read back, they ask for the very same one."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.cli.ab import ab
from harness.config import (
    Request,
    ab_command,
    build_experiment,
    find_experiment,
    load_experiment,
    load_workloads,
    request_from_options,
    request_of,
    texts_of,
    words_of,
)
from harness.config.experiment import experiment_names
from harness.model.experiment import DEFAULT_DISK, Experiment
from harness.model.guest import MIB, DiskBackend, DiskBus, DiskSpec, FilesystemSpec, GuestSpec
from harness.workloads.registry import metrics_of

pytestmark = pytest.mark.unit

CATALOGUE = load_workloads()

OWN = """\
name: mine
title: Mine
stands_for: nothing
template: shared-file.fio.j2
parameters:
  files: 3
  block_size: 64KiB
  file_size: 8MiB
  speed: 1.5
  truth: true
  note: "a b"
deciding: [write_iops]
disk: 64MiB
"""


def read(words: Sequence[str]) -> Experiment:
    """What `kab ab` makes of the words after it."""
    options = dict(ab.make_context("ab", list(words)).params)
    for name in ("file", "fresh", "progress", "destroy_data"):
        options.pop(name)
    return build_experiment(request_from_options(options), CATALOGUE)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("my workloads") / "mine.yaml"
    path.write_text(OWN)
    return path


# Of one word of a kernel's command line: no blank, nothing that cannot be printed.
printable = st.characters(exclude_categories=["C", "Z"])
word = st.text(printable, min_size=1, max_size=8)
blanks = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=8).filter(str.isprintable)
option = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters=",+"), min_size=1, max_size=8)
quoted = st.sampled_from(["-L", "a b", "it's", 'say "x"', ",", "a,,b", "\\"])
fractions = st.floats(1e-6, 0.5, exclude_max=True)
sizes = st.integers(1024, 4096).map(lambda mib: mib * MIB)
disks = st.one_of(
    st.just(DEFAULT_DISK),
    st.builds(DiskSpec, bus=st.sampled_from([DiskBus.NVME, DiskBus.VIRTIO_BLK]), size_bytes=sizes,
              latency_s=st.integers(0, 999).map(lambda ms: ms / 1000)),
    st.builds(DiskSpec, bus=st.just(DiskBus.VIRTIO_BLK), backend=st.just(DiskBackend.FILE), size_bytes=sizes),
    st.builds(DiskSpec, backend=st.just(DiskBackend.BLOCK), size_bytes=st.just(0),
              device=st.text(printable, max_size=8).map("/dev/".__add__)),
    st.builds(DiskSpec, bus=st.just(DiskBus.NULL_BLK), backend=st.just(DiskBackend.NONE), size_bytes=sizes,
              latency_s=st.floats(1e-9, 0.5)),
)  # fmt: skip
filesystems = st.builds(
    FilesystemSpec,
    type=st.sampled_from(["btrfs", "ext4", "xfs"]),
    mount_options=st.lists(option, max_size=3).map(tuple),
    # Quotes, blanks, commas and backslashes among them.
    mkfs_options=st.lists(
        blanks | st.sampled_from(["-L", "a b", "it's", 'say "x"', ",", "a,,b", "\\"]), max_size=3
    ).map(tuple),
)
guests = st.builds(
    GuestSpec,
    vcpus=st.integers(1, 64),
    memory_mib=st.integers(6144, 65536),
    cmdline=st.lists(word, max_size=3).map(tuple),
    cpu_model=st.just("") | word,
)


def overrides(name: str) -> st.SearchStrategy[Mapping[str, str]]:
    timing = {
        "warmup": st.floats(0.001, 86400).map(lambda seconds: f"{seconds:.6f}s"),
        "runtime": st.integers(1, 86_400_000).map(lambda ms: f"{ms}ms"),
        "iterations": st.integers(1, 1000).map(str),
    }
    known = {"block_size": st.integers(1, 10**9).map(str), "files": st.integers(1, 8).map(str)}
    if name == "wal":
        known = {}
    if name == "mine":
        known["speed"] = st.floats(1e-9, 1e9).map(lambda value: f"{value:.12f}")
        known["truth"] = st.sampled_from(["true", "false"])
        known["note"] = blanks.filter(str.strip)
    return st.fixed_dictionaries({}, optional={**known, **timing})


@st.composite
def experiments(draw: st.DrawFn, own: Path) -> Experiment:
    """Experiments that an experiment file or a command line can ask for."""
    name = draw(st.sampled_from(["mine", "shared-dio", "wal"]))
    asked = {"baseline": "host", "candidate": "host", "workload": str(own) if name == "mine" else name}
    said = [f"{key}={value}" for key, value in draw(overrides(name)).items()]
    workload = build_experiment(request_from_options({**asked, "set": said}), CATALOGUE).workload
    metrics = ["auto", *(metric.name for metric in metrics_of(workload).values() if metric.decides)]
    return Experiment(
        baseline=draw(st.sampled_from(["debian:6.12", "git:/a b@v6.12", "file:/boot/x,modules=/y"])),
        candidate=draw(st.sampled_from(["debian:7.2", "tree:.", "host"])),
        workload=workload,
        disk=draw(disks),
        filesystem=draw(filesystems),
        guest=draw(guests),
        metric=draw(st.sampled_from(metrics)),
        margin=draw(fractions),
        error=draw(fractions),
        max_boots=draw(st.integers(2, 1000)),
        seed=draw(st.none() | st.integers(0, 10**17)),
    )


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_words_make_the_same_experiment(data: st.DataObject, own: Path) -> None:
    wanted = data.draw(experiments(own))
    words = words_of(request_of(wanted, CATALOGUE))
    assert read(words) == wanted
    # Copied from a report into a shell, too.
    assert read(shlex.split(shlex.join(words))) == wanted


@pytest.mark.parametrize("name", experiment_names())
def test_experiments_that_ship_with_kab(name: str) -> None:
    asked = Request(baseline="debian:6.12", candidate="debian:7.2").over(load_experiment(find_experiment(name)))
    wanted = build_experiment(asked, CATALOGUE)
    assert read(words_of(request_of(wanted, CATALOGUE))) == wanted


def test_what_is_at_its_default_is_left_out() -> None:
    plain = build_experiment(Request(baseline="debian:6.12", candidate="debian:7.2"), CATALOGUE)
    assert ab_command(request_of(plain, CATALOGUE)) == ("kab", "ab", "debian:6.12", "debian:7.2")
    more = replace(plain, guest=GuestSpec(memory_mib=2048), error=0.05, workload=CATALOGUE["wal"])
    assert words_of(request_of(more, CATALOGUE)) == (
        "debian:6.12", "debian:7.2", "--workload", "wal", "--memory", "2GiB", "--error", "5%",
    )  # fmt: skip


def test_a_request_keeps_who_runs_the_guests_but_not_where_results_go() -> None:
    asked = request_from_options(
        {"baseline": "a:b", "candidate": "host", "accel": "tcg", "json": "-", "html": "x.html"}
    )
    assert ab_command(asked, destroy_data="/dev/sdz") == (
        "kab", "ab", "a:b", "host", "--accel", "tcg", "--destroy-data", "/dev/sdz",
    )  # fmt: skip


def test_a_workload_whose_file_is_gone_is_named_all_the_same(own: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.yaml"
    copy.write_text(own.read_text())
    wanted = build_experiment(
        request_from_options({"baseline": "host", "candidate": "host", "workload": str(copy)}), CATALOGUE
    )
    copy.unlink()
    assert words_of(request_of(wanted, CATALOGUE)) == ("host", "host", "--workload", str(copy))


def test_texts_tell_experiments_apart() -> None:
    plain = build_experiment(Request(baseline="a:b", candidate="c:d"), CATALOGUE)
    texts = texts_of(plain)
    assert texts["--fs"] == "btrfs,mount=nodatacow"
    assert texts["--seed"] == ""
    other = texts_of(replace(plain, seed=7, guest=replace(plain.guest, cmdline=("quiet", "mitigations=off"))))
    assert {name for name in texts if texts[name] != other[name]} == {"--seed", "--cmdline"}
