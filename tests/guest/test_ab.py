"""`kab ab` end to end, as a user runs it: real kernels, real guests, real failures with real causes."""

import json
import os
import signal
from pathlib import Path

import pytest
from endtoend import QUICK, kab, kill_all_of, leftovers, start

from harness.errors import ExitCode
from harness.report.compare.json import json_schema
from harness.store import SqlStore

jsonschema = pytest.importorskip("jsonschema")

pytestmark = [pytest.mark.guest, pytest.mark.timeout(1200)]

OLD, NEW = "debian:6.12", "debian:7.2"
_CRASHING = """\
{{ common }}
[crash]
exec_prerun=echo c | tee /proc/sysrq-trigger
filename=data.0
rw=write
"""
_REFUSED = """\
{{ common }}
[refused]
ioengine=no-such-engine
filename=data.0
rw=write
"""


def workload_file(folder: Path, job: str) -> Path:
    """A workload of the user's own."""
    (folder / "own.fio.j2").write_text(job)
    path = folder / "own.yaml"
    path.write_text(
        "name: own\ntitle: A workload of my own\nstands_for: nothing\ntemplate: own.fio.j2\n"
        "parameters: {jobs: 1, files: 1, file_size: 1MiB, block_size: 4KiB}\n"
        "runtime: 1s\niterations: 1\ndeciding: [write_iops]\ndisk: 16MiB\n"
    )
    return path


def test_the_founding_case(environment: dict[str, str], tmp_path: Path) -> None:
    page, result = tmp_path / "report.html", tmp_path / "result.json"
    status, out, _ = kab(environment, "ab", OLD, NEW, *QUICK, "--html", str(page), "--json", str(result))
    assert status == ExitCode.GOOD
    assert "is faster than" in out
    document = json.loads(result.read_text())
    jsonschema.validate(document, json_schema())
    assert document["verdict"] == "faster"
    depth = next(found for found in document["comparisons"] if found["metric"] == "queue_depth")
    assert depth["baseline"] < 1.3
    assert depth["candidate"] > 2.2
    assert page.read_text().startswith("<!DOCTYPE html>")
    # Reports are made from what is stored, again and without guests.
    again, text, _ = kab(environment, "report", "last")
    assert again == ExitCode.GOOD
    assert text == out


def test_kill_9_and_a_rerun(environment: dict[str, str], tmp_path: Path) -> None:
    command = ("ab", OLD, NEW, *QUICK, "--seed", "3", "--max-boots", "4", "--progress", "json")
    with start(environment, *command) as running:
        assert running.stderr is not None
        stored = 0
        # Into the second boot's workload: one trial stored, one in flight.
        for line in running.stderr:
            event = json.loads(line)
            stored += event["event"] == "trial-finished"
            if stored == 1 and event["event"] == "stage" and event["stage"] == "measure":
                break
        kill_all_of(running, tmp_path)
    status, _, err = kab(environment, *command)
    # Two blocks decide nothing, and say so.
    assert status == ExitCode.CANNOT_TELL
    assert '"resumed_trials": 1' in err
    with SqlStore(tmp_path / "state" / "results.sqlite") as store:
        (run,) = store.runs()
        specs = [trial.spec for trial in store.run(run.id).trials]
    assert len(specs) == len(set(specs)) == 4


def test_interrupted_is_130_and_leaves_nothing(environment: dict[str, str], tmp_path: Path) -> None:
    with start(environment, "ab", OLD, NEW, *QUICK, "--progress", "json") as running:
        assert running.stderr is not None
        for line in running.stderr:
            event = json.loads(line)
            if event["event"] == "stage" and event["stage"] == "measure":
                break
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=60)
    assert running.returncode == ExitCode.INTERRUPTED
    assert "the same command continues" in err
    assert leftovers(tmp_path) == []


def test_a_kernel_that_crashes_is_not_a_verdict(environment: dict[str, str], tmp_path: Path) -> None:
    own = workload_file(tmp_path, _CRASHING)
    status, out, _ = kab(environment, "ab", OLD, NEW, "--workload", str(own))
    assert status == ExitCode.CANNOT_TELL
    assert "crashed in 2 of 2 boots" in " ".join(out.split())
    with SqlStore(tmp_path / "state" / "results.sqlite") as store:
        trials = store.run("last").trials
    assert {str(trial.outcome) for trial in trials} == {"crashed"}
    assert all("panic" in {str(finding.kind) for finding in trial.findings} for trial in trials)


def test_a_workload_that_fails_accuses_no_kernel(environment: dict[str, str], tmp_path: Path) -> None:
    own = workload_file(tmp_path, _REFUSED)
    status, _, _ = kab(environment, "ab", OLD, OLD, "--workload", str(own))
    assert status == ExitCode.CANNOT_TELL
    with SqlStore(tmp_path / "state" / "results.sqlite") as store:
        run = store.run("last")
        kept = store.artifacts(run.id, run.trials[0].spec)
    assert {str(trial.outcome) for trial in run.trials} == {"workload-failed"}
    assert "no-such-engine" in run.trials[0].message
    # What there was until then is kept: the evidence of a failure matters most.
    assert b"no-such-engine" in kept["fio-job"]
    assert {"domain.xml", "console.log", "trial.log", "prepare.txt"} <= kept.keys()


def test_a_killed_qemu_is_the_hosts_fault_and_made_up_for(environment: dict[str, str], tmp_path: Path) -> None:
    words = ("ab", OLD, OLD, *QUICK, "--max-boots", "2", "--progress", "json")
    killed = False
    with start(environment, *words) as running:
        assert running.stderr is not None
        outcomes = []
        for line in running.stderr:
            event = json.loads(line)
            if event["event"] == "stage" and event["stage"] == "measure" and not killed:
                killed = True
                os.kill(qemu_of(tmp_path), signal.SIGKILL)
            if event["event"] == "trial-finished":
                outcomes.append(event["outcome"])
        running.communicate(timeout=60)
    assert outcomes == ["lost", "ok", "ok"]
    # Two boots decide nothing.
    assert running.returncode == ExitCode.CANNOT_TELL


def qemu_of(tmp_path: Path) -> int:
    """The process of this test's guest."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"qemu-system" in words[0] and any(str(tmp_path).encode() in word for word in words):
            return int(process.name)
    raise AssertionError("no guest runs")


def test_a_template_that_cannot_be_rendered_is_told_before_any_boot(
    environment: dict[str, str], tmp_path: Path
) -> None:
    own = workload_file(tmp_path, "{{ common }}\n[job]\nbs={{ blok_size }}\n")
    status, _, err = kab(environment, "ab", OLD, OLD, "--workload", str(own))
    assert status == ExitCode.USAGE
    assert "'blok_size' is undefined" in err
    assert "run id=" not in err


def test_shell_runs_a_command_and_gives_its_status(environment: dict[str, str]) -> None:
    status, out, _ = kab(environment, "shell", NEW, "--", "uname -r; cat /sys/block/nvme0n1/device/serial")
    assert status == ExitCode.GOOD
    assert out.splitlines()[0].startswith("7.2")
    assert out.splitlines()[1].startswith("kab-")
    assert kab(environment, "shell", NEW, "--", "false")[0] == ExitCode.BAD
