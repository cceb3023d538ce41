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
from harness.config.experiment import COMMAND_LINE_ONLY, DEFAULT_WORKLOAD
from harness.config.meanings import (
    DISK_MEANINGS,
    EXPERIMENT_MEANINGS,
    FILESYSTEM_MEANINGS,
    SETTING_MEANINGS,
    WORKLOAD_MEANINGS,
    Meaning,
)
from harness.config.workloads import WORKLOAD_KEYS
from harness.parse.diskspec import DISK_KEYS, FILESYSTEM_KEYS

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[3]
EXPERIMENTS = sorted((ROOT / "configs" / "experiments").glob("*.yaml"))
PAGES = sorted((ROOT / "docs").rglob("*.md"))
EXAMPLES = [
    text for page in PAGES for text in re.findall(r"^```yaml\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
]


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_is_whole(path: Path) -> None:
    experiment = build_experiment(load_experiment(path), load_workloads())
    assert experiment.baseline != experiment.candidate


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
        (("bus", *DISK_KEYS), DISK_MEANINGS),
        (("type", *FILESYSTEM_KEYS), FILESYSTEM_MEANINGS),
        (WORKLOAD_KEYS, WORKLOAD_MEANINGS),
        (SETTING_KEYS, SETTING_MEANINGS),
    ],
    ids=["experiment", "disk", "filesystem", "workload", "settings"],
)
def test_every_key_has_a_meaning_and_nothing_else_has_one(keys: Sequence[str], meanings: Mapping[str, Meaning]) -> None:
    assert tuple(meanings) == tuple(keys)
    assert COMMAND_LINE_ONLY not in meanings


def test_the_pages_show_examples_that_load(tmp_path: Path) -> None:
    experiments = [text for text in EXAMPLES if "baseline:" in text]
    workloads = [text for text in EXAMPLES if "template:" in text]
    assert len(experiments) > 2
    assert len(workloads) > 1
    path = tmp_path / "example.yaml"
    # What a page tells the reader to put beside its workload.
    (tmp_path / "two-writers.fio.j2").touch()
    for text in experiments:
        path.write_text(text)
        build_experiment(load_experiment(path), load_workloads())
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
        assert isinstance(yaml.safe_load(text), dict)
