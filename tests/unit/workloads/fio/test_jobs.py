"""Rendered fio jobs."""

from configparser import ConfigParser
from dataclasses import replace

import pytest

from harness.config.workloads import load_workloads
from harness.errors import ConfigError
from harness.model.guest import MIB
from harness.render.workload import END_OF_FILE, WorkloadTemplates
from harness.workloads.fio import jobs
from harness.workloads.fio.jobs import layout_files

pytestmark = pytest.mark.unit

WORKLOADS = load_workloads()
NAMES = sorted(WORKLOADS)
TEMPLATES = WorkloadTemplates()


def sections(job: str) -> ConfigParser:
    parser = ConfigParser(delimiters=("=",), comment_prefixes=("#",), strict=True, interpolation=None)
    parser.read_string(job)
    return parser


def rendered(name: str, **changes: object) -> ConfigParser:
    workload = WORKLOADS[name]
    workload = replace(workload, parameters={**workload.parameters, **changes})
    return sections(jobs.render_job(workload, TEMPLATES, directory="/mnt", seed=7, runtime_s=3.5))


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
    job = sections(jobs.render_job(WORKLOADS["shared-dio"], TEMPLATES, directory="/mnt", seed=2**63 + 5, runtime_s=1))
    assert 0 <= int(job["global"]["randseed"]) < 2**31


@pytest.mark.parametrize("name", NAMES)
def test_layout_covers_what_the_job_uses_and_fits_the_disk(name):
    workload = WORKLOADS[name]
    files = layout_files(workload)
    text = jobs.render_layout_job(workload, TEMPLATES, directory="/mnt", seed=7)
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
        jobs.render_job(
            replace(workload, parameters={"engine": "psync", "jobs": 1, "file_size": 1}),
            TEMPLATES,
            directory="/",
            seed=1,
            runtime_s=1,
        )


def test_template_of_the_users_own(tmp_path):
    template = tmp_path / "mine.fio.j2"
    template.write_text("{{ common }}\n[{{ name }}]\nioengine=psync\nbs={{ bs }}\n", encoding="utf-8")
    workload = replace(WORKLOADS["shared-dio"], template=str(template), parameters={"bs": 512})
    job = sections(jobs.render_job(workload, TEMPLATES, directory="/mnt", seed=1, runtime_s=1))
    assert job["shared-dio"]["bs"] == "512"
    assert job["global"]["directory"] == "/mnt"
    assert jobs.render_layout_job(workload, TEMPLATES, directory="/mnt", seed=1) == ""


@pytest.mark.parametrize("line", [END_OF_FILE, "a\0b", "a\x1bb", "a\u2028b"])
def test_no_job_leaves_the_script_that_carries_it(tmp_path, line):
    template = tmp_path / "mine.fio.j2"
    template.write_bytes(f"[job]\n{line}\nreboot\n".encode())
    with pytest.raises(ConfigError, match="line 2 of the job"):
        jobs.render_job(
            replace(WORKLOADS["wal"], template=str(template)), TEMPLATES, directory="/", seed=1, runtime_s=1
        )


def test_verify_jobs_differ_only_in_direction():
    write = sections(jobs.render_verify_job(TEMPLATES, directory="/mnt", seed=7, read_back=False))["verify"]
    read = sections(jobs.render_verify_job(TEMPLATES, directory="/mnt", seed=7, read_back=True))["verify"]
    assert {key for key in {*write, *read} if write.get(key) != read.get(key)} == {
        "verify_only",
        "do_verify",
        "end_fsync",
    }
