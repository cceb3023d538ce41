"""What is written for KCIDB is valid by its own package, refers to what is there, and says only what is known."""

import json
import re
from collections import Counter
from dataclasses import replace

import matrices
import pytest
from kcidb_io.schema import V5_3

from harness.errors import ConfigError
from harness.export.kcidb import to_kcidb

pytestmark = pytest.mark.unit

VIEWS = [matrices.gate, matrices.matrix_run, matrices.unfinished, matrices.alone, matrices.hostile]


def read(view, origin: str = "kab") -> dict:
    text = to_kcidb(view, origin=origin)
    return V5_3.validate(json.loads(text))


def verdicts(report: dict) -> dict[str, dict]:
    return {test["misc"]["kab"]["cell"]: test for test in report["tests"] if "cell" in test["misc"]["kab"]}


@pytest.mark.parametrize("make", VIEWS)
def test_it_is_valid_and_whole(make) -> None:
    report = read(make())
    for kind in ("checkouts", "builds", "tests", "issues", "incidents"):
        ids = [one["id"] for one in report.get(kind, [])]
        assert len(set(ids)) == len(ids)
        assert all(re.fullmatch(r"kab:[a-z0-9_.:-]+", one) for one in ids)
    checkouts, builds, tests, issues = (
        {one["id"] for one in report.get(kind, [])} for kind in ("checkouts", "builds", "tests", "issues")
    )
    assert {build["checkout_id"] for build in report["builds"]} == checkouts
    assert {test["build_id"] for test in report["tests"]} <= builds
    assert {incident["test_id"] for incident in report.get("incidents", [])} <= tests
    assert {incident["issue_id"] for incident in report.get("incidents", [])} == issues


def test_statuses() -> None:
    told = verdicts(read(matrices.gate()))
    assert [test["status"] for test in told.values()] == [
        "PASS", "FAIL", "DONE", "PASS", "FAIL", "FAIL", "MISS", "SKIP",
    ]  # fmt: skip
    assert told["shared-dio/btrfs/virtio"]["path"].endswith(".shared-dio.btrfs.virtio")
    assert "btrfs_direct_write" in told["database-pages/btrfs/virtio"]["log_excerpt"]


def test_a_waiver_is_an_issue_that_its_cell_is_an_incident_of() -> None:
    report = read(matrices.gate())
    [issue], [incident] = report["issues"], report["incidents"]
    assert issue["comment"] == matrices.WAIVER.reason
    assert incident["test_id"] == verdicts(report)["database-pages/btrfs/nvme"]["id"]
    assert incident["present"] is True


def test_numbers_are_in_base_units_with_their_prefixes() -> None:
    report = read(matrices.gate())
    numbers = {
        (test["path"].rpartition(".")[2], test["misc"]["kab"]["arm"]): test
        for test in report["tests"]
        if ".shared-dio.btrfs.virtio." in test["path"]
    }
    view = matrices.gate()
    compared = view.cells[1].decision.comparisons
    iops, bandwidth, tail = (
        numbers[(name, "candidate")] for name in ("write_iops", "write_bandwidth", "write_clat_p99")
    )
    assert iops["number"] == {"value": compared["write_iops"].candidate, "unit": "IOPS", "prefix": "metric"}
    assert bandwidth["number"]["unit"] == "B/s"
    assert bandwidth["number"]["prefix"] == "binary"
    assert bandwidth["number"]["value"] == pytest.approx(compared["write_bandwidth"].candidate * 2**20)
    assert tail["number"] == {
        "value": pytest.approx(compared["write_clat_p99"].candidate * 1e-6), "unit": "s", "prefix": "metric",
    }  # fmt: skip
    assert numbers[("queue_depth", "baseline")]["number"] == {"value": compared["queue_depth"].baseline}
    assert {test["status"] for test in numbers.values()} == {"DONE"}
    # Each arm's numbers are of its own build.
    builds = Counter(test["build_id"] for test in numbers.values())
    assert len(builds) == 2
    assert iops["misc"]["kab"]["ratio"] == pytest.approx(0.76)


def test_a_package_kernel_has_no_commit_and_a_git_one_has() -> None:
    report = read(matrices.gate())
    assert not any("git_commit_hash" in checkout for checkout in report["checkouts"])
    sha = "0123456789abcdef" * 2 + "01234567"
    [cell] = matrices.alone().cells
    candidate = replace(
        cell.result.candidate,
        source="git",
        provenance={"commit": sha, "describe": "v7.2-rc1", "tree": "/home/ann/linux", "command": "make CC=/opt/gcc"},
    )
    result = replace(cell.result, candidate=candidate)
    text = to_kcidb(replace(matrices.alone(), cells=(replace(cell, result=result),)), origin="kab")
    built = [one for one in json.loads(text)["checkouts"] if "git_commit_hash" in one]
    assert [one["git_commit_hash"] for one in built] == [sha]
    # Paths of this machine are nobody's business.
    assert "/home/ann" not in text
    assert "/opt/gcc" not in text


def test_the_origin_is_of_those_that_there_can_be() -> None:
    assert all(one["origin"] == "distribution_qa" for one in read(matrices.gate(), "distribution_qa")["tests"])
    for wrong in ("", "Distribution QA", "a:b", "kab\n"):
        with pytest.raises(ConfigError, match="origin"):
            to_kcidb(matrices.gate(), origin=wrong)


def test_the_same_run_has_the_same_ids() -> None:
    assert to_kcidb(matrices.gate(), origin="kab") == to_kcidb(matrices.gate(), origin="kab")
