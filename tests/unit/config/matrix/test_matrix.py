"""Matrix files: which cells they make, what goes over what, and what is refused before the first boot."""

import json
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.config import load_workloads, request_from_options
from harness.config.experiment import Request, experiment_names, find_experiment
from harness.config.matrix import MatrixFile, load_matrix
from harness.errors import ConfigError
from harness.model.matrix import FailKind, GatePolicy, MatrixPlan

pytestmark = pytest.mark.unit

CATALOGUE = load_workloads()

WHOLE = """\
title: every night
baseline: debian:6.12
candidate: debian:7.2
max_boots: 30
set: {jobs: 2}
accel: tcg
connect: qemu:///session
json: out.json
html: out.html
axes:
  workload: [shared-dio, database-pages]
  fs: {btrfs: "btrfs,mount=nodatacow", ext4: ext4}
  guest:
    small: {vcpus: 2, memory: 1GiB}
    large: {vcpus: 4, set: {block_size: 8k}}
exclude: [{workload: "data*", fs: ext4}]
include: [{workload: wal, fs: xfs, guest: small, seed: 7}]
adjust:
  - {when: {fs: [ext4, xfs]}, margin: 10%, error: 2%}
  - {when: {fs: ext4, guest: large}, margin: 12%}
gate:
  error: 4%
  miss: 10%
  metrics: {write_iops: 5%, "*clat_p99": 10%}
  max_boots: 400
  max_time: 4h
  fails: [data, fault]
nightly: {series: [debian:6.12, debian:7.2]}
"""


