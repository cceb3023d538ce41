"""workloads.fio.jobfile: what cannot work in a job is refused before any boot."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ConfigError
from harness.workloads.fio.jobfile import check_job

pytestmark = pytest.mark.unit

JOB = {"rw": "randwrite", "direct": "1", "bs": "16384", "size": "64M", "numjobs": "4", "iodepth": "1"}


def job(**changes: str) -> str:
    return "[global]\nthread=1\n\n# words\n[mine]\n" + "".join(
        f"{key}={value}\n" for key, value in (JOB | changes).items()
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"bs": "512"},
        {"bs": "4k"},
        {"bs": "4KiB,8kb"},
        {"bs": "12345", "direct": "0"},
        {"bs": "4k-64k"},
        {"size": "10%"},
        {"size": "${SIZE}"},
        {"numjobs": "4096"},
        {"iodepth": "32768"},
        {"offset_increment": "16m"},
        {"bs": "64m"},
    ],
)
def test_what_may_work_is_left_alone(changes):
    check_job(job(**changes), "workload mine")


@pytest.mark.parametrize(
    ("changes", "says", "allowed"),
    [
        ({"bs": "0"}, "bs=0", "more than 0"),
        ({"bs": "0k"}, "bs=0", "more than 0"),
        ({"bs": "4k,0"}, "bs=4k,0", "more than 0"),
        ({"bs": "3"}, "bs=3 with direct=1", "512 bytes"),
        ({"blocksize": "1000"}, "blocksize=1000 with direct=1", "512 bytes"),
        ({"size": "0"}, "size=0", "more than 0"),
        ({"size": "4096"}, "bs=16384, more than its size=4096", "larger files"),
        ({"numjobs": "0"}, "numjobs=0", "1 to 4096"),
        ({"numjobs": "5000"}, "numjobs=5000", "1 to 4096"),
        ({"numjobs": "9" * 19}, "numjobs=9", "1 to 4096"),
        ({"iodepth": "0"}, "iodepth=0", "1 to 32768"),
        ({"offset_increment": "89478485"}, "offset_increment=89478485", "divides the file"),
        ({"ioengine": ""}, "empty ioengine", "leave it out"),
    ],
)
def test_what_cannot_work_is_refused_with_what_is_allowed(changes, says, allowed):
    with pytest.raises(ConfigError) as raised:
        check_job(job(**changes), "workload mine")
    assert raised.value.message.startswith("workload mine: its job [mine] has ")
    assert says in raised.value.message
    assert allowed in raised.value.remedy


def test_options_of_global_hold_for_the_jobs_after_it():
    text = "[global]\ndirect=1\n[a]\nbs=4k\n[global]\nbs=0\n[b]\nrw=read\n"
    with pytest.raises(ConfigError, match=r"\[b\] has bs=0"):
        check_job(text, "w")
    check_job("[a]\nbs=5\n[global]\ndirect=1\n[b]\nbs=512\n", "w")


@pytest.mark.parametrize("text", ["", "\n", "# [a]\n", "[global]\nbs=0\n"])
def test_a_template_without_a_job(text):
    with pytest.raises(ConfigError, match="makes no job"):
        check_job(text, "w")


OPTIONS = st.builds("{}={}".format, st.sampled_from([*JOB, "x"]), st.text(max_size=4) | st.integers(-9, 2**70))


@given(text=st.text() | st.lists(st.sampled_from(["[a]", "[global]", "direct=1"]) | OPTIONS).map("\n".join))
def test_any_text_is_a_job_or_refused(text):
    try:
        check_job(text, "w")
    except ConfigError as error:
        assert error.remedy  # noqa: PT017
