"""What `kab nightly` follows: the cells of a file on each series, and the waivers that speak of them."""

from pathlib import Path

import pytest

from harness.config import load_workloads
from harness.config.matrix import MatrixFile, load_matrix, over_series
from harness.errors import ConfigError
from harness.model.matrix import MatrixPlan

pytestmark = pytest.mark.unit

CATALOGUE = load_workloads()
FILE = """\
axes:
  workload: [shared-dio, database-pages]
  fs: [btrfs, ext4]
gate: {metrics: {write_iops: 5%}}
waivers: waivers.yaml
nightly: {series: [debian:6.12, debian:7.2]}
"""


def load(folder: Path, text: str = FILE, waivers: str = "") -> MatrixFile:
    (folder / "waivers.yaml").write_text(waivers)
    path = folder / "nightly.yaml"
    path.write_text(text)
    return load_matrix(path)


def planned(folder: Path, text: str = FILE, *cells: str) -> MatrixPlan:
    waivers = "".join(
        f"- {{cells: '{one}', bound: 9%, owner: a@example.org, reason: known, until: 2099-01-01}}\n" for one in cells
    )
    return over_series(load(folder, text, waivers), catalogue=CATALOGUE)


def test_every_cell_on_every_series(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    assert plan.title == "nightly"
    assert plan.policy is not None
    assert [cell.name for cell in plan.cells] == [
        f"{series}/{workload}/{fs}"
        for series in ("debian:6.12", "debian:7.2")
        for workload in ("shared-dio", "database-pages")
        for fs in ("btrfs", "ext4")
    ]
    first = plan.cells[0]
    assert dict(first.axes) == {"series": "debian:6.12", "workload": "shared-dio", "fs": "btrfs"}
    assert list(first.axes) == ["series", "workload", "fs"]
    assert (first.experiment.baseline, first.experiment.candidate) == ("", "debian:6.12")
    assert planned(tmp_path, f"baseline: debian:6.1\n{FILE}").cells[0].experiment.baseline == "debian:6.1"


def test_how_many_new_kernels(tmp_path: Path) -> None:
    assert load(tmp_path).newest == 1
    assert load(tmp_path, FILE.replace("7.2]", "7.2], newest: 3")).newest == 3
    (tmp_path / "base.yaml").write_text(FILE.replace("7.2]", "7.2], newest: 3"))
    assert load(tmp_path, "extends: base.yaml\n").newest == 3
    assert load(tmp_path, "extends: base.yaml\nnightly: {series: [debian:sid], newest: 2}\n").newest == 2
    for bad in ("0", "-1", "many"):
        with pytest.raises(ConfigError, match=r"nightly\.yaml:6"):
            load(tmp_path, FILE.replace("7.2]", f"7.2], newest: {bad}"))


def test_waivers_of_cells_hold_on_every_series(tmp_path: Path) -> None:
    """The file of waivers is the gate's, too; a pattern may begin with a series, and is left as it is then."""
    given = ("shared-dio/*", "*/ext4", "*", "debian:6.12/*", "database-pages/btrfs")
    plan = planned(tmp_path, FILE, *given)
    assert [waiver.cells for waiver in plan.waivers] == [
        "*/shared-dio/*",
        "*/ext4",
        "*",
        "debian:6.12/*",
        "*/database-pages/btrfs",
    ]
    with pytest.raises(ConfigError, match=r"waivers\.yaml:1: this waiver fits nothing: no cell debian:6\.13"):
        planned(tmp_path, FILE, "debian:6.13/*")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (FILE.replace("nightly: {series: [debian:6.12, debian:7.2]}\n", ""), "no series is named"),
        (FILE.replace("  fs:", "  series: {a: {seed: 1}}\n  fs:"), "an axis is called series"),
        (FILE.replace("[btrfs, ext4]", f"{{{'x' * 180}: btrfs}}"), "is longer than 200 characters"),
    ],
)
def test_what_cannot_be_followed(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        planned(tmp_path, text)
