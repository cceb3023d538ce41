"""A trial on a fake host: what each way to end is called, what is kept of it, and that everything is taken down."""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import factories
import pytest
from fakeguest import EXPERIMENT, KERNEL, SCRIPTS, Edit, FakeHost, Stages, failing, saying

from harness import interruption
from harness.errors import (
    BootError,
    ConfigError,
    CrashError,
    DataError,
    GuestLostError,
    HangError,
    HostError,
    KabError,
    UserspaceError,
    WorkloadError,
)
from harness.model.experiment import Arm, RungPlace
from harness.model.trial import FindingKind, Outcome, Stage, Trial
from harness.run.trial import Bench, outcome_of, run_trial
from harness.stats.faults import counts_at_once, faults_of

pytestmark = pytest.mark.unit

SPEC = factories.block_spec(1, 0, Arm.CANDIDATE, seed=7)
MADE = ["scratch", "disk", "modules", "initramfs", "boot"]
RUN = ["prepare", "warm-up", "iterate", "iterate", "iterate", "check", "collect", "shutdown"]
# Taken down in the opposite order, whatever happened.
GONE = ["boot gone", "disk-end", "disk gone", "scratch gone"]
PANIC = "[    9.000000] Kernel panic - not syncing: Fatal exception\n"
OOPS = "[    9.000000] BUG: kernel NULL pointer dereference, address: 0000000000000008\n"
OOM = "[   12.000000] Out of memory: Killed process 93 (fio) total-vm:1kB, anon-rss:1kB\n"
# The stage in which a step runs.
STAGE = {
    "prepare": Stage.PREPARE,
    "warm-up": Stage.WARMUP,
    "iterate": Stage.MEASURE,
    "check": Stage.CHECK,
    "collect": Stage.COLLECT,
    "shutdown": Stage.SHUTDOWN,
}
STAGES = (Stage.DISKS, Stage.BOOT, Stage.CONNECT, *STAGE.values())
# What a running guest may raise at any command.
OF_A_GUEST = (
    (CrashError("it panicked", log=PANIC), Outcome.CRASHED),
    (HangError("no answer in 90 s", log=PANIC), Outcome.HUNG),
    (UserspaceError("sshd was killed by SIGKILL", log="KAB-DIED sshd status 137\n"), Outcome.USERSPACE_DIED),
    (GuestLostError("QEMU was killed"), Outcome.LOST),
)


def tried(host: FakeHost) -> Trial:
    return run_trial(host.bench(), EXPERIMENT, SPEC, KERNEL)


def until(step: str) -> list[str]:
    """What is done up to and with a step of a booted guest."""
    return MADE + RUN[: RUN.index(step) + 1]


def test_a_boot_that_goes_well(tmp_path: Path) -> None:
    host, shown = FakeHost(tmp_path), Stages()
    spec = factories.rung_spec(12, 2, seed=7)
    trial = run_trial(host.bench(shown), EXPERIMENT, spec, KERNEL)
    assert (trial.outcome, trial.message, trial.findings) == (Outcome.OK, "", ())
    assert trial.place == RungPlace(rung=12, boot=2)
    assert trial.kernel_digest == KERNEL.digest
    assert host.events == MADE + RUN + GONE
    assert {len(values) for values in trial.samples.values()} == {3}
    assert trial.environment["fio"] == "fio-3.39"
    assert set(trial.stage_s) == set(STAGES)
    assert trial.stage_s[Stage.CONNECT] == 0.25
    assert min(trial.stage_s.values()) >= 0
    assert trial.artifacts["console.log"] == host.console.encode()
    assert trial.artifacts["domain.xml"] == b"<domain/>"
    assert trial.artifacts["trial.log"].decode().split() == [word for kind in RUN[:-1] for word in ("$", kind)]
    assert {"fio-job", "prepare.txt", "fio-0.json", "check.txt", "dmesg.log"} <= set(trial.artifacts)
    # The display is told of every stage, but of the connection, which is known afterwards.
    assert list(dict.fromkeys(stage for _, stage, _ in shown.told)) == [s for s in STAGES if s is not Stage.CONNECT]
    assert {name for name, _, _ in shown.told} == {factories.named(spec)}


