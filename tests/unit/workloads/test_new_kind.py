"""A kind of workload and two probes that kab never heard of: registered, measured, stored, compared and shown.

The guest is this host's bash in a folder of its own: what the job brings and runs is really brought and run.
"""

import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import factories
import jsonschema
import pytest

from harness.config import build_experiment, load_workload, request_from_options
from harness.errors import ConfigError, DataError, WorkloadError
from harness.lab.reports import RunReport
from harness.model.experiment import Arm, Experiment
from harness.model.guest import AttachedDisk, CommandResult
from harness.model.trial import Outcome, Stage, Trial
from harness.model.verdict import Verdict
from harness.model.workload import Direction, Metric, Workload
from harness.parse.experimentjson import experiment_from_json, experiment_to_json
from harness.plan import JOB_CONDITION, experiment_digest, trial_specs
from harness.render.guestscript import WORK
from harness.render.jobidentity import job_condition
from harness.render.workload import check_jobs
from harness.report.compare.html import to_html
from harness.report.compare.json import json_schema, to_json
from harness.report.compare.text import summary
from harness.run.measure import Measurement, measure
from harness.stats.decide import decide
from harness.store import SqlStore
from harness.workloads import registry
from harness.workloads.kinds import DataCheck, GuestJob, Key, Misfit, Ran, Reading, Step, Templates, WorkDone

pytestmark = pytest.mark.unit

DATA = Path(__file__).parents[2] / "data" / "measure"
MADE = "@@kab mount\n/dev/nvme1n1 /mnt btrfs rw 0 0\n@@kab disk\nname=nvme1n1\n@@kab queue"
FILE = """\
name: wheel
kind: turns
title: A wheel
stands_for: Whatever turns.
sound: eek
oils: [thin, thick]
parameters: {spokes: 8}
warmup: 0s
iterations: 2
deciding: [turns]
disk: 1MiB
"""


class Turns:
    """Counts turns of a wheel; its file says how the wheel squeaks."""

    name = "turns"
    metrics = (
        Metric(name="turns", unit="1/s", direction=Direction.HIGHER, title="turns of the wheel per second"),
        Metric(
            name="squeaks", unit="", direction=Direction.LOWER, title="squeaks", witness=True, meaning="near 0: oil"
        ),
    )
    keys = (Key(name="sound", says="a noise", required=True), Key(name="oils", says="names"))
    artifacts = ("turns-script",)
    output_type = "txt"

    def metrics_of(self, workload: Workload) -> tuple[Metric, ...]:
        declared = (
            Metric(name=f"oil_{oil}", unit="ml", direction=Direction.LOWER, title=f"oil {oil} taken")
            for oil in workload.own.get("oils", ())
        )
        return (*self.metrics, *declared)

    def misfit(self, workload: Workload) -> Misfit | None:
        spokes = workload.parameters.get("spokes", 1)
        return Misfit(parameter="spokes", message=f"{spokes} spokes", remedy="Even.") if int(spokes) % 2 else None

    def space_bytes(self, workload: Workload) -> int:
        return 0

    def job(self, workload: Workload, templates: Templates, *, directory: str, seed: int) -> GuestJob:
        (sound,) = workload.own["sound"]
        script = (
            f"echo turns=$((TOY_SPEED + ({seed} + RANDOM) % 20))\necho oil_thin=2\n"
            f"echo {sound} >&2\nexit ${{TOY_STATUS:-0}}\n"
        )
        return GuestJob(
            prepare='echo ready > "$work"/prepared',
            iterate=Step(command='{ grep -q ready "$work"/prepared && bash "$work"/wheel; }', longest_s=1.0),
            files={"wheel": script},
            artifacts={"turns-script": script},
            identity=(sound,),
        )

    def check(self, workload: Workload, job: GuestJob) -> None:
        if workload.own["sound"] == ("silence",):
            raise ConfigError(f"workload {workload.name}: a wheel is never silent")

    def is_named_by_template(self, workload: Workload, templates: Templates) -> bool:
        return False

    def read(self, ran: Ran) -> Reading:
        turns = re.fullmatch(r"turns=(\d+)\noil_thin=(\d+)", ran.output)
        if ran.status or not turns:
            raise WorkloadError(f"the wheel broke with status {ran.status}")
        return Reading(
            samples={"turns": float(turns[1]), "oil_thin": float(turns[2]), "squeaks": float(len(ran.errors.split()))},
            done=WorkDone(ios=int(turns[1])),
            facts={"turns": "wheel 2.0"},
        )


