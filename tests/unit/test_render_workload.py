"""Rendered fio jobs and guest scripts."""

from configparser import ConfigParser
from dataclasses import replace
from pathlib import Path

import pytest

from harness.config.workloads import load_workloads
from harness.errors import ConfigError
from harness.model.guest import MIB, AttachedDisk, DiskBackend, DiskBus, DiskSpec, FilesystemSpec
from harness.render.guestscript import check_script, collect_script, iterate_script, prepare_script
from harness.render.workload import END_OF_JOB, layout_files, render_job, render_layout_job, render_verify_job

pytestmark = pytest.mark.unit

WORKLOADS = load_workloads()
NAMES = sorted(WORKLOADS)
NVME = AttachedDisk(spec=DiskSpec(latency_s=0.002), serial="kab-0123", path=Path("/x.sock"))
NULL_BLK = AttachedDisk(
    spec=DiskSpec(bus=DiskBus.NULL_BLK, backend=DiskBackend.NONE, size_bytes=512 * MIB, latency_s=0.002),
    serial="kab-0123",
)


def sections(job: str) -> ConfigParser:
    parser = ConfigParser(delimiters=("=",), comment_prefixes=("#",), strict=True, interpolation=None)
    parser.read_string(job)
    return parser


def rendered(name: str, **changes: object) -> ConfigParser:
    workload = WORKLOADS[name]
    workload = replace(workload, parameters={**workload.parameters, **changes})
    return sections(render_job(workload, directory="/mnt", seed=7, runtime_s=3.5))


@pytest.mark.parametrize("name", NAMES)
def test_every_job_measures_as_agreed(name):
    job = rendered(name)
    common = job["global"]
    assert common["time_based"] == "1"
    assert common["runtime"] == "3500ms"
    assert common["group_reporting"] == "1"
    assert common["thread"] == "1"
    assert common["fallocate"] == "none"
    assert common["randseed"] == "7"
    assert name in job.sections()
    assert all("ioengine" in job[section] or "ioengine" in common for section in job.sections() if section != "global")


def test_default_job_in_full():
    assert dict(rendered("shared-dio")["shared-dio"]) == {
        "filename": "data.0",
        "size": str(64 * MIB),
        "numjobs": "4",
        "ioengine": "psync",
        "direct": "1",
        "rw": "randwrite",
        "bs": "16384",
    }


def test_uring_job_has_a_depth():
    job = rendered("shared-dio-uring")["shared-dio-uring"]
    assert (job["ioengine"], job["iodepth"], job["numjobs"], job["bs"]) == ("io_uring", "64", "32", "4096")


def test_parameters_reach_the_job():
    assert rendered("database-pages", block_size=8192)["database-pages"]["bs"] == "8192"


def test_random_seed_of_any_size_is_taken():
    job = sections(render_job(WORKLOADS["shared-dio"], directory="/mnt", seed=2**63 + 5, runtime_s=1))
    assert 0 <= int(job["global"]["randseed"]) < 2**31


@pytest.mark.parametrize("name", NAMES)
def test_layout_covers_what_the_job_uses_and_fits_the_disk(name):
    workload = WORKLOADS[name]
    files = layout_files(workload)
    text = render_layout_job(workload, directory="/mnt", seed=7)
    if not files:
        assert text == ""
        return
    layout = sections(text)["layout"]
    assert layout["numjobs"] == str(len(files))
    assert sum(size for _, size in files) <= workload.disk_bytes
    used = rendered(name)[name]
    if "filename" in used:
        assert set(used["filename"].split(":")) <= {file for file, _ in files}
    else:
        assert used["filename_format"] == layout["filename_format"]
        assert used["numjobs"] == layout["numjobs"]
    parts = int(used["numjobs"]) if "offset_increment" in used else 1
    assert int(used.get("size", 0)) * parts <= int(layout["size"])


def test_undefined_parameter_is_an_error():
    workload = WORKLOADS["shared-dio"]
    with pytest.raises(ConfigError, match="block_size"):
        render_job(
            replace(workload, parameters={"engine": "psync", "jobs": 1, "file_size": 1}),
            directory="/",
            seed=1,
            runtime_s=1,
        )


def test_template_of_the_users_own(tmp_path):
    template = tmp_path / "mine.fio.j2"
    template.write_text("{{ common }}\n[{{ name }}]\nioengine=psync\nbs={{ bs }}\n", encoding="utf-8")
    workload = replace(WORKLOADS["shared-dio"], template=str(template), parameters={"bs": 512})
    job = sections(render_job(workload, directory="/mnt", seed=1, runtime_s=1))
    assert job["shared-dio"]["bs"] == "512"
    assert job["global"]["directory"] == "/mnt"
    assert render_layout_job(workload, directory="/mnt", seed=1) == ""


@pytest.mark.parametrize("line", [END_OF_JOB, "a\0b", "a\x1bb", "a\u2028b"])
def test_no_job_leaves_the_script_that_carries_it(tmp_path, line):
    template = tmp_path / "mine.fio.j2"
    template.write_bytes(f"[job]\n{line}\nreboot\n".encode())
    with pytest.raises(ConfigError, match="line 2 of the job"):
        render_job(replace(WORKLOADS["wal"], template=str(template)), directory="/", seed=1, runtime_s=1)


def test_verify_jobs_differ_only_in_direction():
    write = sections(render_verify_job(directory="/mnt", seed=7, read_back=False))["verify"]
    read = sections(render_verify_job(directory="/mnt", seed=7, read_back=True))["verify"]
    assert {key for key in {*write, *read} if write.get(key) != read.get(key)} == {
        "verify_only",
        "do_verify",
        "end_fsync",
    }


def prepared(disk: AttachedDisk, filesystem: FilesystemSpec) -> str:
    return prepare_script(disk, filesystem, job="JOB\n", warmup_job="WARM\n", layout_job="LAYOUT\n")


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
        iterate_script("vda", warmup=True),
        check_script("vda", FilesystemSpec(type="xfs"), write_job="W", read_job="R", files=["data.0"]),
        collect_script(FilesystemSpec(type="ext4")),
    ],
)
def test_scripts_are_read_as_a_whole_before_they_run(script):
    """Else a command that reads its standard input would swallow the rest of the script."""
    assert script.startswith("main() {\nset -euo pipefail\n")
    assert script.endswith("}\nmain < /dev/null\n")
