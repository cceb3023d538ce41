"""run.measure against a guest that replays what a real one printed (tests/data/measure, 6.12.107, Btrfs nodatacow)."""

import re
from dataclasses import replace

import pytest
from fakeguest import DISK, EXPERIMENT, Replay, failing, saying
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import DataError, HangError, WorkloadError
from harness.model.guest import MIB, CommandResult
from harness.model.trial import Stage
from harness.run.measure import Measurement, measure

pytestmark = pytest.mark.unit


def measured(guest: Replay, stages: list[tuple[Stage, str]] | None = None) -> Measurement:
    seen = [] if stages is None else stages
    return measure(
        guest, experiment=EXPERIMENT, disk=DISK, seed=7, on_stage=lambda stage, detail: seen.append((stage, detail))
    )


def test_stages_in_order_and_few_round_trips():
    guest, stages = Replay(), []
    measured(guest, stages)
    assert guest.kinds == ["prepare", "warm-up", "iterate", "iterate", "iterate", "check", "collect"]
    assert [stage for stage, _ in stages] == [
        Stage.PREPARE,
        Stage.WARMUP,
        Stage.MEASURE,
        Stage.MEASURE,
        Stage.MEASURE,
        Stage.CHECK,
        Stage.COLLECT,
    ]
    assert stages[3] == (Stage.MEASURE, "2/3")


def test_samples_are_one_value_per_iteration_without_the_warm_up():
    samples = measured(Replay()).samples
    assert {len(values) for values in samples.values()} == {3}
    assert samples["queue_depth"] == pytest.approx((1.0, 1.0, 1.0), abs=0.1)
    assert samples["write_iops"] == pytest.approx((356.3, 356.3, 356.3), abs=0.1)
    assert set(EXPERIMENT.workload.deciding) <= set(samples)


def test_environment_and_artifacts():
    measurement = measured(Replay())
    environment = measurement.environment
    assert environment["fio"] == "fio-3.39"
    assert environment["kernel"] == "6.12.107+deb13-cloud-amd64"
    assert environment["filesystem_tools"].startswith("btrfs-progs v")
    assert environment["clocksource"] == "tsc"
    assert environment["queue.write_cache"] == "write back"
    assert environment["vulnerability.meltdown"] == "Not affected"
    assert "nodatacow" in environment["mount"]
    assert {"fio-job", "fio-layout-job", "fio-warm-up.json", "fio-0.json", "fio-2.json", "counters-1.txt"} <= set(
        measurement.artifacts
    )
    assert b"[shared-dio]" in measurement.artifacts["fio-job"]
    assert measurement.artifacts["fio-0.json"].startswith(b"{")
    assert b"Linux version 6.12.107" in measurement.artifacts["dmesg.log"]
    assert measurement.findings == ()


def test_kernel_log_is_searched():
    warned = saying(
        r"(@@kab dmesg\n)",
        r"\1[    9.000000] BTRFS error (device nvme1n1): bdev /dev/nvme1n1 errs: wr 1, rd 0, flush 0\n",
    )
    assert len(measured(Replay(collect=warned)).findings) == 1


@pytest.mark.parametrize("stage", ["prepare", "collect"])
def test_script_that_fails_is_a_workload_error_with_its_stderr(stage):
    guest = Replay(**{stage: failing(1, "x" * 5000 + "mkfs.btrfs: no such device")})
    with pytest.raises(WorkloadError, match=rf"{stage} failed .*no such device") as raised:
        measured(guest)
    assert len(raised.value.message) < 2200


@pytest.mark.parametrize("kind", ["warm-up", "iterate"])
def test_fio_that_fails_is_a_workload_error(kind):
    def edit(result: CommandResult) -> CommandResult:
        return CommandResult(
            command=result.command,
            status=0,
            stdout=saying(r"command=0", "command=1")(result).stdout,
            stderr="fio: engine io_uring not loadable",
            duration_s=0.1,
        )

    with pytest.raises(WorkloadError, match=r"status 1: fio: engine io_uring not loadable"):
        measured(Replay(**{kind: edit}))


