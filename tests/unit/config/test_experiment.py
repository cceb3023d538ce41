"""Requests from files and command lines, laid over one another and built into experiments."""

from pathlib import Path

import pytest

from harness.config import EXPERIMENT_KEYS, build_experiment, load_experiment, load_workloads, request_from_options
from harness.config.experiment import Request
from harness.errors import ConfigError
from harness.model.experiment import Experiment
from harness.model.guest import MIB, DiskBackend, DiskBus, DiskSpec, FilesystemSpec, GuestSpec

pytestmark = pytest.mark.unit

EVERYTHING = """\
baseline: debian:6.10
candidate: host
workload: shared-dio
set:
  jobs: 8
  block_size: 4k
  runtime: 500ms
disk:
  bus: virtio-blk
  backend: nbd
  latency: 1ms
  size: 2GiB
fs:
  type: btrfs
  mount: [nodatacow, noatime]
  mkfs: -n 16k
vcpus: 4
memory: 2GiB
cmdline: mitigations=off nokaslr
cpu_model: Nehalem
metric: write_iops
margin: 2.5%
error: 0.02
max_boots: 60
seed: 7
accel: tcg
connect: qemu:///session
json: out/result.json
html: out/report.html
"""


def load(folder: Path, text: str) -> Request:
    path = folder / "experiment.yaml"
    path.write_text(text)
    return load_experiment(path)


def build(request: Request) -> Experiment:
    return build_experiment(request, load_workloads())


def test_a_file_can_say_everything(tmp_path: Path) -> None:
    request = load(tmp_path, EVERYTHING)
    experiment = build(request)
    # 6.10 is a series of kernels, not the number 6.1.
    assert (experiment.baseline, experiment.candidate) == ("debian:6.10", "host")
    assert experiment.workload.parameters["jobs"] == 8
    assert experiment.workload.parameters["block_size"] == 4096
    assert experiment.workload.runtime_s == 0.5
    assert experiment.disk == DiskSpec(
        bus=DiskBus.VIRTIO_BLK, backend=DiskBackend.NBD, latency_s=0.001, size_bytes=2048 * MIB
    )
    assert experiment.filesystem == FilesystemSpec(
        type="btrfs", mount_options=("nodatacow", "noatime"), mkfs_options=("-n", "16k")
    )
    assert experiment.guest == GuestSpec(
        vcpus=4, memory_mib=2048, cmdline=("mitigations=off", "nokaslr"), cpu_model="Nehalem"
    )
    assert (experiment.metric, experiment.margin, experiment.error) == ("write_iops", 0.025, 0.02)
    assert (experiment.max_boots, experiment.seed) == (60, 7)
    assert (request.accelerator, request.connect) == ("tcg", "qemu:///session")
    assert (request.json, request.html) == (Path("out/result.json"), Path("out/report.html"))


def test_the_example_above_names_every_key(tmp_path: Path) -> None:
    said = {line.split(":")[0] for line in EVERYTHING.splitlines() if not line.startswith(" ")}
    assert said == set(EXPERIMENT_KEYS)


def test_a_command_line_says_the_same(tmp_path: Path) -> None:
    options = {
        "baseline": "debian:6.10",
        "candidate": "host",
        "workload": "shared-dio",
        "set": ["jobs=8", "block_size=4k", "runtime=500ms"],
        "disk": "virtio-blk,backend=nbd,latency=1ms,size=2GiB",
        "fs": "btrfs,mount=nodatacow+noatime,mkfs=-n 16k",
        "vcpus": "4",
        "memory": "2GiB",
        "cmdline": ["mitigations=off", "nokaslr"],
        "cpu_model": "Nehalem",
        "metric": "write_iops",
        "margin": "2.5%",
        "error": "0.02",
        "max_boots": "60",
        "seed": "7",
        "accel": "tcg",
        "connect": "qemu:///session",
        "json": "out/result.json",
        "html": "out/report.html",
    }
    asked, filed = request_from_options(options), load(tmp_path, EVERYTHING)
    assert build(asked) == build(filed)
    for name in ("accelerator", "connect", "json", "html"):
        assert getattr(asked, name) == getattr(filed, name)


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    asked = request_from_options(
        {"baseline": None, "candidate": "debian:7.2", "margin": "10%", "set": ["jobs=2"], "cmdline": ()}
    )
    experiment = build(asked.over(load(tmp_path, EVERYTHING)))
    assert experiment.baseline == "debian:6.10"
    assert experiment.candidate == "debian:7.2"
    assert experiment.margin == 0.1
    assert experiment.workload.parameters["jobs"] == 2
    assert experiment.workload.parameters["block_size"] == 4096
    assert experiment.guest.cmdline == ("mitigations=off", "nokaslr")


