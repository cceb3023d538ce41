"""Workload files and `--set`: types of parameters, unknown keys, templates."""

from pathlib import Path

import pytest

from harness.config.document import Scalar
from harness.config.workloads import load_workload, load_workloads, override
from harness.errors import ConfigError
from harness.model.workload import Workload
from harness.render.workload import check_jobs

pytestmark = pytest.mark.unit

HEAD = "name: mine\ntitle: Mine\nstands_for: Nothing\ndeciding: [write_iops]\ndisk: 64MiB\n"


def load(folder: Path, text: str) -> Workload:
    (folder / "mine.fio.j2").write_text("[job]\n")
    path = folder / "mine.yaml"
    path.write_text(text)
    return load_workload(path)


def sample(folder: Path) -> Workload:
    return load(
        folder,
        HEAD + "template: mine.fio.j2\nwarmup: 500ms\nparameters:\n  jobs: 4\n  block_size: 16k\n  think: 1.5ms\n"
        "  share: 0.25\n  engine: io_uring\n  version: '3.10'\n  sync: true\n  files: 1\n  file_size: 64MiB\n",
    )


def change(workload: Workload, **texts: str) -> Workload:
    return override(workload, {key: Scalar(text=text, where=f"--set {key}") for key, text in texts.items()})


def test_parameters_are_typed_by_what_they_look_like(tmp_path: Path) -> None:
    assert dict(sample(tmp_path).parameters) == {
        "jobs": 4,
        "block_size": 16384,
        "think": 0.0015,
        "share": 0.25,
        "engine": "io_uring",
        "version": "3.10",
        "sync": True,
        "files": 1,
        "file_size": 64 * 1024**2,
    }


def test_an_override_keeps_the_type(tmp_path: Path) -> None:
    workload = sample(tmp_path)
    changed = change(
        workload, jobs="8", block_size="4KiB", think="2ms", share="1", engine="4", sync="false", warmup="2s"
    )
    assert changed.parameters["jobs"] == 8
    assert changed.parameters["block_size"] == 4096
    assert changed.parameters["think"] == 0.002
    assert changed.parameters["share"] == 1.0
    assert changed.parameters["engine"] == "4"
    assert changed.parameters["sync"] is False
    assert changed.warmup_s == 2.0
    # The one that was loaded is as it was.
    assert workload.parameters["jobs"] == 4


@pytest.mark.parametrize(
    ("key", "text", "says"),
    [
        ("jbos", "8", "Did you mean jobs?"),
        ("jobs", "many", "--set jobs: 'many' is not a size"),
        ("jobs", "1.5", "whole number"),
        ("share", "half", "not a duration"),
        ("sync", "yes", "neither true nor false"),
        ("runtime", "0", "more than 0"),
        ("runtime", "4", "no unit"),
    ],
)
def test_an_override_of_another_type_is_refused(tmp_path: Path, key: str, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        change(sample(tmp_path), **{key: text})
    assert says in str(caught.value)


def test_larger_files_need_a_larger_disk(tmp_path: Path) -> None:
    workload = sample(tmp_path)
    assert change(workload, file_size="1GiB", files="2").disk_bytes == 2 * 1024**3
    assert change(workload, file_size="1MiB").disk_bytes == workload.disk_bytes


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("templte: mine.fio.j2", "Did you mean template?"),
        ("template: none.fio.j2", "there is no template 'none.fio.j2'"),
        ("template: mine.fio.j2\ndeciding: [write_iosp]", "there already"),
        ("template: mine.fio.j2\nruntime: 4", "no unit"),
        ("template: mine.fio.j2\niterations: 0", "too small"),
        ("template: mine.fio.j2\nparameters: {runtime: 3}", "cannot be the name of a parameter"),
        ("template: mine.fio.j2\nparameters: {a: [1]}", "must be one value"),
    ],
)
def test_a_wrong_workload_file_is_named_by_its_line(tmp_path: Path, line: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, f"{HEAD}{line}\n")
    last = len(HEAD.splitlines()) + len(line.splitlines())
    assert caught.value.message.startswith(f"{tmp_path / 'mine.yaml'}:{last}: ")
    assert says in str(caught.value)


def test_the_kind_may_be_written_and_is_fio_where_it_is_not(tmp_path: Path) -> None:
    named = load(tmp_path, HEAD + "kind: fio\ntemplate: mine.fio.j2\n")
    assert named == load(tmp_path, HEAD + "template: mine.fio.j2\n")
    assert named.kind == "fio"