class Pulse:
    """Prints two numbers, a hundred per turn apart."""

    metrics = (
        Metric(
            name="pulses_per_turn", unit="", direction=Direction.LOWER, title="pulses per turn",
            witness=True, meaning="near 100: at rest", decides=False,
        ),
    )  # fmt: skip
    name = "pulse"
    artifact = "pulses"
    apart = False

    def start(self, disk: str) -> str:
        return f"pulse_disk={disk}; echo 1"

    def stop(self, disk: str) -> str:
        return 'echo "$((1 + 100 * TOY_SPEED)) $pulse_disk"'

    def read(self, before: str, after: str, done: WorkDone) -> Mapping[str, float]:
        beats, disk = after.split()
        assert disk == "nvme1n1"
        return {"pulses_per_turn": (int(beats) - int(before)) / done.ios}


class Tracer(Pulse):
    """The same, and disturbs what it watches."""

    metrics = (replace(Pulse.metrics[0], name="traced", title="traced"),)
    name = artifact = "tracer"
    apart = True

    def start(self, disk: str) -> str:
        return f"{super().start(disk)}; TOY_SPEED=$((TOY_SPEED / 10)); export TOY_SPEED"

    def read(self, before: str, after: str, done: WorkDone) -> Mapping[str, float]:
        return {"traced": float(done.ios)}


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setattr(registry, "KINDS", MappingProxyType({**registry.KINDS, "turns": Turns()}))
    monkeypatch.setattr(registry, "PROBES", MappingProxyType({**registry.PROBES, "pulse": Pulse(), "tracer": Tracer()}))


