"""Every file that ships under configs/ loads, and its reference documents say what the code knows."""

import re
from pathlib import Path

import pytest
import yaml

from harness.config import (
    EXPERIMENT_KEYS,
    SETTING_KEYS,
    build_experiment,
    load_experiment,
    load_workloads,
    request_from_options,
)
from harness.config.experiment import COMMAND_LINE_ONLY, DEFAULT_WORKLOAD
from harness.config.workloads import WORKLOAD_KEYS
from harness.parse.diskspec import DISK_KEYS, FILESYSTEM_KEYS

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENTS = sorted((ROOT / "configs" / "experiments").glob("*.yaml"))
REFERENCE = (ROOT / "docs" / "experiment-file.md").read_text()
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", REFERENCE, re.DOTALL | re.MULTILINE)


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


@pytest.mark.parametrize("key", [*EXPERIMENT_KEYS, *WORKLOAD_KEYS, *DISK_KEYS, *FILESYSTEM_KEYS, *SETTING_KEYS])
def test_every_key_is_documented(key: str) -> None:
    assert re.search(rf"^\| `{key}` \|", REFERENCE, re.MULTILINE)


def test_no_other_key_is_documented() -> None:
    known = {*EXPERIMENT_KEYS, *WORKLOAD_KEYS, *DISK_KEYS, *FILESYSTEM_KEYS, *SETTING_KEYS}
    documented = set(re.findall(r"^\| `([a-z_]+)` \|", REFERENCE, re.MULTILINE))
    assert documented - known == {"bus", "type"}
    assert COMMAND_LINE_ONLY not in documented


def test_the_reference_shows_examples_that_load(tmp_path: Path) -> None:
    experiments = [text for text in EXAMPLES if "baseline:" in text]
    assert experiments
    for text in experiments:
        path = tmp_path / "example.yaml"
        path.write_text(text)
        build_experiment(load_experiment(path), load_workloads())


def test_the_reference_has_the_right_defaults() -> None:
    experiment = build_experiment(request_from_options({"baseline": "a", "candidate": "b"}), load_workloads())
    section = REFERENCE.split("\n## Experiment\n")[1].split("\n### Disk\n")[0]
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| [^|]* \| `?([^|`]*)`? \|", section, re.MULTILINE))
    said = {
        key: rows[key].strip() for key in ("workload", "disk", "fs", "vcpus", "memory", "margin", "error", "max_boots")
    }
    again = build_experiment(request_from_options({"baseline": "a", "candidate": "b", **said}), load_workloads())
    assert again == experiment


def test_yaml_agrees_on_what_the_examples_hold() -> None:
    """The examples are plain YAML to other tools, too."""
    for text in EXAMPLES:
        assert isinstance(yaml.safe_load(text), dict)
