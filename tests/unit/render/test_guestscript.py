"""Scripts of a guest."""

import subprocess
from pathlib import Path

import pytest

from harness.errors import ConfigError
from harness.model.guest import MIB, AttachedDisk, DiskBackend, DiskBus, DiskSpec, FilesystemSpec
from harness.parse.sections import parse_sections
from harness.render.guestscript import check_script, collect_script, iterate_script, prepare_script
from harness.render.workload import END_OF_FILE
from harness.workloads.kinds import DataCheck, GuestJob, Step
from harness.workloads.procfs import Procfs

pytestmark = pytest.mark.unit

NVME = AttachedDisk(spec=DiskSpec(latency_s=0.002), serial="kab-0123", path=Path("/x.sock"))
NULL_BLK = AttachedDisk(
    spec=DiskSpec(bus=DiskBus.NULL_BLK, backend=DiskBackend.NONE, size_bytes=512 * MIB, latency_s=0.002),
    serial="kab-0123",
)
CHECK = DataCheck(files={"w": "W\n"}, write="write 'it' now", read_back="read it", kept=(("data.0", 1),))


def prepared(disk: AttachedDisk, filesystem: FilesystemSpec) -> str:
    job = GuestJob(iterate=Step(command="true"), prepare="lay out", files={"job": "JOB\n", "warm-up": "WARM\n"})
    return prepare_script(disk, filesystem, job)


def test_disk_is_found_by_serial_or_made():
    assert "serial=kab-0123" in prepared(NVME, FilesystemSpec())
    made = prepared(NULL_BLK, FilesystemSpec())
    assert "set_attribute completion_nsec 2000000" in made
    assert "set_attribute size 512" in made
    assert "kab-0123" not in made


def test_options_are_quoted():
    filesystem = FilesystemSpec(
        type="btrfs", mount_options=("nodatacow", "subvol=$(reboot)"), mkfs_options=("-L", "my label")
    )
    script = prepared(NVME, filesystem)
    assert "-o 'nodatacow,subvol=$(reboot)'" in script
    assert "mkfs.btrfs -f -q -L 'my label' " in script


def test_the_filesystem_of_a_real_device_is_labelled_with_its_serial() -> None:
    device = AttachedDisk(
        spec=DiskSpec(bus=DiskBus.VIRTIO_BLK, backend=DiskBackend.BLOCK, device="/dev/sdx"),
        serial="kab-0123abcd",
        path=Path("/dev/sdx"),
    )
    for kind in ("btrfs", "ext4", "xfs"):
        assert " -L kab-0123abcd " in prepared(device, FilesystemSpec(type=kind))
        assert " -L " not in prepared(NVME, FilesystemSpec(type=kind))
    own = prepared(device, FilesystemSpec(type="xfs", mkfs_options=("-L", "mine")))
    assert own.count(" -L ") == 1


def test_xfs_is_made_for_the_oldest_kernel_unless_told_otherwise():
    assert "lts_5.10.conf" in prepared(NVME, FilesystemSpec(type="xfs"))
    own = FilesystemSpec(type="xfs", mkfs_options=("-c", "options=/mine.conf"))
    assert "mkfs.xfs -f -q -c options=/mine.conf " in prepared(NVME, own)


def test_unknown_filesystem():
    with pytest.raises(ConfigError, match="ntfs"):
        prepared(NVME, FilesystemSpec(type="ntfs"))


@pytest.mark.parametrize(
    "script",
    [
        prepared(NVME, FilesystemSpec()),
        iterate_script("vda", Step(command="true"), [Procfs()]),
        check_script("vda", FilesystemSpec(type="xfs"), CHECK),
        collect_script(FilesystemSpec(type="ext4")),
    ],
)
def test_scripts_are_read_as_a_whole_before_they_run(script):
    """Else a command that reads its standard input would swallow the rest of the script."""
    assert script.startswith("main() {\nset -euo pipefail\n")
    assert script.endswith("}\nmain < /dev/null\n")


def test_files_and_commands_of_the_job_are_in_the_script():
    script = prepared(NVME, FilesystemSpec())
    assert f"cat > \"$work\"/warm-up <<'{END_OF_FILE}'\nWARM\n\n{END_OF_FILE}\n" in script
    assert script.index("WARM") < script.index("lay out") < script.rindex("sync")


@pytest.mark.parametrize("text", [f"a\n{END_OF_FILE}\nreboot\n", "a\0b", "a\x1bb"])
def test_no_file_leaves_the_script_that_carries_it(text):
    job = GuestJob(iterate=Step(command="true"), files={"mine": text})
    with pytest.raises(ConfigError, match="of mine cannot be in a job"):
        prepare_script(NVME, FilesystemSpec(), job)


def test_a_check_without_data_of_its_own_is_one_of_the_filesystem():
    script = check_script("vda", FilesystemSpec(), DataCheck())
    assert [step for step in ("write", "unmount", "fsck", "mount", "read", "sizes") if f"run {step} " in script] == [
        "unmount", "fsck", "mount",
    ]  # fmt: skip
    whole = check_script("vda", FilesystemSpec(), CHECK)
    assert """run write eval 'write '"'"'it'"'"' now'""" in whole
    assert whole.index("run unmount") < whole.index("run read eval 'read it'") < whole.index("run sizes")


class Nested:
    """A probe that prints where it stands; its start or stop may fail, as where a kernel lacks something."""

    metrics = ()
    apart = False

    def __init__(self, name: str, tail: str = "") -> None:
        self.name = self.artifact = name
        self._tail = tail

    def start(self, disk: str) -> str:
        return f"echo start {self.name} {disk}{self._tail}"

    def stop(self, disk: str) -> str:
        return f"echo stop {self.name} {disk}{self._tail}"

    def read(self, before, after, done):
        raise NotImplementedError


def run(script: str) -> dict[str, str]:
    """What a shell prints for an iteration's script, on a host that has no such folder."""
    script = script.replace('sync -f "$mnt"', "true")
    done = subprocess.run(["bash", "-s"], input=script, capture_output=True, text=True, check=True, timeout=30)
    return parse_sections(done.stdout)


def test_probes_are_nested_around_the_command_and_their_failure_is_none_of_its():
    probes = [Nested("outer"), Nested("inner", "\nfalse\nnonsense-of-no-kernel")]
    found = run(iterate_script("vda", Step(command="echo measured"), probes))
    assert list(found) == ["outer-before", "inner-before", "output", "inner-after", "outer-after", "status"]
    assert found["inner-before"] == "start inner vda"
    assert found["output"] == "measured"
    assert found["outer-after"] == "stop outer vda"
    assert found["status"] == "command=0"


def test_the_status_of_the_command_is_told():
    found = run(iterate_script("vda", Step(command="{ true && (exit 7); }"), [Nested("one")]))
    assert found["status"] == "command=7"
    assert found["one-after"] == "stop one vda"


def test_procfs_reads_this_hosts_counters_twice():
    found = run(iterate_script("no-such-disk", Step(command="true"), [Procfs()]))
    for text in (found["procfs-before"], found["procfs-after"]):
        assert "/proc/stat:ctxt " in text
        assert "/proc/vmstat:nr_dirtied " in text