def write(folder: Path, text: str, name: str = "matrix.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def load(folder: Path, text: str, over: Request | None = None) -> MatrixFile:
    return load_matrix(write(folder, text), over=over)


def planned(folder: Path, text: str, over: Request | None = None) -> MatrixPlan:
    return load(folder, text, over).plan(catalogue=CATALOGUE)


def refused(folder: Path, text: str, over: Request | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        planned(folder, text, over)
    return caught.value


def test_a_file_can_say_everything(tmp_path: Path) -> None:
    found = load(tmp_path, WHOLE)
    assert (found.title, found.accelerator, found.connect) == ("every night", "tcg", "qemu:///session")
    assert (found.json, found.html) == (Path("out.json"), Path("out.html"))
    assert found.series == ("debian:6.12", "debian:7.2")
    assert found.policy == GatePolicy(
        margins={"write_iops": 0.05, "*clat_p99": 0.1}, error=0.04, miss=0.1, max_boots=400, max_time_s=4 * 3600.0,
        fails=(FailKind.FAULT, FailKind.DATA),
    )  # fmt: skip
    cells = {cell.name: cell for cell in found.plan(catalogue=CATALOGUE).cells}
    assert list(cells) == [
        "shared-dio/btrfs/small", "shared-dio/btrfs/large", "shared-dio/ext4/small", "shared-dio/ext4/large",
        "database-pages/btrfs/small", "database-pages/btrfs/large", "wal/xfs/small",
    ]  # fmt: skip
    assert {name: cell.experiment.margin for name, cell in cells.items() if cell.experiment.margin != 0.05} == {
        "shared-dio/ext4/small": 0.1, "shared-dio/ext4/large": 0.12, "wal/xfs/small": 0.1,
    }  # fmt: skip
    large = cells["shared-dio/ext4/large"]
    assert large.axes == {"workload": "shared-dio", "fs": "ext4", "guest": "large"}
    assert (large.experiment.guest.vcpus, large.experiment.error) == (4, 0.02)
    # A parameter of an axis beside one of all cells.
    assert large.experiment.workload.parameters["block_size"] == 8192
    assert {cell.experiment.workload.parameters["jobs"] for cell in cells.values()} == {2}
    assert {cell.experiment.max_boots for cell in cells.values()} == {30}
    assert cells["wal/xfs/small"].experiment.seed == 7
    assert cells["wal/xfs/small"].experiment.filesystem.type == "xfs"


def test_only_a_gate_has_a_policy(tmp_path: Path) -> None:
    found = load(tmp_path, WHOLE)
    assert found.plan(catalogue=CATALOGUE).policy is None
    assert found.plan(catalogue=CATALOGUE, gate=True).policy == found.policy


@pytest.mark.parametrize("name", experiment_names())
def test_an_experiment_file_is_a_matrix_of_one_cell(name: str) -> None:
    found = load_matrix(find_experiment(name)).plan(catalogue=CATALOGUE)
    assert (found.title, [cell.name for cell in found.cells], found.cells[0].axes) == (name, [name], {})


def test_equal_parts_of_cells_are_shared(tmp_path: Path) -> None:
    first, second, *_ = (cell.experiment for cell in planned(tmp_path, WHOLE).cells)
    assert first.filesystem is second.filesystem
    third = planned(tmp_path, WHOLE.replace("set: {block_size: 8k}", "cpu_model: Nehalem")).cells
    assert third[0].experiment.workload is third[1].experiment.workload


def test_kernels_are_demanded_by_the_plan_and_not_by_the_file(tmp_path: Path) -> None:
    found = load(tmp_path, "candidate: host\naxes: {fs: [ext4, xfs]}\n")
    with pytest.raises(ConfigError, match="no baseline kernel is named for the cell ext4") as caught:
        found.plan(catalogue=CATALOGUE)
    assert "--baseline" in caught.value.remedy
    cells = found.plan(catalogue=CATALOGUE, baseline="debian:6.12", candidate="debian:7.2").cells
    assert {(cell.experiment.baseline, cell.experiment.candidate) for cell in cells} == {("debian:6.12", "debian:7.2")}


def test_the_command_line_goes_over_the_file(tmp_path: Path) -> None:
    over = request_from_options({"baseline": "host", "max_boots": "8", "set": ["jobs=1"], "accel": "kvm"})
    found = load(tmp_path, WHOLE, over)
    assert found.accelerator == "kvm"
    for cell in found.plan(catalogue=CATALOGUE).cells:
        assert (cell.experiment.baseline, cell.experiment.max_boots) == ("host", 8)
        assert cell.experiment.workload.parameters["jobs"] == 1


def test_the_command_line_does_not_make_cells_lie(tmp_path: Path) -> None:
    error = refused(tmp_path, WHOLE, request_from_options({"fs": "xfs"}))
    assert error.message.startswith("--fs is given for all cells, and the axis fs says it for each, at ")
    assert "--only fs=LABEL" in error.remedy
    error = refused(tmp_path, WHOLE, request_from_options({"set": ["block_size=4k"]}))
    assert error.message.startswith("--set block_size is given for all cells")


def test_a_kernel_can_be_an_axis(tmp_path: Path) -> None:
    text = "baseline: debian:6.12\naxes:\n  candidate: {old: debian:6.13, new: debian:7.2}\n"
    cells = planned(tmp_path, text).cells
    assert [(cell.name, cell.experiment.candidate) for cell in cells] == [("old", "debian:6.13"), ("new", "debian:7.2")]


def test_kernels_of_a_command_line_do_not_make_cells_lie(tmp_path: Path) -> None:
    found = load(tmp_path, "baseline: debian:6.12\naxes:\n  new: {a: {candidate: debian:6.13}, b: {vcpus: 4}}\n")
    with pytest.raises(ConfigError, match="--candidate is given for all cells, and the axis new says it for each"):
        found.plan(catalogue=CATALOGUE, candidate="host")
    cells = found.plan(catalogue=CATALOGUE, baseline="host", kernels_later=True).cells
    assert [(cell.experiment.baseline, cell.experiment.candidate) for cell in cells] == [
        ("host", "debian:6.13"), ("host", ""),
    ]  # fmt: skip


def test_a_file_extends_what_ships_with_kab(tmp_path: Path) -> None:
    (cell,) = planned(tmp_path, "extends: ext4-dio\nmargin: 2%\n").cells
    assert (cell.name, cell.experiment.filesystem.type, cell.experiment.margin) == ("matrix", "ext4", 0.02)
    axes = planned(tmp_path, "extends: gate\naxes: {fs: [xfs]}\n").cells
    assert [cell.name for cell in axes][:2] == ["shared-dio/xfs/nvme", "shared-dio/xfs/virtio"]


LABELS = {"fs": ("btrfs", "ext4", "xfs"), "vcpus": ("1", "2", "3"), "guest": ("a", "ab", "b")}
PATTERNS = {axis: (*labels, "*", f"{labels[0][0]}*", "?", "[!a]*") for axis, labels in LABELS.items()}


@st.composite
def rules(draw: st.DrawFn) -> list[dict[str, list[str]]]:
    axes = st.lists(st.sampled_from(list(LABELS)), min_size=1, unique=True)
    return [
        {axis: draw(st.lists(st.sampled_from(PATTERNS[axis]), min_size=1, max_size=2)) for axis in draw(axes)}
        for _ in range(draw(st.integers(0, 4)))
    ]


@settings(max_examples=150, deadline=None)
@given(exclude=rules(), adjust=rules())
def test_rules_do_what_trying_each_cell_does(
    exclude: list[dict[str, list[str]]], adjust: list[dict[str, list[str]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Cells are made by bits of rules, label by label; here each rule is tried on each cell."""

    def meant(rule: dict[str, list[str]], cell: dict[str, str]) -> bool:
        return all(any(fnmatchcase(cell[axis], pattern) for pattern in patterns) for axis, patterns in rule.items())

    every = [dict(zip(LABELS, labels, strict=True)) for labels in product(*LABELS.values())]
    left = [cell for cell in every if not any(meant(rule, cell) for rule in exclude)]
    seeds = [next((n for n, rule in reversed(list(enumerate(adjust))) if meant(rule, cell)), None) for cell in left]
    document = {
        "axes": {
            "fs": list(LABELS["fs"]),
            "vcpus": list(LABELS["vcpus"]),
            "guest": {label: {} for label in LABELS["guest"]},
        },
        "exclude": exclude,
        "adjust": [{"when": rule, "seed": str(number)} for number, rule in enumerate(adjust)],
    }
    path = write(tmp_path_factory.mktemp("m"), json.dumps(document))
    idle = [rule for rule in exclude if not any(meant(rule, cell) for cell in every)]
    idle += [rule for rule in adjust if not any(meant(rule, cell) for cell in left)]
    # A pattern that means no label is a slip, also beside one that does.
    lost = any(
        not any(fnmatchcase(label, pattern) for label in LABELS[axis])
        for rule in (*exclude, *adjust)
        for axis, patterns in rule.items()
        for pattern in patterns
    )
    if idle or lost or not left:
        with pytest.raises(ConfigError):
            load_matrix(path)
        return
    cells = load_matrix(path).cells
    assert [cell.axes for cell in cells] == left
    assert [cell.request.seed for cell in cells] == seeds


def test_a_file_extends_another(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    write(tmp_path, "name: mine\ntitle: T\nstands_for: S\ntemplate: wal.fio.j2\ndeciding: write_iops\ndisk: 1MiB\n"
          "parameters: {jobs: 1, block_size: 4k, log_size: 1MiB, files: 0, file_size: 0}\n", "below/w.yaml"
    )  # fmt: skip
    write(
        tmp_path,
        "title: the parent\nbaseline: debian:6.12\ncandidate: host\nmargin: 2%\nset: {jobs: 1, block_size: 8k}\n"
        "axes: {workload: {wal: wal, mine: ./w.yaml}, fs: [btrfs, ext4]}\n"
        "exclude: [{workload: wal, fs: ext4}]\ngate: {error: 1%, miss: 2%}\nnightly: {series: debian:7.2}\n",
        "below/base.yaml",
    )
    found = load(
        tmp_path,
        "extends: below/base.yaml\ncandidate: debian:7.2\nset: {jobs: 2}\ngate: {miss: 3%}\n"
        "axes: {fs: [xfs, ext4], vcpus: ['1', '2']}\nexclude: [{workload: mine, vcpus: '2'}]\n",
    )
    plan = found.plan(catalogue=CATALOGUE)
    # Axes keep their places; the title is the file's own.
    assert [cell.name for cell in plan.cells] == ["wal/xfs/1", "wal/xfs/2", "wal/ext4/1", "wal/ext4/2", "mine/xfs/1",
                                                  "mine/ext4/1"]  # fmt: skip
    assert (found.title, found.policy.error, found.policy.miss, found.series) == ("matrix", 0.01, 0.03, ("debian:7.2",))
    experiment = plan.cells[-1].experiment
    assert (experiment.baseline, experiment.candidate, experiment.margin) == ("debian:6.12", "debian:7.2", 0.02)
    # A parent's workload lies beside the parent; parameters go over one another one by one.
    assert experiment.workload.file == str(tmp_path / "below" / "w.yaml")
    assert (experiment.workload.parameters["jobs"], experiment.workload.parameters["block_size"]) == (2, 8192)


def test_a_file_that_extends_itself_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "extends: ./matrix.yaml\n", "base.yaml")
    error = refused(tmp_path, "baseline: host\nextends: ./base.yaml\n")
    assert error.message == f"{tmp_path}/base.yaml:1: ./matrix.yaml extends itself in the end"


def test_parents_without_end_are_refused(tmp_path: Path) -> None:
    for number in range(20):
        write(tmp_path, f"extends: ./{number + 1}.yaml\n", f"{number}.yaml")
    with pytest.raises(ConfigError, match=r"/8.yaml:1: more than 8 files"):
        load_matrix(tmp_path / "0.yaml")


KERNELS = "baseline: debian:6.12\ncandidate: debian:7.2\n"


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("axis: {fs: [ext4]}", 3, "Did you mean axes?"),
        ("axes: {}", 3, "axes holds none"),
        ("axes: [ext4]", 3, "axes must be a mapping"),
        ("axes: {fs: ext4}", 3, "must be a list or a mapping of labels"),
        ("axes: {fs: []}", 3, "has no labels"),
        ("axes: {fs: {}}", 3, "has no labels"),
        ("axes: {workloads: [wal]}", 3, "Did you mean workload?"),
        ("axes:\n  fs: [ext4, ext4]", 4, "there already"),
        ("axes:\n  fs: [ext4, exta4]", 4, "Did you mean ext4?"),
        ("axes: {fs: [{type: ext4}]}", 3, "must be one value"),
        ("axes:\n  guest:\n    small: 2", 5, "must be a mapping of keys"),
        ("axes:\n  guest:\n    small: {vcpu: 2}", 5, "Did you mean vcpus?"),
        ("axes:\n  guest:\n    small: {accel: tcg}", 5, "accel is of the whole matrix"),
        ("axes:\n  guest:\n    small: {destroy_data: /dev/sda}", 5, "not taken from a file"),
        ("axes:\n  disk: ['virtio-blk,backend=block,device=/dev/sdz']", 4, "holds a `/`"),
        ('axes: {fs: {"a\\u202eb": ext4}}', 3, "control character"),
        ('axes: {fs: {" a": ext4}}', 3, "begins or ends with a blank"),
        ('axes: {"a=b": {c: {}}}', 3, "cannot be called"),
        ("axes: {fs: {" + "x" * 201 + ": ext4}}", 3, "longer than 200"),
        ("axes: {fs: {" + "x" * 150 + ": ext4}, guest: {" + "y" * 60 + ": {}}}", 3, "longer than 200"),
        ("title: a/b", 3, "holds a `/`"),
        ("axes: {fs: [ext4]}\nexclude: {fs: ext4}", 4, "must be a list of mappings"),
        ("axes: {fs: [ext4]}\nexclude:\n  - {fs: ext4}", 3, "no cell is left"),
        ("axes: {fs: [ext4, xfs]}\nexclude:\n  - {fsys: ext4}", 5, "Did you mean fs?"),
        ("axes: {fs: [ext4, xfs]}\nexclude:\n  - {fs: ext}", 5, "Did you mean ext4?"),
        ("axes: {fs: [ext4, xfs], vcpus: ['1']}\nexclude:\n  - {fs: e*, vcpus: '2'}", 5, "unknown label"),
        ("axes: {fs: [ext4, xfs]}\nadjust:\n  - {when: {fs: xfs3}, margin: 1%}", 5, "Did you mean xfs?"),
        ("axes: {fs: [ext4, xfs]}\nadjust:\n  - {margin: 1%}", 5, "needs `when`"),
        ("axes: {fs: [ext4, xfs]}\nadjust:\n  - {when: {fs: xfs}}", 5, "needs `when`"),
        ("axes: {fs: [ext4, xfs]}\nadjust:\n  - {when: {}, margin: 1%}", 5, "no axis is named"),
        ("axes: {fs: [ext4, xfs]}\nadjust:\n  - {when: {fs: xfs}, fs: ext4}", 5, "what the axis fs says at"),
        ("axes: {fs: [ext4, xfs]}\nadjust:\n  - {when: {fs: xfs}, margni: 1%}", 5, "Did you mean margin?"),
        ("axes: {fs: {a: ext4, b: xfs}}\nexclude: [{fs: b}]\nadjust:\n  - {when: {fs: b}, seed: 1}", 6, "matches"),
        ("axes: {fs: [ext4, xfs]}\ninclude:\n  - {fs: xfs}", 5, "there is a cell xfs already"),
        ("axes: {fs: [ext4, xfs]}\ninclude:\n  - {fs: btrfs}\n  - {fs: btrfs}", 6, "there is a cell btrfs already"),
        ("axes: {fs: [ext4, xfs]}\nexclude: [{fs: x*}]\ninclude:\n  - {fs: xfs}", 6, "is excluded at"),
        ("axes: {fs: [ext4], vcpus: ['1']}\ninclude:\n  - {fs: xfs}", 5, "no label of the axis vcpus"),
        ("axes: {fs: [ext4]}\ninclude:\n  - {fs: xfs, margn: 1%}", 5, "Did you mean margin?"),
        ("axes: {guest: {small: {}, big: {vcpus: 4}}}\ninclude:\n  - {guest: smal}", 5, "Did you mean small?"),
        ("axes: {guest: {a: {}, b: {vcpus: 4}}}\nexclude: [{guest: b}]\ninclude:\n  - {guest: b}", 6, "is excluded at"),
        ("axes:\n  fs: [ext4]\n  other: {a: {fs: xfs}}", 5, "both say fs"),
        ("axes:\n  one: {a: {set: {jobs: 1}}}\n  two: {b: {set: {jobs: 2}}}", 5, "both say set.jobs"),
        ("exclude:\n  - {fs: ext4}", 4, "without axes"),
        ("include:\n  - {fs: ext4}", 4, "without axes"),
        ("adjust:\n  - {when: {fs: ext4}, margin: 1%}", 4, "without axes"),
        ("gate: {errors: 5%}", 3, "Did you mean error?"),
        ("gate: {error: 5}", 3, "out of range"),
        ("gate:\n  metrics: {write_iop: 5%}", 4, "Did you mean write_iops?"),
        ("gate:\n  metrics:\n    write_iops: 5%\n    nope_*: 5%", 6, "unknown metric 'nope_*'"),
        ("gate: {max_time: 4}", 3, "no unit"),
        ("gate: {max_time: 0}", 3, "more than 0"),
        ("gate: {max_boots: 1}", 3, "too small"),
        ("gate: {fails: [falt]}", 3, "Did you mean fault?"),
        ("nightly: {}", 3, "lacks the key 'series'"),
        ("nightly: {serie: debian:7.2}", 3, "Did you mean series?"),
        ("nightly:\n  series: [debian:7.2, debian:7.2]", 4, "there already"),
        ("nightly: {series: []}", 3, "series holds none"),
        ("workload: shard-dio", 3, "Did you mean shared-dio?"),
        ("axes:\n  workload: [shared-dio, shard-dio]", 4, "Did you mean shared-dio?"),
        ("axes: {disk: ['nvme,size=128MiB']}", 3, "cell nvme,size=128MiB: workload shared-dio needs a disk of"),
        ("extends: ./none.yaml", None, "no such file"),
        ("extends: nigtly", 3, "Did you mean nightly?"),
        ("destroy_data: /dev/sda", 3, "not taken from a file"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_told_with_its_line(tmp_path: Path, text: str, line: int | None, says: str) -> None:
    error = refused(tmp_path, f"{KERNELS}{text}\n")
    assert says in str(error)
    if line is not None:
        assert error.message.startswith(f"{tmp_path}/matrix.yaml:{line}: ")


def test_a_name_of_a_file_that_is_no_name_wants_a_title(tmp_path: Path) -> None:
    path = write(tmp_path, KERNELS, "a\u202eb.yaml")
    with pytest.raises(ConfigError, match="control character"):
        load_matrix(path)
    assert load_matrix(write(tmp_path, f"{KERNELS}title: plain\n", "a\u202eb.yaml")).title == "plain"


def test_more_cells_than_anybody_measures_are_refused_at_once(tmp_path: Path) -> None:
    axes = "".join(f"  a{axis}: {{{', '.join(f'l{label}: {{}}' for label in range(50))}}}\n" for axis in range(8))
    assert "cells; at most 1000000" in str(refused(tmp_path, f"{KERNELS}axes:\n{axes}"))


def test_an_error_names_some_labels_of_a_long_axis(tmp_path: Path) -> None:
    labels = ", ".join(f"l{number}: {{}}" for number in range(500))
    text = f"{KERNELS}axes:\n  fs: [ext4, xfs]\n  many: {{{labels}}}\nexclude: [{{fs: ext4}}]\nadjust:\n"
    error = refused(tmp_path, f"{text}  - {{when: {{fs: ext4}}, margin: 1%}}\n")
    assert error.message.endswith("no cell matches fs=ext4")
    assert error.remedy.startswith("Labels of the axis fs: ext4, xfs. Labels of the axis many: l0, l1, ")
    assert error.remedy.endswith("l19 and 480 more.")


def test_a_matrix_is_no_experiment(tmp_path: Path) -> None:
    from harness.config import load_experiment

    path = write(tmp_path, WHOLE)
    with pytest.raises(ConfigError, match=r"matrix.yaml:1: title is of a matrix") as caught:
        load_experiment(path)
    assert f"kab run {path}" in caught.value.remedy
