"""Every file that ships under configs/ loads, and its reference documents say what the code knows."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import yaml

from harness.config import (
    EXPERIMENT_KEYS,
    SETTING_KEYS,
    Settings,
    build_experiment,
    load_experiment,
    load_settings,
    load_workload,
    load_workloads,
    request_from_options,
)
from harness.config.experiment import (
    COMMAND_LINE_ONLY,
    DEFAULT_WORKLOAD,
    MATRIX_KEYS,
    experiment_names,
    find_experiment,
    matrix_names,
)
from harness.config.matrix import GATE_KEYS, load_matrix, over_series
from harness.config.matrix.layers import ADJUST_KEYS, NIGHTLY_KEYS
from harness.config.meanings import (
    ADJUST_MEANINGS,
    DISK_MEANINGS,
    EXPERIMENT_MEANINGS,
    FILESYSTEM_MEANINGS,
    GATE_MEANINGS,
    MATRIX_MEANINGS,
    NIGHTLY_MEANINGS,
    SETTING_MEANINGS,
    WAIVER_MEANINGS,
    WORKLOAD_MEANINGS,
    Meaning,
)
from harness.config.waivers import WAIVER_KEYS, load_waivers
from harness.config.workloads import WORKLOAD_KEYS
from harness.model.matrix import GatePolicy
from harness.parse.diskspec import DISK_KEYS, FILESYSTEM_KEYS

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[3]
EXPERIMENTS = [find_experiment(name) for name in experiment_names()]
MATRICES = [find_experiment(name) for name in matrix_names()]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
EXAMPLES = [
    text for page in PAGES for text in re.findall(r"^```yaml\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
]


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_is_whole(path: Path) -> None:
    experiment = build_experiment(load_experiment(path), load_workloads())
    assert experiment.baseline != experiment.candidate


@pytest.mark.parametrize("path", MATRICES, ids=lambda path: path.stem)
def test_every_matrix_is_whole(path: Path) -> None:
    found = load_matrix(path)
    plan = found.plan(catalogue=load_workloads(), gate=True)
    assert plan.title == path.stem
    # 2 workloads, 2 filesystems, 2 disks: what a user copies is what kab itself is shown with.
    assert len(plan.cells) == 8
    assert all(cell.experiment.baseline != cell.experiment.candidate for cell in plan.cells)
    assert plan.policy is not None
    assert plan.policy.margins
    assert bool(found.series) is (path.stem == "nightly")


def test_both_kinds_of_files_are_told_apart() -> None:
    assert {path.stem for path in MATRICES} == {"gate", "nightly"}
    assert "btrfs-dio" in {path.stem for path in EXPERIMENTS}
    every = {path.stem for path in (ROOT / "configs" / "experiments").glob("*.yaml")}
    assert {path.stem for path in (*EXPERIMENTS, *MATRICES)} == every


def test_every_workload_has_its_template_and_a_name_like_its_file() -> None:
    catalogue = load_workloads()
    assert DEFAULT_WORKLOAD in catalogue
    assert set(catalogue) == {path.stem for path in (ROOT / "configs" / "workloads").glob("*.yaml")}
    for workload in catalogue.values():
        # A bare name: a stored experiment names its template as every host does.
        assert (ROOT / "configs" / "workloads" / Path(workload.template).name).is_file()
        assert "/" not in workload.template


@pytest.mark.parametrize(
    ("keys", "meanings"),
    [
        (EXPERIMENT_KEYS, EXPERIMENT_MEANINGS),
        (MATRIX_KEYS, MATRIX_MEANINGS),
        (GATE_KEYS, GATE_MEANINGS),
        (NIGHTLY_KEYS, NIGHTLY_MEANINGS),
        (ADJUST_KEYS, ADJUST_MEANINGS),
        (WAIVER_KEYS, WAIVER_MEANINGS),
        (("bus", *DISK_KEYS), DISK_MEANINGS),
        (("type", *FILESYSTEM_KEYS), FILESYSTEM_MEANINGS),
        (WORKLOAD_KEYS, WORKLOAD_MEANINGS),
        (SETTING_KEYS, SETTING_MEANINGS),
    ],
    ids=["experiment", "matrix", "gate", "nightly", "adjust", "waiver", "disk", "filesystem", "workload", "settings"],
)
def test_every_key_has_a_meaning_and_nothing_else_has_one(keys: Sequence[str], meanings: Mapping[str, Meaning]) -> None:
    assert tuple(meanings) == tuple(keys)
    assert COMMAND_LINE_ONLY not in meanings


def test_the_pages_show_examples_that_load(tmp_path: Path) -> None:
    matrices = [text for text in EXAMPLES if re.search("^(axes|extends):", text, re.MULTILINE)]
    experiments = [text for text in EXAMPLES if "baseline:" in text and text not in matrices]
    waivers = [text for text in EXAMPLES if "owner:" in text]
    workloads = [text for text in EXAMPLES if "template:" in text]
    assert len(experiments) > 1
    assert len(workloads) > 1
    path = tmp_path / "example.yaml"
    # What a page tells the reader to put beside its workload.
    (tmp_path / "two-writers.fio.j2").touch()
    for text in experiments:
        path.write_text(text)
        build_experiment(load_experiment(path), load_workloads())
    (tmp_path / "waivers.yaml").touch()
    assert len(matrices) > 1
    assert waivers
    for text in matrices:
        path.write_text(text)
        matrix = load_matrix(path)
        # Kernels may come of the command line.
        matrix.plan(catalogue=load_workloads(), gate=True, kernels_later=True)
        if matrix.series:
            over_series(matrix, catalogue=load_workloads())
    for text in waivers:
        path.write_text(text)
        assert load_waivers(path)
    for text in workloads:
        path.write_text(text)
        load_workload(path)


def test_the_meanings_say_the_right_defaults() -> None:
    asked = {"baseline": "a", "candidate": "b"}
    said = {key: meaning.default for key, meaning in EXPERIMENT_MEANINGS.items() if meaning.default}
    assert said.keys() >= {"workload", "disk", "fs", "vcpus", "memory", "metric", "margin", "error", "max_boots"}
    workloads = load_workloads()
    again = build_experiment(request_from_options({**asked, **said}), workloads)
    assert again == build_experiment(request_from_options(asked), workloads)
    assert {key for key, meaning in EXPERIMENT_MEANINGS.items() if meaning.needed} == set(asked)


def test_the_meanings_say_the_right_defaults_of_a_gate(tmp_path: Path) -> None:
    said = {key: meaning.default for key, meaning in GATE_MEANINGS.items() if meaning.default}
    assert said.keys() >= {"error", "miss", "fails"}
    path = tmp_path / "m.yaml"
    path.write_text("gate:\n" + "".join(f"  {key}: {text}\n" for key, text in said.items()))
    assert load_matrix(path).policy == GatePolicy()


def test_the_meanings_say_which_keys_of_a_workload_are_needed(tmp_path: Path) -> None:
    texts = {"name": "name: a", "title": "title: b", "stands_for": "stands_for: c", "template": "template: wal.fio.j2",
             "deciding": "deciding: write_iops", "disk": "disk: 1MiB"}  # fmt: skip
    assert {key for key, meaning in WORKLOAD_MEANINGS.items() if meaning.needed} == set(texts)
    path = tmp_path / "w.yaml"
    path.write_text("\n".join(texts.values()))
    plain = load_workload(path)
    for key in ("warmup", "runtime", "iterations"):
        path.write_text("\n".join([*texts.values(), f"{key}: {WORKLOAD_MEANINGS[key].default}"]))
        assert load_workload(path) == plain


def test_the_meanings_say_the_right_settings(tmp_path: Path) -> None:
    said = {key: meaning.default for key, meaning in SETTING_MEANINGS.items() if meaning.default}
    path = tmp_path / "settings.yaml"
    path.write_text("".join(f"{key}: {text}\n" for key, text in said.items()))
    assert said
    assert load_settings(path, {}) == Settings()


def test_yaml_agrees_on_what_the_examples_hold() -> None:
    """The examples are plain YAML to other tools, too."""
    for text in EXAMPLES:
        assert isinstance(yaml.safe_load(text), dict | list)
