"""Which cells `--only` and `--shard` mean."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import pytest

from harness.config.matrix import parse_shard, select, shard_of
from harness.errors import ConfigError

pytestmark = pytest.mark.unit


@dataclass(frozen=True)
class Labelled:
    name: str
    axes: dict[str, str]


def cells(*axes: tuple[str, Sequence[str]]) -> list[Labelled]:
    found = product(*(labels for _, labels in axes))
    return [Labelled("/".join(labels), dict(zip([name for name, _ in axes], labels, strict=True))) for labels in found]


CELLS = cells(("workload", ("shared-dio", "shared-dio-uring", "wal")), ("fs", ("btrfs", "ext4")))


def names(only: Sequence[str] = (), shard: str | None = None) -> list[str]:
    return [cell.name for cell in select(CELLS, only, shard)]


def test_nothing_said_means_all() -> None:
    assert select(CELLS) == tuple(CELLS)


def test_patterns_of_one_axis_are_alternatives_and_axes_are_all_demanded() -> None:
    assert names(["workload=shared-dio*"]) == [cell.name for cell in CELLS[:4]]
    assert names(["workload=shared-dio"]) == ["shared-dio/btrfs", "shared-dio/ext4"]
    assert names(["workload=shared-dio", "workload=wal", "fs=ext4"]) == ["shared-dio/ext4", "wal/ext4"]


def test_a_label_that_holds_signs_of_patterns_is_meant_by_itself() -> None:
    odd = cells(("disk", ("nvme,size=1GiB", "[a]", "a")))
    assert [cell.name for cell in select(odd, ["disk=[a]"])] == ["[a]", "a"]
    assert [cell.name for cell in select(odd, ["disk=nvme,size=1GiB"])] == ["nvme,size=1GiB"]


@pytest.mark.parametrize(
    ("only", "says"),
    [
        ("workload=shard-dio", "Did you mean shared-dio?"),
        ("workloads=wal", "Did you mean workload?"),
        ("wal", "is not AXIS=PATTERN"),
        ("workload=", "is not AXIS=PATTERN"),
        ("=wal", "is not AXIS=PATTERN"),
    ],
)
def test_what_means_no_cell_is_refused(only: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        select(CELLS, [only])
    assert says in str(caught.value)


def test_patterns_that_each_match_and_together_do_not() -> None:
    with pytest.raises(ConfigError, match="no cell has all of --only workload=a, --only fs=xfs"):
        select([Labelled("a/btrfs", {"workload": "a", "fs": "btrfs"}),
                Labelled("b/xfs", {"workload": "b", "fs": "xfs"})], ["workload=a", "fs=xfs"])  # fmt: skip


@pytest.mark.parametrize("text", ["0/5", "6/5", "1", "1/0", "a/b", "-1/5", "1/5/5", "1/999999", "", "\u0661/\u0662"])
def test_what_is_no_share(text: str) -> None:
    with pytest.raises(ConfigError, match="no share"):
        parse_shard(text)


def test_each_cell_is_in_one_shard_and_stays_there_when_others_come() -> None:
    many = cells(("workload", [f"w{number}" for number in range(40)]), ("fs", ("btrfs", "ext4", "xfs")))
    few = random.Random(3).sample(many, 50)
    for count in (1, 2, 5):
        shards = [select(many, (), f"{index}/{count}") for index in range(1, count + 1)]
        assert sorted(cell.name for shard in shards for cell in shard) == sorted(cell.name for cell in many)
        for index, shard in enumerate(shards, 1):
            assert {cell.name for cell in select(few, (), f"{index}/{count}")} <= {cell.name for cell in shard}
            # None is left with nothing, or with most of the work: 120 cells.
            assert 0.5 < len(shard) * count / len(many) < 1.5


def test_shards_are_the_same_on_every_host_and_in_every_version() -> None:
    assert [shard_of(name, 5) for name in ("shared-dio/btrfs/nvme", "wal/ext4/virtio", "ü")] == [5, 2, 4]


def test_a_shard_is_taken_of_what_was_chosen() -> None:
    chosen = {name for index in (1, 2, 3) for name in names(["fs=ext4"], f"{index}/3")}
    assert chosen == {"shared-dio/ext4", "shared-dio-uring/ext4", "wal/ext4"}
    # More shards than cells: some have nothing to do, which is no fault.
    assert min(len(names((), f"{index}/50")) for index in range(1, 51)) == 0