def test_errors_of_the_guest_pass_through():
    def hang(result: CommandResult) -> CommandResult:
        raise HangError("no answer")

    with pytest.raises(HangError):
        measured(Replay(iterate=hang))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (saying(r"fsck=0", "fsck=1"), r"the filesystem check failed with status 1: .*checking extents"),
        (saying(r"read=0", "read=84"), r"data read back is not what was written"),
        (saying(r"mount=0\nread=0\nsizes=0", "mount=32"), r"could not be mounted again"),
        (saying(r"data\.0 67108864", "data.0 4096"), r"other sizes.*4096"),
        (saying(r"sizes=0", "sizes=1"), r"files of the workload are gone"),
    ],
)
def test_wrong_data_is_a_data_error(edit, message):
    with pytest.raises(DataError, match=re.compile(message, re.DOTALL)) as raised:
        measured(Replay(check=edit))
    assert "@@kab fsck" in raised.value.log


@pytest.mark.parametrize(
    ("step", "code"), [("write", "1"), ("unmount", "32"), ("fsck", "127"), ("fsck", "137"), ("read", "137")]
)
def test_a_check_that_cannot_be_made_accuses_no_data(step, code):
    with pytest.raises(WorkloadError):
        measured(Replay(check=saying(rf"\n{step}=0", f"\n{step}={code}")))


def test_fio_that_floods_is_a_workload_error():
    def flood(result: CommandResult) -> CommandResult:
        return replace(result, cut_bytes=12345)

    with pytest.raises(WorkloadError, match="12345 bytes of it were left out"):
        measured(Replay(iterate=flood))


def test_what_is_kept_of_an_output_is_bounded():
    artifacts: dict[str, bytes] = {}
    huge = saying(r"@@kab dmesg\n", "@@kab dmesg\n" + "[    1.0] usb 1-1: new device\n" * 50_000)
    guest = Replay(collect=huge)
    measure(guest, experiment=EXPERIMENT, disk=DISK, seed=7, on_stage=lambda *_: None, artifacts=artifacts)
    assert max(map(len, artifacts.values())) < 1.01 * MIB
    assert b"bytes left out here" in artifacts["dmesg.log"]


@pytest.mark.parametrize("step", ["write", "unmount", "fsck", "mount", "read", "sizes"])
def test_a_check_that_does_not_tell_all_its_steps_is_no_check(step):
    with pytest.raises(WorkloadError, match=f"ended early, without: {step}"):
        measured(Replay(check=saying(rf"\n{step}=0", "\n")))


@pytest.mark.parametrize("code", ["", "x", "-1", "1" * 5000, "126", "127", "137", "\u0661"])
def test_a_status_that_is_none_accuses_no_data(code):
    with pytest.raises(WorkloadError, match="the filesystem check failed") as raised:
        measured(Replay(check=saying(r"\nfsck=0", f"\nfsck={code}")))
    assert len(raised.value.message) < 2200


def test_facts_of_the_guest_are_bounded():
    def edit(result: CommandResult) -> CommandResult:
        facts = "\n".join(f"/proc/fact{number}:{'x' * 5000}" for number in range(2000))
        return replace(result, stdout=result.stdout.replace("@@kab tools", f"{facts}\n@@kab tools"))

    environment = measured(Replay(collect=edit)).environment
    assert len(environment) < 600
    assert max(map(len, environment.values())) <= 4096


PRINTED = st.text() | st.lists(
    st.sampled_from(
        ["@@kab disk", "@@kab mount", "@@kab queue", "@@kab output", "@@kab procfs-before", "@@kab procfs-after"]
    )
    | st.sampled_from(["@@kab status", "@@kab facts", "@@kab tools", "@@kab dmesg", "@@kab sizes", "@@kab read"])
    | st.sampled_from(
        [
            "name=vda",
            "command=0",
            "command=x",
            "command=9",
            "write=0",
            "read=1",
            "unmount=0",
            "fsck=0",
            "mount=0",
            "sizes=0",
        ]
    )
    | st.sampled_from(['{"jobs": [{"read": {"total_ios": 5}}]}', "{", "/proc/stat:ctxt x", "/proc/x:y"])
    | st.text(max_size=10)
).map("\n".join)


@settings(deadline=None, max_examples=60)
@given(kind=st.sampled_from(["prepare", "warm-up", "iterate", "check", "collect"]), text=PRINTED)
def test_whatever_a_script_prints(kind, text):
    try:
        measured(Replay(**{kind: lambda result: replace(result, stdout=text)}))
    except (WorkloadError, DataError) as error:
        assert len(error.message) < 10_000  # noqa: PT017