@pytest.mark.parametrize(("kind", "hint"), [("foi", "Did you mean fio? "), ("pgbench", "")])
def test_an_unknown_kind_is_named_by_its_line(tmp_path: Path, kind: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, HEAD + f"kind: {kind}\ntemplate: mine.fio.j2\n")
    assert caught.value.message == f"{tmp_path / 'mine.yaml'}:6: unknown kind of workload '{kind}'"
    assert caught.value.remedy == f"{hint}Known: fio."


def test_a_workload_without_a_key_it_needs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="lacks the key 'template'"):
        load(tmp_path, HEAD)


def test_a_metric_that_decides_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown metric 'write_iosp'"):
        load(tmp_path, HEAD.replace("write_iops", "write_iosp") + "template: mine.fio.j2\n")


def test_a_template_of_the_catalogue_serves_a_workload_of_the_users_own(tmp_path: Path) -> None:
    workload = load(tmp_path, HEAD + "template: shared-file.fio.j2\n")
    assert workload.template == "shared-file.fio.j2"


@pytest.mark.parametrize(
    ("key", "text", "says"),
    [
        ("jobs", "0", "0 is too small"),
        ("block_size", "0", "0 is too small"),
        ("files", "0", "0 is too small"),
        ("files", "1001", "At most 1000 files"),
        ("file_size", "0", "0 is too small"),
        ("file_size", "1", "whole MiB: 1MiB or more"),
        ("file_size", "1536KiB", "whole MiB: 1MiB or more"),
        ("jobs", "999999999999999999TiB", "is too large"),
        ("jobs", "-1", "not a size"),
        ("engine", "", "'' is empty"),
        ("engine", " ", "' ' is empty"),
        ("engine", "psync\nbs=0", "control character"),
        ("engine", "a\x1bb", "control character"),
        ("engine", "a\u202eb", "control character"),
        ("runtime", "1us", "out of range"),
        ("runtime", "25h", "out of range"),
        ("warmup", "25h", "out of range"),
        ("iterations", "1001", "at most 1000"),
        ("iterations", "0", "at least 1"),
    ],
)
def test_what_cannot_work_is_refused_with_its_place(tmp_path: Path, key: str, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        change(sample(tmp_path), **{key: text})
    assert caught.value.message.startswith(f"--set {key}: ")
    assert says in str(caught.value)


def test_a_zero_of_the_workloads_own_means_none(tmp_path: Path) -> None:
    wal = load_workloads()["wal"]
    assert change(wal, files="0").parameters["files"] == 0
    with pytest.raises(ConfigError, match="workload wal: file_size"):
        change(wal, files="2")
    assert change(wal, files="2", file_size="1MiB").disk_bytes == wal.disk_bytes
    assert change(wal, jobs="4").disk_bytes == 4 * 256 * 1024**2, "logs need room, too"


def test_no_more_than_all(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="101 is too large"):
        change(load_workloads()["database-pages"], read_percent="101")


SHARED = [
    *[f"{key}={value}" for key in ("jobs", "depth", "block_size", "file_size") for value in ("0", "-1", "1e9")],
    *("files=0", "file_size=1", "engine=", "engine=psync\nexec_prerun=reboot"),
    *("block_size=3", "block_size=1000", "block_size=512MiB", "jobs=5000", "jobs=" + "9" * 18),
]


@pytest.mark.parametrize("said", SHARED)
@pytest.mark.parametrize("name", ["shared-dio", "shared-dio-uring"])
def test_every_slip_of_the_default_workload_is_seen_before_any_boot(name: str, said: str) -> None:
    key, _, text = said.partition("=")
    with pytest.raises(ConfigError):
        check_jobs(change(load_workloads()[name], **{key: text}))


def test_a_queue_is_not_endless() -> None:
    with pytest.raises(ConfigError, match="iodepth=99999"):
        check_jobs(change(load_workloads()["shared-dio-uring"], depth="99999"))


def test_parts_of_a_shared_file_are_whole_sectors() -> None:
    workload = load_workloads()["checkpoint-shared"]
    check_jobs(change(workload, jobs="8"))
    with pytest.raises(ConfigError, match="offset_increment") as caught:
        check_jobs(change(workload, jobs="3"))
    assert "divides the file" in caught.value.remedy


@pytest.mark.parametrize("name", sorted(load_workloads()))
def test_kabs_own_workloads_pass(name: str) -> None:
    check_jobs(override(load_workloads()[name], {}))