class HostShell:
    """A guest that is this host's bash in `folder`, but for filesystems: those it only says to have."""

    domain_xml = ""
    boot_s = connect_s = 0.0

    def __init__(self, folder: Path, speed: int, *, fsck: int = 0, status: int = 0) -> None:
        self.scripts: list[str] = []
        self._folder = folder
        self._environment = {**os.environ, "TOY_SPEED": str(speed), "TOY_STATUS": str(status)}
        self._fsck = fsck

    def run(self, command: str, *, timeout_s: float, stdin: bytes | None = None) -> CommandResult:
        assert stdin is not None
        script = stdin.decode()
        self.scripts.append(script)
        if "section mkfs" in script:
            # Between them a disk is found, and a filesystem made and mounted.
            head, tail = script[: script.index("serial=")], script[script.index("section layout") :]
            return self._bash(f"{head}echo '{MADE}'\n{tail}")
        if "section output" in script:
            return self._bash(script.replace('sync -f "$mnt"', ":"))
        said = (DATA / "collect.txt").read_text(encoding="utf-8")
        if "run unmount" in script:
            said = f"@@kab fsck\nbad\n@@kab status\nunmount=0\nfsck={self._fsck}\nmount=0\n"
        return CommandResult(command=command, status=0, stdout=said, stderr="", duration_s=0.1)

    def _bash(self, script: str) -> CommandResult:
        done = subprocess.run(
            ["bash", "-s"], input=script.replace(WORK, str(self._folder)), env=self._environment,
            capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip
        return CommandResult(
            command="bash -s", status=done.returncode, stdout=done.stdout, stderr=done.stderr, duration_s=0.1
        )

    def console(self) -> str:
        return ""

    def log(self) -> str:
        return ""

    def shutdown(self, *, timeout_s: float) -> None:
        return None


def load(folder: Path, text: str = FILE) -> Workload:
    path = folder / "wheel.yaml"
    path.write_text(text, encoding="utf-8")
    return load_workload(path)


def experiment_of(folder: Path, **said: str) -> Experiment:
    load(folder)
    options = {"baseline": "a", "candidate": "b", "workload": str(folder / "wheel.yaml"), **said}
    return build_experiment(request_from_options(options), {})


def measured(experiment: Experiment, guest: HostShell, stages: list[tuple[Stage, str]] | None = None) -> Measurement:
    def on_stage(stage: Stage, detail: str) -> None:
        if stages is not None:
            stages.append((stage, detail))

    disk = AttachedDisk(spec=experiment.disk, serial="kab-test", path=Path("/nbd.sock"))
    return measure(guest, experiment=experiment, disk=disk, seed=3, on_stage=on_stage)


def test_a_file_of_the_kind_is_read_with_its_own_keys(tmp_path: Path) -> None:
    workload = load(tmp_path)
    assert (workload.kind, workload.own) == ("turns", {"sound": ("eek",), "oils": ("thin", "thick")})
    assert workload.template == ""


@pytest.mark.parametrize(
    ("was", "becomes", "line", "says"),
    [
        ("kind: turns", "kind: turn", 2, "unknown kind of workload 'turn'\nDid you mean turns?"),
        ("sound: eek", "sund: eek", 5, "unknown workload key 'sund'\nDid you mean sound?"),
        ("sound: eek", "sound: eek\ntemplate: x", 6, "unknown workload key 'template'"),
        ("deciding: [turns]", "deciding: [write_iops]", 10, "unknown metric 'write_iops'"),
        ("deciding: [turns]", "deciding: [turns, pulses_per_turn]", 10, "pulses_per_turn is only shown"),
        ("sound: eek\n", "", 1, "workload lacks the key 'sound'"),
    ],
)
def test_a_wrong_file_of_the_kind_is_named_by_its_line(
    tmp_path: Path, was: str, becomes: str, line: int, says: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, FILE.replace(was, becomes))
    assert str(caught.value).startswith(f"{tmp_path / 'wheel.yaml'}:{line}: ")
    assert says in str(caught.value)


def test_what_the_file_declares_may_decide(tmp_path: Path) -> None:
    assert load(tmp_path, FILE.replace("[turns]", "[turns, oil_thin]")).deciding == ("turns", "oil_thin")
    assert experiment_of(tmp_path, metric="oil_thick").metric == "oil_thick"
    with pytest.raises(ConfigError, match="unknown metric 'oil_olive'"):
        experiment_of(tmp_path, metric="oil_olive")
    with pytest.raises(ConfigError, match="--metric: pulses_per_turn is only shown"):
        experiment_of(tmp_path, metric="pulses_per_turn")


def test_what_the_kind_refuses_is_refused_before_any_boot(tmp_path: Path) -> None:
    options = {"baseline": "a", "candidate": "b", "workload": str(tmp_path / "wheel.yaml"), "set": ["spokes=7"]}
    load(tmp_path)
    with pytest.raises(ConfigError, match="--set spokes: 7 spokes"):
        build_experiment(request_from_options(options), {})
    check_jobs(load(tmp_path))
    with pytest.raises(ConfigError, match="never silent"):
        check_jobs(load(tmp_path, FILE.replace("eek", "silence")))


def test_the_identity_is_what_the_kind_says(tmp_path: Path) -> None:
    def identity(workload: Workload) -> tuple[str, str]:
        experiment = Experiment(baseline="a", candidate="b", workload=workload)
        conditions = job_condition(workload)
        digest = experiment_digest(experiment, baseline_digest="a", candidate_digest="b", conditions=conditions)
        return conditions[JOB_CONDITION], digest

    first, other = (identity(load(tmp_path, FILE.replace("eek", sound))) for sound in ("eek", "ook"))
    assert first[0] != other[0]
    assert identity(load(tmp_path)) == first
    assert identity(load(tmp_path, FILE.replace("thick", "heavy")))[1] != first[1]


def test_it_is_stored_and_read_back(tmp_path: Path) -> None:
    experiment = experiment_of(tmp_path)
    text = experiment_to_json(experiment)
    assert '"kind":"turns"' in text
    assert experiment_from_json(text) == experiment


def test_measured_beside_and_apart(tmp_path: Path) -> None:
    guest, stages = HostShell(tmp_path, 1000), []
    found = measured(experiment_of(tmp_path), guest, stages)
    assert [stage for stage, _ in stages] == [
        Stage.PREPARE, Stage.MEASURE, Stage.MEASURE, Stage.MEASURE, Stage.CHECK, Stage.COLLECT,
    ]  # fmt: skip
    assert [detail for stage, detail in stages if stage is Stage.MEASURE] == ["1/2", "2/2", "tracer"]
    # Of the counters of this host some do not move within an iteration as short as these.
    assert {"turns", "squeaks", "pulses_per_turn", "traced"} <= set(found.samples)
    assert set(found.samples) <= set(registry.metrics_of(experiment_of(tmp_path).workload))
    assert all(1000 <= turns < 1020 for turns in found.samples["turns"])
    assert found.samples["squeaks"] == (1.0, 1.0)
    assert found.samples["pulses_per_turn"] == pytest.approx((99, 99), abs=1.1)
    # Ten times slower under the tracer: none of it is in the measured figures.
    (traced,) = found.samples["traced"]
    assert 100 <= traced < 120
    assert found.environment["turns"] == "wheel 2.0"
    assert {"turns-script", "turns-0.txt", "turns-1.txt", "pulses-1.txt", "counters-1.txt", "tracer-tracer.txt"} <= set(
        found.artifacts
    )
    assert "pulses-tracer.txt" not in found.artifacts


def test_its_filesystem_is_checked_though_it_has_no_data_to_check(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the filesystem check failed with status 1: bad"):
        measured(experiment_of(tmp_path), HostShell(tmp_path, 1000, fsck=1))


def test_it_says_itself_what_a_status_means(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match="the wheel broke with status 3"):
        measured(experiment_of(tmp_path), HostShell(tmp_path, 1000, status=3))


def test_its_data_check_is_run_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Checked(Turns):
        def job(self, *asked, **said) -> GuestJob:
            check = DataCheck(write="write_it", read_back="read_it", kept=(("wheel", 1),))
            return replace(super().job(*asked, **said), check=check)

    monkeypatch.setattr(registry, "KINDS", {"turns": Checked()})
    guest = HostShell(tmp_path, 1000)
    with pytest.raises(WorkloadError, match="ended early, without: write, read, sizes"):
        measured(experiment_of(tmp_path), guest)
    assert "run write eval write_it" in guest.scripts[-1]
    assert "run read eval read_it" in guest.scripts[-1]


def test_its_runs_are_compared_stored_and_shown(tmp_path: Path) -> None:
    experiment = experiment_of(tmp_path)
    speeds = {Arm.BASELINE: 1000, Arm.CANDIDATE: 2000}
    trials = []
    for spec in (spec for block in range(5) for spec in trial_specs(7, block)):
        found = measured(experiment, HostShell(tmp_path, speeds[spec.place.arm]))
        trials.append(
            Trial(
                spec=spec,
                kernel_digest=spec.place.arm,
                outcome=Outcome.OK,
                samples=found.samples,
                environment=found.environment,
                artifacts=found.artifacts,
            )
        )
    metrics = registry.metrics_of(experiment.workload)
    decision = decide(experiment, metrics, trials)
    assert (decision.verdict, decision.metric) == (Verdict.FASTER, "turns")
    run = factories.run(experiment=experiment)
    with SqlStore(tmp_path / "results.sqlite") as store:
        store.create_run(run)
        for trial in trials:
            store.append_trial(run.id, trial)
        store.finish(run.id, decision)
        stored = store.run(run.id)
        shown = store.decision(run.id)
        told = RunReport(run=stored, decision=shown, store=store).text()
    assert stored.experiment == experiment
    assert [trial.samples for trial in stored.trials] == [trial.samples for trial in trials]
    text = summary(stored, shown, stored.trials, metrics)
    assert text == told
    assert re.search(r"^  oil_thin +ml +2.00 +2.00 .* same", text, re.MULTILINE), "declared by the file alone"
    assert re.search(r"^\* turns +1/s +10[01]\d +20[01]\d .* faster", text, re.MULTILINE), text
    assert "pulses_per_turn" in text
    assert "turns wheel 2.0" in text
    page = to_html(stored, shown, trials, metrics)
    assert "traced" in page
    assert "echo turns=$((TOY_SPEED" in page
    document = to_json(stored, shown, stored.trials, metrics)
    jsonschema.Draft202012Validator(json_schema()).validate(json.loads(json.dumps(document)))
    assert document["experiment"]["workload"]["own"]["sound"] == ["eek"]
    assert document["metrics"]["pulses_per_turn"]["witness"] is True


def test_a_run_of_a_kind_that_this_kab_lacks_is_shown_all_the_same(tmp_path: Path, monkeypatch) -> None:
    experiment = experiment_of(tmp_path)
    monkeypatch.undo()
    with pytest.raises(ConfigError, match="workload wheel: unknown kind of workload 'turns'"):
        registry.kind_of(experiment.workload)
    assert experiment_from_json(experiment_to_json(experiment)) == experiment
    run = factories.run(experiment=experiment)
    assert "wheel" in summary(run, None, factories.blocks(1), registry.METRICS)
    assert "wheel" in to_html(run, None, factories.blocks(1), registry.METRICS)
