"""Made the files beside it, with the code of before; it does not run with the code of today.

In a work tree OLD of that commit: `PYTHONPATH=OLD:OLD/tests:OLD/tests/unit python make.py FOLDER NAME`. version-2 is of
e57b265, version-1 of a2c0fb9 (no twins, no counterproofs, no digests of the catalogue). NAME.sqlite.zst is the
database, NAME.json.zst what that code read in it, and computed from it.
"""

import hashlib
import importlib
import itertools
import json
import sys
from contextlib import closing, nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import factories
import ladders
import zstandard
from harness.model.metrics import METRICS

from harness.model.bisection import Mark
from harness.model.guest import Accelerator
from harness.parse.experimentjson import experiment_to_json
from harness.parse.plainjson import canonical, to_plain
from harness.plan import experiment_digest
from harness.report.search.bisectlog import write_log
from harness.run.ab import AbLoop, AbRequest
from harness.store import SqlStore

FIRST = len(sys.argv) > 2 and sys.argv[2] == "version-1"
HOST = {"kernel": "6.1.0-56-amd64", "load": "0.41"}
CONDITIONS = {"accelerator": "tcg", "image": "trixie-fio 4fd1c0", "kab": "0.2.0"}


class KilledError(Exception):
    """The process ended here."""


class Boots:
    """Boots with artifacts and a crash now and then, until the process is killed."""

    def __init__(self, world, kill_after=None):
        self.world, self.kill_after, self.made = world, kill_after, 0

    def __call__(self, asked, spec, kernel):
        if self.made == self.kill_after:
            raise KilledError
        self.made += 1
        trial = self.world(asked, spec, kernel)
        return replace(
            trial,
            artifacts={"fio-job": factories.FIO_JOB, "console.log": f"[    0.0] boot {self.made} \0\n".encode() * 20},
            stage_s={next(iter(factories.STAGES)): 0.25},
            environment={"uname": f"Linux guest {kernel.release}", "cmdline": "mitigations=off"},
            started=factories.STARTED,
        )


def loop(store, boots, prefix, resolve=ladders.kernel):
    numbers = itertools.count()
    made = ladders.loop(store, boots, resolve)
    ab = AbLoop(
        store=store,
        make_trial=boots,
        progress=made.ab.progress,
        metrics=METRICS,
        accelerator=Accelerator.TCG,
        new_run_id=lambda: f"20261122-{prefix}-{next(numbers)}",
        exclusive=lambda _digest: nullcontext(),
    )
    return replace(made, ab=ab)


def asked_ab(**changes):
    older, newer = (ladders.kernel(f"debian:{ladders.VERSIONS[rung]}") for rung in (0, 5))
    experiment = replace(ladders.request().experiment, baseline=older.spec, candidate=newer.spec, **changes)
    return AbRequest(
        experiment=experiment, baseline=older, candidate=newer, conditions=CONDITIONS, host=HOST,
        command=("kab", "ab", older.spec, newer.spec, "--fs", "btrfs"),
    )  # fmt: skip


def fill(store):
    world = ladders.World
    # An A/B run that is finished, and one that is not; its seed is drawn.
    finished, decision = loop(store, Boots(world()), "0101-done").ab.execute(asked_ab())
    with suppress(KilledError):
        loop(store, Boots(world(), 5), "0102-open").ab.execute(asked_ab(seed=None, margin=0.03))
    # A search over packages, finished: skips by hand and by crashes, ends, proofs.
    dead = {15: factories.Outcome.CRASHED, 11: factories.Outcome.BOOT_FAILED}
    request = replace(ladders.request(), conditions=CONDITIONS, host=HOST)
    searching = loop(store, Boots(world(dead=dead)), "0103-packages")
    with suppress(KilledError):
        searching.ab.make_trial.kill_after = 10
        searching.execute(request)
    store.bisections.add_mark("20261122-0103-packages-0", Mark(rung=12, skip=True, reason="by hand", after_trials=1))
    store.bisections.add_mark("20261122-0103-packages-0", Mark(rung=13, skip=True, reason="by hand", after_trials=1))
    store.bisections.add_mark("20261122-0103-packages-0", Mark(rung=13, skip=False, reason="", after_trials=1))
    searching.ab.make_trial.kill_after = None
    searching.execute(request)
    # A search that was killed in the middle of a proof.
    with suppress(KilledError):
        loop(store, Boots(world(), 21), "0104-open").execute(
            replace(ladders.request(metric="queue_depth"), conditions=CONDITIONS, host=HOST)
        )
    # One that was killed after its first part was noted, and before that part's run was made.
    create, killed = store.create_run, loop(store, Boots(world()), "0105-noted")

    def no_run(_run):
        raise KilledError

    store.create_run = no_run
    with suppress(KilledError):
        killed.execute(replace(ladders.request(metric="write_iops"), conditions=CONDITIONS, host=HOST))
    store.create_run = create
    if not FIRST:
        commits = importlib.import_module("test_run_bisect_commits")
        odd = {number for number in range(1, 63) if number % 2}
        tree = commits.Tree(
            comments=frozenset(odd | {commits.REMOVED + 1}) - {commits.RESTORED}, broken=frozenset({31, 32, 40})
        )
        line = replace(loop(store, Boots(tree.boot), "0106-commits", tree.resolve), counter=commits.counter)
        line.execute(replace(tree.asked(), conditions=CONDITIONS, host=HOST))
    liken = importlib.import_module("harness.run.liken")
    sides = liken.likeness_of_ab(store.run(finished.id), store.decision(finished.id), METRICS)
    spec = f"debian:{ladders.VERSIONS[3]}"
    liken.LikenLoop(ab=loop(store, Boots(world()), "0107-test").ab, error=0.01, max_boots=4).execute(
        sides, ladders.kernel(spec), spec=spec, conditions=CONDITIONS, host=HOST, command=("kab", "test", spec)
    )
    assert decision.final


