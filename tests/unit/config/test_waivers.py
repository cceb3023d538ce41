"""Files of waivers: what they say, and what makes a gate refuse to begin."""

from datetime import date
from pathlib import Path

import pytest

from harness.config import load_workloads
from harness.config.matrix import load_matrix
from harness.config.waivers import WAIVER_KEYS, check_expiry, load_waivers
from harness.errors import ConfigError
from harness.model.matrix import MatrixPlan, Waiver

pytestmark = pytest.mark.unit

CATALOGUE = load_workloads()
FILE = """\
# What we know of.
- cells: wal/btrfs
  metrics: write_clat_*
  bound: 12%
  owner: anna@example.org
  reason: "the log tree: see our report 1234"
  until: 2027-01-31
- {cells: "*/ext4", owner: ben, reason: crashes, until: v7.4-rc2}
"""
MATRIX = """\
baseline: debian:6.12
candidate: debian:7.2
disk: nvme,size=2GiB
axes: {workload: [wal, shared-dio], fs: [btrfs, ext4]}
waivers: known/waivers.yaml
"""
REST = "owner: o, reason: r, until: 7.4"


def load(folder: Path, text: str) -> tuple[Waiver, ...]:
    (folder / "waivers.yaml").write_text(text)
    return load_waivers(folder / "waivers.yaml")


def plan(folder: Path, waivers: str, more: str = "") -> MatrixPlan:
    (folder / "known").mkdir(exist_ok=True)
    (folder / "known" / "waivers.yaml").write_text(waivers)
    (folder / "matrix.yaml").write_text(MATRIX + more)
    return load_matrix(folder / "matrix.yaml").plan(catalogue=CATALOGUE, gate=True)


def test_a_waiver_says_what_who_why_and_how_long(tmp_path: Path) -> None:
    first, second = load(tmp_path, FILE)
    assert first == Waiver(
        cells="wal/btrfs", metrics="write_clat_*", bound=0.12, owner="anna@example.org",
        reason="the log tree: see our report 1234", until=date(2027, 1, 31), where=f"{tmp_path}/waivers.yaml:2",
    )  # fmt: skip
    assert (second.metrics, second.bound, second.until, second.until_version) == ("*", None, None, "7.4-rc2")
    assert second.where == f"{tmp_path}/waivers.yaml:8"
    assert WAIVER_KEYS == ("cells", "metrics", "bound", "owner", "reason", "until")


@pytest.mark.parametrize("text", ["", "# None left.\n", "[]\n"])
def test_a_file_may_have_none_left(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, text) == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("cells: '*'", "a file of waivers is a list"),
        ("- '*'", "each waiver must be a mapping"),
        (f"- {{cell: '*', {REST}}}", "Did you mean cells?"),
        (f"- {{{REST}}}", "lacks the key 'cells'"),
        ("- {cells: '*', reason: r, until: v7.4}", "lacks the key 'owner'"),
        ("- {cells: '*', owner: o, until: v7.4}", "lacks the key 'reason'"),
        ("- {cells: '*', owner: o, reason: r}", "lacks the key 'until'"),
        ("- {cells: '*', owner: ' ', reason: r, until: v7.4}", "owner is empty"),
        ('- {cells: "*", owner: "o\\u202e", reason: r, until: v7.4}', "control character"),
        (f"- {{cells: '*', owner: o, reason: {'r' * 1001}, until: v7.4}}", "longer than 1000"),
        ("- {cells: '*', owner: o, reason: r, until: 2027-02-30}", "there is no day 2027-02-30"),
        ("- {cells: '*', owner: o, reason: r, until: never}", "neither a day nor a kernel version"),
        ("- {cells: '*', owner: o, reason: r, until: '7'}", "neither a day nor a kernel version"),
        (f"- {{cells: '*', bound: 12, {REST}}}", "out of range"),
        (f"- {{cells: '*', metrics: [a, b], {REST}}}", "metrics must be one value"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, f"\n{text}\n")
    assert caught.value.message.startswith(f"{tmp_path}/waivers.yaml:2: ")
    assert says in str(caught.value)


def test_a_gate_has_the_waivers_that_lie_beside_its_file(tmp_path: Path) -> None:
    assert [waiver.cells for waiver in plan(tmp_path, FILE).waivers] == ["wal/btrfs", "*/ext4"]


def test_a_waiver_for_a_series_fits_a_file_that_follows_it(tmp_path: Path) -> None:
    waiver = f"- {{cells: 'debian:7.2/wal/*', {REST}}}\n"
    with pytest.raises(ConfigError, match="fits nothing"):
        plan(tmp_path, waiver)
    assert plan(tmp_path, waiver, "nightly: {series: [debian:6.12, debian:7.2]}\n").waivers


def test_a_matrix_without_a_gate_bears_nothing(tmp_path: Path) -> None:
    plan(tmp_path, FILE)
    assert load_matrix(tmp_path / "matrix.yaml").plan(catalogue=CATALOGUE).waivers == ()


@pytest.mark.parametrize(
    ("waiver", "more", "says"),
    [
        ("cells: wal/btfrs", "", "Did you mean wal/btrfs?"),
        ("cells: '*/xfs'", "", "fits nothing"),
        ("cells: wal/*, metrics: sync_latency_p99", "", "fits nothing"),
        # It is one of the workload's, and none that counts here.
        ("cells: wal/*, metrics: write_bandwidth", "gate: {metrics: {write_iops: 5%}}\n", "no cell wal/* has a metric"),
        ("cells: '*', metrics: write_clat_p99", "metric: write_iops\n", "fits nothing"),
    ],
)
def test_a_waiver_that_fits_nothing_stops_the_gate(tmp_path: Path, waiver: str, more: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan(tmp_path, f"- {{cells: '*', {REST}}}\n- {{{waiver}, {REST}}}\n", more)
    assert caught.value.message.startswith(f"{tmp_path}/known/waivers.yaml:2: ")
    assert says in str(caught.value)


def test_a_file_of_waivers_that_is_not_there_is_told_where_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "matrix.yaml").write_text(MATRIX)
    with pytest.raises(ConfigError, match=r"matrix.yaml:5: no such file: .*known/waivers.yaml"):
        load_matrix(tmp_path / "matrix.yaml")


def test_a_waiver_that_has_expired_stops_the_gate(tmp_path: Path) -> None:
    waivers = load(tmp_path, FILE)
    check_expiry(waivers, today=date(2027, 1, 31))
    check_expiry(waivers, today=date(2027, 1, 31), candidates={"debian:7.3": "7.3.9-1", "git:a@b": "7.4.0-rc1"})
    with pytest.raises(
        ConfigError, match=r"waivers.yaml:2: this waiver of anna@example.org has expired: it held until"
    ):
        check_expiry(waivers, today=date(2027, 2, 1))
    with pytest.raises(
        ConfigError, match=r"waivers.yaml:8: .* has expired: debian:sid is 7.4.1-1, and it holds before"
    ):
        check_expiry(waivers, today=date(2027, 1, 1), candidates={"debian:7.3": "7.3", "debian:sid": "7.4.1-1"})
    with pytest.raises(ConfigError, match="cannot be told from its version 'mine'"):
        check_expiry(waivers, today=date(2027, 1, 1), candidates={"file:x": "mine"})
