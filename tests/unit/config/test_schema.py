"""The JSON Schemas for editors: what kab takes they take, and the slips of a keyboard they tell."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from harness.cli.errors import run_command
from harness.cli.schema import _NAMES
from harness.config import EXPERIMENT_KEYS
from harness.config.experiment import MATRIX_KEYS, experiment_names, find_experiment, matrix_names
from harness.config.matrix import load_matrix
from harness.config.meanings import EXPERIMENT_MEANINGS, GATE_MEANINGS
from harness.config.schema import SCHEMAS, experiment_schema, waivers_schema
from harness.config.waivers import load_waivers
from harness.errors import ConfigError, ExitCode

pytestmark = pytest.mark.unit

EXPERIMENT = jsonschema.Draft202012Validator(experiment_schema())
WAIVERS = jsonschema.Draft202012Validator(waivers_schema())


class _EditorsYaml(yaml.SafeLoader):
    """YAML 1.2's core, as a language server reads it: days stay texts."""


_EditorsYaml.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith("timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read(text: str) -> Any:
    return yaml.load(text, Loader=_EditorsYaml)


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_one(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name]())


def test_the_command_prints_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert tuple(SCHEMAS) == _NAMES
    for name, make in SCHEMAS.items():
        assert run_command(["schema", name]) == ExitCode.GOOD
        assert json.loads(capsys.readouterr().out) == make()
    assert run_command(["schema", "experimnt"]) == ExitCode.USAGE


def test_every_key_is_there_and_described() -> None:
    found = experiment_schema()["properties"]
    assert tuple(found) == (*MATRIX_KEYS, *EXPERIMENT_KEYS)
    for name, field in found.items():
        assert field["description"], name
        assert "](" not in field["description"]
    assert found["margin"]["description"].endswith("a fraction. Default: `5%`.")


@pytest.mark.parametrize("name", [*experiment_names(), *matrix_names()])
def test_what_ships_fits(name: str) -> None:
    EXPERIMENT.validate(read(find_experiment(name).read_text()))


def test_every_default_fits() -> None:
    EXPERIMENT.validate({key: said.default for key, said in EXPERIMENT_MEANINGS.items() if said.default})
    gate = {key: read(said.default) for key, said in GATE_MEANINGS.items() if said.default}
    EXPERIMENT.validate({"gate": gate})


GOOD = [
    "baseline: 6.10\ncandidate: host",
    "disk: {bus: null-blk, latency: 2ms, size: 512m}\nfs: {type: btrfs, mount: [nodatacow], mkfs: -n 16k}",
    "disk: null-blk\nfs: xfs,mkfs=-b size=4096\nmemory: 1073741824\nvcpus: '4'\nseed: 0",
    "margin: 0.05\nerror: 0.5%\nmax_boots: 10",
    "cmdline: mitigations=off nokaslr\nset: {jobs: 8, runtime: 500ms, engine: psync, deep: true}",
    "cmdline: [quiet, nokaslr]\naccel: tcg\nconnect: qemu:///session\njson: out.json\nhtml: r.html\nmetric: auto",
    "title: 7.2\nextends: gate\naxes: {vcpus: [1, 2], memory: [1GiB], cmdline: {plain: quiet, off: [a, b]}}",
    (
        "axes:\n  guest: {small: {}, large: {vcpus: 4, set: {jobs: 8}}}\n  fs: [btrfs, xfs]\n"
        "exclude: [{guest: small, fs: [btrfs, x*]}]\ninclude: [{guest: small, fs: ext4, set: {jobs: 1}, seed: 7}]\n"
        "adjust: [{when: {fs: xfs}, margin: 10%}]\n"
    ),
    (
        "gate: {error: 5%, miss: 0.1, metrics: {write_iops: 5%, '*p99': 10%}, max_time: 4h, fails: fault}\n"
        "nightly: {series: debian:7.2}"
    ),
]


@pytest.mark.parametrize("text", GOOD)
def test_what_kab_takes_fits(text: str, tmp_path: Path) -> None:
    EXPERIMENT.validate(read(text))
    # And kab takes it.
    path = tmp_path / "m.yaml"
    path.write_text(text)
    load_matrix(path)


BAD = [
    "basline: host",
    "margin: 5",
    "margin: 5 percent",
    "error: 0%",
    "error: 100%",
    "max_boots: 1",
    "vcpus: two",
    "vcpus: 256",
    "memory: 1GB",
    "disk: {bus: nvme, size: 1GB}",
    "disk: {bus: nvme, sise: 1GiB}",
    "disk: {backend: nbd}",
    "disk: nvm,size=1GiB",
    "fs: reiserfs",
    "fs: {type: btrfs, mnt: a}",
    "accel: qemu",
    "set: [jobs=4]",
    "metric: [a, b]",
    "destroy_data: /dev/sda",
    "axes: {}",
    "axes: {fs: []}",
    "axes: {fs: ext4}",
    "axes: {fs: [ext4, ext4]}",
    "axes: {fs: {a: reiserfs}}",
    "axes: {fs: {a/b: ext4}}",
    "axes: {workloads: [wal]}",
    "axes: {guest: {small: {vcpu: 2}}}",
    "axes: {guest: {small: {accel: tcg}}}",
    "axes: {a=b: {c: {}}}",
    "title: a/b",
    "axes: {fs: [ext4]}\nexclude: {fs: ext4}",
    "axes: {fs: [ext4, xfs]}\nexclude: [{}]",
    "axes: {fs: [ext4]}\nadjust: [{margin: 1%}]",
    "axes: {fs: [ext4]}\nadjust: [{when: {fs: ext4}}]",
    "axes: {fs: [ext4]}\nadjust: [{when: {fs: ext4}, margni: 1%}]",
    "gate: {errors: 5%}",
    "gate: {error: 5}",
    "gate: {max_time: 4}",
    "gate: {fails: [falt]}",
    "nightly: {}",
    "nightly: {series: []}",
]


@pytest.mark.parametrize("text", BAD)
def test_what_kab_refuses_for_its_shape_does_not_fit(text: str, tmp_path: Path) -> None:
    assert not EXPERIMENT.is_valid(read(text))
    path = tmp_path / "m.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        load_matrix(path)


REST = "owner: o, reason: r"


@pytest.mark.parametrize(
    "text",
    ["", "[]", f"- {{cells: '*', {REST}, until: 2027-01-31}}", f"- {{cells: a/b, {REST}, until: 7.4}}",
     f"- {{cells: '*', metrics: '*p99', bound: 12%, {REST}, until: v7.4-rc2}}"],
)  # fmt: skip
def test_waivers_fit(text: str, tmp_path: Path) -> None:
    WAIVERS.validate(read(text))
    path = tmp_path / "w.yaml"
    path.write_text(text)
    load_waivers(path)


@pytest.mark.parametrize(
    "text",
    ["cells: '*'", "- '*'", f"- {{cells: '*', {REST}}}", f"- {{{REST}, until: v7.4}}",
     f"- {{cells: '*', {REST}, until: never}}", f"- {{cells: '*', {REST}, until: v7.4, bound: 12}}",
     f"- {{cell: '*', {REST}, until: v7.4}}", "- {cells: '*', owner: o, until: v7.4}"],
)  # fmt: skip
def test_waivers_that_kab_refuses_do_not_fit(text: str, tmp_path: Path) -> None:
    assert not WAIVERS.is_valid(read(text))
    path = tmp_path / "w.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        load_waivers(path)