def told_trial(store, run, trial):
    spec = trial.spec
    return {
        "place": [spec.block, spec.order, spec.attempt, str(spec.arm)],
        "seed": str(spec.seed),
        **{name: to_plain(getattr(trial, name)) for name in (
            "kernel_digest", "outcome", "message", "samples", "stage_s", "findings", "environment", "duration_s",
        )},
        "started": trial.started and trial.started.isoformat(),
        "artifacts": {
            name: hashlib.sha256(content).hexdigest() for name, content in store.artifacts(run.id, spec).items()
        },
    }  # fmt: skip


def told(store):
    runs = [store.run(run.id) for run in reversed(store.runs(1000))]
    standing = importlib.import_module("harness.bisect.standing")
    evidence = importlib.import_module("harness.run.bisect" if FIRST else "harness.run.evidence")
    found = {"runs": {}, "searches": {}}
    for run in runs:
        found["runs"][run.id] = {
            **{name: to_plain(getattr(run, name)) for name in (
                "verb", "digest", "baseline", "candidate", "conditions", "host", "command", "kab_version", "state",
            )},
            "seed": str(run.seed),
            "experiment": experiment_to_json(run.experiment),
            "created": run.created.isoformat(),
            "finished": run.finished and run.finished.isoformat(),
            "trials": [told_trial(store, run, trial) for trial in run.trials],
            "decision": to_plain(store.decision(run.id)),
        }  # fmt: skip
        kept, plan = store.bisections, store.bisections.plan(run.id)
        if plan is None:
            continue
        known = evidence.stored_evidence(store, kept, run, plan)
        view = to_plain(standing.view_of(plan, standing.stand(known, METRICS)))
        del view["plan"]
        found["searches"][run.id] = {
            "plan": json.loads(canonical(plan)),
            "outcome": to_plain(kept.outcome(run.id)),
            "marks": to_plain(kept.marks(run.id)),
            "twins": [] if FIRST else to_plain(kept.twins(run.id)),
            "parts": to_plain(kept.parts(run.id)),
            "log": write_log(run.id, known),
            "view": view,
        }
    found["last"] = store.run("last").id
    return found


def digests():
    """Identities of experiments that a command line or a file of kab's names, by all workloads of the catalogue."""
    config = importlib.import_module("harness.config")
    job_condition = importlib.import_module("harness.render.jobidentity").job_condition
    workloads = config.load_workloads()
    found = {}

    def note(name, request):
        experiment = config.build_experiment(request, workloads)
        found[name] = experiment_digest(
            experiment, baseline_digest="ab" * 32, candidate_digest="cd" * 32,
            conditions={**CONDITIONS, **job_condition(experiment.workload)},
        )  # fmt: skip

    for options in (
        {},
        {"fs": "btrfs"},
        {"fs": "xfs", "disk": "virtio-blk,backend=nbd,latency=5ms", "seed": "7"},
        {"metric": "write_iops", "margin": "3%", "error": "0.5%", "max_boots": "60", "vcpus": "4", "memory": "2GiB"},
        *({"workload": name} for name in sorted(workloads)),
    ):
        words = {"baseline": "debian:6.12", "candidate": "debian:7.2", **options}
        note(json.dumps(words, sort_keys=True), config.request_from_options(words))
    folder = Path(importlib.import_module("harness.resources").__file__).parent.parent / "configs" / "experiments"
    for path in sorted(folder.glob("*.yaml")):
        # Files of several comparisons came later; each of their cells is told by what it is.
        if "axes:" not in path.read_text() and "extends:" not in path.read_text():
            note(path.stem, config.load_experiment(path))
    return found


def main(folder, name):
    path = folder / f"{name}.sqlite"
    with closing(SqlStore(path)) as store:
        fill(store)
        expected = told(store)
        with store._engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    if not FIRST:
        expected["digests"] = digests()
    packed = zstandard.ZstdCompressor(level=19)
    path.with_suffix(".sqlite.zst").write_bytes(packed.compress(path.read_bytes()))
    text = json.dumps(expected, indent=1, sort_keys=True)
    path.with_suffix(".json.zst").write_bytes(packed.compress(text.encode()))
    print(*(f"{one}: {len(run['trials'])} {run['state']}" for one, run in expected["runs"].items()), sep="\n")
    path.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
