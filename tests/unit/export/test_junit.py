"""What is written as JUnit is read by junitparser, whatever the texts in it."""

import io
from collections import Counter
from dataclasses import replace
from xml.etree import ElementTree

import matrices
import pytest
from junitparser import Error, Failure, JUnitXml, Properties, Skipped

from harness.export.junit import to_junit

pytestmark = pytest.mark.unit

VIEWS = [matrices.gate, matrices.matrix_run, matrices.unfinished, matrices.alone, matrices.hostile]


def read(view) -> list:
    """The tests of the only suite."""
    [suite] = JUnitXml.fromroot(ElementTree.parse(io.BytesIO(to_junit(view).encode())).getroot())
    return list(suite)


def test_every_cell_and_metric_is_a_test() -> None:
    cases = read(matrices.gate())
    by_class = Counter(case.classname for case in cases)
    assert len(by_class) == 8
    # Five cells have two metrics that count beside their verdict.
    assert sorted(by_class.values()) == [1, 1, 1, 3, 3, 3, 3, 3]
    assert {case.name for case in cases} == {"verdict", "write_iops", "write_clat_p99"}
    slower = {case.name: case for case in cases if case.classname.endswith("shared-dio.btrfs.virtio")}
    [failure] = slower["write_iops"].result
    assert isinstance(failure, Failure)
    assert "write_iops -24 % (x0.76" in failure.message
    assert slower["write_clat_p99"].is_passed
    assert {one.name: one.value for one in slower["write_iops"].child(Properties)}["ratio"] == "0.76"
    assert slower["verdict"].time > 100


def test_results_are_of_the_kind_that_they_are() -> None:
    wholes = [case for case in read(matrices.gate()) if case.name == "verdict"]
    kinds = [[(type(one), one.type) for one in case.result] for case in wholes]
    assert kinds == [
        [],
        [(Failure, "slower")],
        [(Error, "inconclusive")],
        [],
        [(Skipped, "slower")],
        [(Failure, "faulty")],
        [(Error, "unmeasured")],
        [(Error, "unmeasured")],
    ]


def test_a_waived_cell_is_skipped_with_owner_and_reason() -> None:
    waived = [case for case in read(matrices.gate()) if isinstance(next(iter(case.result), None), Skipped)]
    assert {case.name for case in waived} == {"verdict", "write_iops"}
    for case in waived:
        assert "storage@distribution.example: known since 7.1" in case.result[0].message


def test_what_is_not_finished_is_not_good() -> None:
    good = matrices.gate([matrices.NOT_WORSE] * 8)
    assert all(not case.result for case in read(good))
    *cells, last = read(replace(good, open=True))
    assert all(not case.result for case in cells)
    assert (last.name, last.result[0].type) == ("finished", "open")


def test_a_crash_comes_with_the_kernels_log() -> None:
    [faulty] = [case for case in read(matrices.gate()) if case.result and case.result[0].type == "faulty"]
    assert "btrfs_direct_write+0x1a2/0x3f0 [btrfs]" in faulty.result[0].text
    assert "crashed: 2 of 3 boots of the candidate" in faulty.result[0].text


@pytest.mark.parametrize("make", VIEWS)
def test_counts_are_those_of_the_tests_and_good_is_status_0(make) -> None:
    view = make()
    suites = JUnitXml.fromroot(ElementTree.fromstring(to_junit(view)))
    cases = read(view)
    kinds = Counter(type(one) for case in cases for one in case.result)
    assert (suites.tests, suites.failures, suites.errors, suites.skipped) == (
        len(cases), kinds[Failure], kinds[Error], kinds[Skipped],
    )  # fmt: skip
    assert (kinds[Failure] + kinds[Error] == 0) == (view.exit_code == 0)
    assert len({(case.classname, case.name) for case in cases}) == len(cases)


def test_hostile_texts_stay_texts() -> None:
    text = to_junit(matrices.hostile())
    assert "<script>" not in text
    messages = [one.message for case in read(matrices.hostile()) for one in case.result]
    assert any("<script>alert(1)</script>" in message and "]]>" in message for message in messages)
    assert all(character.isprintable() or character in "\n\t" for character in text)