def test_what_is_not_said_has_the_models_defaults() -> None:
    experiment = build(request_from_options({"baseline": "a", "candidate": "b"}))
    assert experiment == Experiment(baseline="a", candidate="b", workload=load_workloads()["shared-dio"])


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("basline: debian:6.12", "Did you mean baseline?"),
        ("max-boots: 4", "Did you mean max_boots?"),
        ("margin: 5", "out of range"),
        ("error: 1 percent", "not a percentage"),
        ("max_boots: 1", "too small"),
        ("seed: -1", "not a whole number"),
        ("vcpus: two", "not a whole number"),
        ("memory: 1.5", "not a size"),
        ("memory: 64MiB", "not a guest's memory"),
        ("disk: nvme,latency=2", "no unit"),
        ("disk: {bus: nvme, latency: 2 msec}", "unknown unit 'msec'"),
        ("disk: {bus: nvme, sise: 1GiB}", "Did you mean size?"),
        ("disk: {backend: nbd}", "lacks the key 'bus'"),
        ("disk: [nvme, nbd]", "not a list"),
        ("fs: reiserfs", "unknown filesystem"),
        ("fs: {type: btrfs, mnt: a}", "unknown filesystem key"),
        ("accel: qemu", "unknown accelerator"),
        ("set: [jobs=4]", "set must be a mapping"),
        ("metric: [a, b]", "metric must be one value"),
        ('connect: ""', "connect is empty"),
        ("destroy_data: /dev/sdb", "not taken from a file"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, f"# An experiment\n\n{line}\n")
    assert caught.value.message.startswith(f"{tmp_path / 'experiment.yaml'}:3: ")
    assert says in str(caught.value)


def test_a_wrong_unit_deep_in_a_file_is_named_by_its_own_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "disk:\n  bus: nvme\n  size: 1GB\n")
    assert caught.value.message.startswith(f"{tmp_path / 'experiment.yaml'}:3: ")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"candidate": "b"}, "no baseline kernel is named"),
        ({"baseline": "a"}, "no candidate kernel is named"),
        ({"baseline": "a", "candidate": "b", "workload": "shard-dio"}, "Did you mean shared-dio?"),
        ({"baseline": "a", "candidate": "b", "workload": "./none.yaml"}, "no such file"),
        ({"baseline": "a", "candidate": "b", "metric": "write_iop"}, "Did you mean write_iops?"),
        ({"baseline": "a", "candidate": "b", "set": ["job=8"]}, "Did you mean jobs?"),
        ({"baseline": "a", "candidate": "b", "set": ["jobs=many"]}, "--set jobs: 'many'"),
        ({"baseline": "a", "candidate": "b", "set": ["runtime=2"]}, "no unit"),
        ({"baseline": "a", "candidate": "b", "set": ["iterations=0"]}, "too small"),
        ({"baseline": "a", "candidate": "b", "set": ["jobs"]}, "not KEY=VALUE"),
        ({"baseline": "a", "candidate": "b", "disk": "nvme,size=128MiB"}, "size=208MiB or more"),
        ({"baseline": "a", "candidate": "b", "set": ["file_size=2GiB"]}, "size=2688MiB or more"),
        ({"baseline": "a", "candidate": "b", "disk": "null-blk", "memory": "256MiB"}, "lives in the guest's memory"),
        ({"baseline": " ", "candidate": "b"}, "BASELINE: baseline is empty"),
        ({"baseline": "a", "candidate": "b", "max_boots": "x"}, "--max-boots: 'x'"),
    ],
)
def test_what_cannot_work_is_said_before_anything_starts(options: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(request_from_options(options))
    assert says in str(caught.value)


def test_a_workload_of_the_users_own_lies_beside_the_experiment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "load.yaml").write_text(
        "name: mine\ntitle: Mine\nstands_for: Nothing\ntemplate: mine.fio.j2\ndeciding: [write_iops]\ndisk: 1MiB\n"
    )
    (tmp_path / "mine" / "mine.fio.j2").write_text("[job]\n")
    (tmp_path / "mine" / "e.yaml").write_text("baseline: a\ncandidate: b\nworkload: ./load.yaml\n")
    monkeypatch.chdir(tmp_path)
    experiment = build(load_experiment(Path("mine/e.yaml")))
    assert experiment.workload.name == "mine"
    assert experiment.workload.template == str(tmp_path / "mine" / "mine.fio.j2")


@pytest.mark.parametrize(
    ("key", "text", "says"),
    [
        ("vcpus", "0", "at least 1"),
        ("vcpus", "256", "at most 255"),
        ("vcpus", "9" * 30, "not a whole number"),
        ("cmdline", "quiet\nsplash", "line feed"),
        ("cmdline", "a\x1bb", "control character"),
        ("disk", "nvme,size=0", "too small"),
    ],
)
def test_values_that_no_guest_can_have(key: str, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        request_from_options({key: text})
    assert caught.value.message.startswith(f"--{key}: ")
    assert says in str(caught.value)