def test_what_must_stand_still_while_a_guest_measures_hears_of_each_stage(tmp_path: Path) -> None:
    """By the bench itself, whatever is shown: `shown` is told afterwards."""
    host, shown, heard = FakeHost(tmp_path), Stages(), []

    def on_stage(stage: Stage) -> None:
        assert len(shown.told) == len(heard)
        heard.append(stage)

    run_trial(replace(host.bench(shown), on_stage=on_stage), EXPERIMENT, SPEC, KERNEL)
    assert heard == [stage for _, stage, _ in shown.told]
    assert heard.count(Stage.MEASURE) >= 3


@pytest.mark.parametrize(("error", "outcome"), OF_A_GUEST, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("step", [*SCRIPTS, "shutdown"])
def test_what_ends_a_running_guest_is_its_outcome(tmp_path: Path, step: str, error: KabError, outcome: Outcome) -> None:
    host = FakeHost(tmp_path, fails={step: error})
    trial = tried(host)
    assert (trial.outcome, trial.message) == (outcome, error.message)
    assert trial.samples == {}
    assert host.events == until(step) + GONE
    # All that there was until then is kept, the stage that failed with its time.
    assert set(trial.stage_s) == set(STAGES[: STAGES.index(STAGE[step]) + 1])
    assert trial.artifacts["console.log"] == host.console.encode()
    assert trial.artifacts["domain.xml"] == b"<domain/>"
    scripts = RUN[: RUN.index(step)]
    assert trial.artifacts["trial.log"].decode() == "".join(f"$ {kind}\n" for kind in scripts)
    assert ("prepare.txt" in trial.artifacts) == ("prepare" in scripts)
    assert ("fio-2.json" in trial.artifacts) == (scripts.count("iterate") == 3)
    assert ("dmesg.log" in trial.artifacts) == (step == "shutdown")
    # A guest that does not power off has been measured: what it was is known, though not what it gave.
    assert bool(trial.environment) == (step == "shutdown")
    assert trial.duration_s >= sum(trial.stage_s.values()) - trial.stage_s[Stage.CONNECT]


@pytest.mark.parametrize(
    ("step", "edit", "outcome", "said"),
    [
        ("prepare", failing(1, "mkfs.btrfs: no such device"), Outcome.WORKLOAD_FAILED, "mkfs.btrfs: no such device"),
        ("warm-up", saying("command=0", "command=137"), Outcome.WORKLOAD_FAILED, "status 137"),
        ("iterate", saying("command=0", "command=1"), Outcome.WORKLOAD_FAILED, "fio failed in the guest"),
        ("check", saying("write=0", "write=28"), Outcome.WORKLOAD_FAILED, "writing the data to be checked failed"),
        ("check", saying("fsck=0", "fsck=1"), Outcome.CORRUPTED, "the filesystem check failed"),
        ("check", saying("read=0", "read=84"), Outcome.CORRUPTED, "data read back is not what was written"),
        ("collect", failing(2, "dmesg: read failed"), Outcome.WORKLOAD_FAILED, "dmesg: read failed"),
    ],
)
def test_what_a_workload_or_its_data_come_to(
    tmp_path: Path, step: str, edit: Edit, outcome: Outcome, said: str
) -> None:
    host = FakeHost(tmp_path, edits={step: edit})
    trial = tried(host)
    assert trial.outcome is outcome
    assert said in trial.message
    assert trial.samples == {}
    assert host.events == until(step) + GONE
    assert set(trial.stage_s) == set(STAGES[: STAGES.index(STAGE[step]) + 1])
    assert set(trial.artifacts) >= {"console.log", "trial.log", "domain.xml", "fio-job", "prepare.txt"}


@pytest.mark.parametrize(
    ("error", "outcome", "console"),
    [
        (BootError("no init found", log="[    1.000000] Linux\n"), Outcome.BOOT_FAILED, b"[    1.000000] Linux\n"),
        (CrashError("it panicked", log=PANIC), Outcome.CRASHED, PANIC.encode()),
        (UserspaceError("sshd ended", log="KAB-DIED sshd\n"), Outcome.USERSPACE_DIED, b"KAB-DIED sshd\n"),
        (HangError("still booting", log="[    1.000000] Linux\n"), Outcome.HUNG, b"[    1.000000] Linux\n"),
        (BootError("no console at all"), Outcome.BOOT_FAILED, None),
        (GuestLostError("QEMU was killed"), Outcome.LOST, None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, KabError) else "",
)
def test_a_guest_that_does_not_come_up(
    tmp_path: Path, error: KabError, outcome: Outcome, console: bytes | None
) -> None:
    """Its console is in the error: there is no guest to ask for it."""
    host = FakeHost(tmp_path, fails={"boot": error})
    trial = tried(host)
    assert (trial.outcome, trial.message) == (outcome, error.message)
    assert trial.artifacts == ({} if console is None else {"console.log": console})
    assert set(trial.stage_s) == {Stage.DISKS, Stage.BOOT}
    # It was never there to be taken down.
    assert host.events == MADE + GONE[1:]


@pytest.mark.parametrize("inner", [{}, {"iterate": CrashError("I/O errors all over", log=PANIC)}])
def test_a_disk_whose_server_died_is_lost_whatever_the_guest_made_of_it(
    tmp_path: Path, inner: Mapping[str, KabError]
) -> None:
    host = FakeHost(tmp_path, fails={**inner, "disk-end": GuestLostError("nbdkit ended with status -9")})
    trial = tried(host)
    assert (trial.outcome, trial.message) == (Outcome.LOST, "nbdkit ended with status -9")
    assert trial.samples == {}
    assert host.events == until("iterate" if inner else "shutdown") + GONE
    assert "console.log" in trial.artifacts


@pytest.mark.parametrize("error", [HostError("no space left"), ConfigError("no such device")])
@pytest.mark.parametrize("step", ["scratch", "disk", "modules", "initramfs", "boot", *SCRIPTS, "shutdown"])
def test_what_is_the_hosts_or_the_users_is_no_outcome(tmp_path: Path, step: str, error: KabError) -> None:
    host = FakeHost(tmp_path, fails={step: error})
    with pytest.raises(type(error)) as raised:
        tried(host)
    assert raised.value is error
    done = [event for event in host.events if not event.endswith(" gone") and event != "disk-end"]
    assert done == (MADE[: MADE.index(step) + 1] if step in MADE else until(step))
    # What was made is gone, and nothing else.
    made = [name for name in ("boot", "disk", "scratch") if name in done and name != step]
    assert [event for event in host.events if event.endswith(" gone")] == [f"{name} gone" for name in made]


def test_a_bug_of_ours_is_no_outcome_either(tmp_path: Path) -> None:
    host = FakeHost(tmp_path, fails={"check": ZeroDivisionError()})
    with pytest.raises(ZeroDivisionError):
        tried(host)
    assert host.events == until("check") + GONE


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        *OF_A_GUEST,
        (BootError(""), Outcome.BOOT_FAILED),
        (DataError(""), Outcome.CORRUPTED),
        (WorkloadError(""), Outcome.WORKLOAD_FAILED),
        (HostError(""), None),
        (ConfigError(""), None),
        (KabError(""), None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, KabError) else "",
)
def test_every_error_has_its_outcome_or_none(error: KabError, outcome: Outcome | None) -> None:
    assert outcome_of(error) is outcome


class TestWhatTheKernelSaid:
    """The console and the kernel's log have a say, too."""

    @pytest.mark.parametrize("said", [OOPS, PANIC])
    def test_an_oops_after_which_all_went_on_is_a_crash(self, tmp_path: Path, said: str) -> None:
        host = FakeHost(tmp_path, console=said)
        trial = tried(host)
        assert trial.outcome is Outcome.CRASHED
        assert trial.message == trial.findings[0].message
        assert trial.message in said
        # Nothing that such a kernel measured can be trusted; what it was is known.
        assert trial.samples == {}
        assert trial.environment["fio"] == "fio-3.39"
        assert host.events == MADE + RUN + GONE

    def test_one_that_only_the_kernels_log_shows_is_one(self, tmp_path: Path) -> None:
        host = FakeHost(tmp_path, edits={"collect": saying(r"(@@kab dmesg\n)", rf"\g<1>{OOPS}")})
        trial = tried(host)
        assert trial.outcome is Outcome.CRASHED
        assert "NULL pointer dereference" in trial.message

    def test_it_is_found_once_where_both_show_it(self, tmp_path: Path) -> None:
        edits = {"collect": saying(r"(@@kab dmesg\n)", rf"\g<1>{OOPS}")}
        assert len(tried(FakeHost(tmp_path, console=OOPS, edits=edits)).findings) == 1

    def test_what_is_no_crash_is_a_finding_and_no_more(self, tmp_path: Path) -> None:
        trial = tried(FakeHost(tmp_path, console=OOM))
        assert trial.outcome is Outcome.OK
        assert [finding.kind for finding in trial.findings] == [FindingKind.OOM]
        assert trial.samples

    def test_a_workload_that_the_kernel_killed_for_want_of_memory_is_named(self, tmp_path: Path) -> None:
        edits = {"iterate": saying("command=0", "command=137")}
        alone = tried(FakeHost(tmp_path, edits=edits))
        assert alone.outcome is Outcome.WORKLOAD_FAILED
        killed = tried(FakeHost(tmp_path, edits=edits, console=OOM))
        assert killed.outcome is Outcome.USERSPACE_DIED
        said = "memory ran out in the guest: Out of memory: Killed process 93 (fio); then "
        assert killed.message == said + alone.message

    def test_a_crash_in_the_log_of_a_failed_boot_is_found(self, tmp_path: Path) -> None:
        trial = tried(FakeHost(tmp_path, fails={"boot": BootError("init was not reached", log=PANIC)}))
        assert trial.outcome is Outcome.BOOT_FAILED
        assert [finding.kind for finding in trial.findings] == [FindingKind.PANIC]

    def test_a_guest_whose_userspace_dies_counts_as_no_fault_of_the_kernel(self, tmp_path: Path) -> None:
        trial = tried(FakeHost(tmp_path, fails={"iterate": UserspaceError("sshd was killed", log="KAB-READY\n")}))
        assert not trial.outcome.is_kernel_fault
        assert not counts_at_once(trial.outcome, confirm=False)
        assert faults_of([trial], confirm=False) == {}


def interrupt(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


@pytest.mark.usefixtures("taken_signals")
class TestSignals:
    """A request to end is no outcome, and leaves nothing behind."""

    @pytest.mark.parametrize("number", interruption.SIGNALS)
    @pytest.mark.parametrize("step", ["disk", "boot", "prepare", "iterate", "shutdown"])
    def test_while_a_boot_runs(self, tmp_path: Path, step: str, number: int) -> None:
        host = FakeHost(tmp_path, fails={step: interrupt(number)})
        with pytest.raises(KeyboardInterrupt):
            tried(host)
        made = [name for name in ("boot", "disk", "scratch") if f"{name}" in host.events and name != step]
        assert [event for event in host.events if event.endswith(" gone")] == [f"{name} gone" for name in made]

    @pytest.mark.parametrize(("error", "_"), OF_A_GUEST, ids=lambda value: type(value).__name__)
    def test_what_fails_under_one_that_nobody_saw(
        self, tmp_path: Path, error: KabError, _: Outcome, swallow: Callable[[], None]
    ) -> None:
        """Ctrl-C reaches the whole process group, QEMU too: a guest lost by that is not stored as one."""

        def cut() -> None:
            swallow()
            raise error

        host = FakeHost(tmp_path, fails={"iterate": cut})
        with pytest.raises(KeyboardInterrupt):
            tried(host)
        assert host.events == until("iterate") + GONE


def test_the_plan_of_a_boot(tmp_path: Path) -> None:
    bench: Bench = FakeHost(tmp_path).bench()
    plan = bench.boot_plan(KERNEL, EXPERIMENT.guest, [], ("virtio_blk",), tmp_path / "kab-1")
    assert (plan.name, plan.kernel, plan.initramfs) == ("kab-1", KERNEL.vmlinuz, (tmp_path / "initramfs",))
    assert plan.boot_timeout_s == 90.0
