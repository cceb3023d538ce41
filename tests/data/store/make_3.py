"""Made version-3.* beside it, as make.py did those before, with the code of 1d35c80, the last of that schema.

In a work tree OLD of that commit: `PYTHONPATH=OLD:OLD/tests:OLD/tests/unit/run python make_3.py FOLDER`.
version-3.sqlite.zst is the database, version-3.json.zst what that code read in it, and computed from it.
"""

import importlib
import itertools
import json
import sys
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import factories
import ladders
import zstandard
from olddatabases import told

from harness.bisect.fold import stand
from harness.bisect.view import view_of
from harness.model.bisection import Mark
from harness.parse.plainjson import canonical, to_plain
from harness.report.search.bisectlog import write_log
from harness.run.ab import AbRequest
from harness.run.classify import ClassifyLoop, sides_of_ab
from harness.run.evidence import stored_evidence
from harness.store import SqlStore
from harness.workloads.registry import METRICS

HOST = {"kernel": "6.1.0-56-amd64", "load": "0.41"}
CONDITIONS = {"accelerator": "tcg", "image": "trixie-fio 4fd1c0", "kab": "0.2.0"}
NAME = "version-3"


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
    return ladders.on(ladders.loop(store, boots, resolve), new_run_id=lambda: f"20261122-{prefix}-{next(numbers)}")


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
    boots = Boots(world(dead=dead), 10)
    searching = loop(store, boots, "0103-packages")
    with suppress(KilledError):
        searching.execute(request)
    for rung, skip in ((12, True), (13, True), (13, False)):
        mark = Mark(rung=rung, skip=skip, reason="by hand" if skip else "", after_trials=1)
        store.bisections.add_mark("20261122-0103-packages-0", mark)
    boots.kill_after = None
    searching.execute(request)
    # A search that was killed in the middle of a proof.
    with suppress(KilledError):
        loop(store, Boots(world(), 21), "0104-open").execute(
            replace(ladders.request(metric="queue_depth"), conditions=CONDITIONS, host=HOST)
        )
    # One that was killed before its first boot.
    with suppress(KilledError):
        loop(store, Boots(world(), 0), "0105-noted").execute(
            replace(ladders.request(metric="write_iops"), conditions=CONDITIONS, host=HOST)
        )
    commits = importlib.import_module("test_bisect_commits")
    odd = {number for number in range(1, 63) if number % 2}
    tree = commits.Tree(
        comments=frozenset(odd | {commits.REMOVED + 1}) - {commits.RESTORED}, broken=frozenset({31, 32, 40})
    )
    line = replace(loop(store, Boots(tree.boot), "0106-commits", tree.resolve), counter=commits.counter)
    line.execute(replace(tree.asked(), conditions=CONDITIONS, host=HOST))
    sides = sides_of_ab(store.run(finished.id), store.decision(finished.id), METRICS)
    spec = f"debian:{ladders.VERSIONS[3]}"
    runner = loop(store, Boots(world()), "0107-test").ab.runner
    ClassifyLoop(runner=runner, error=0.01, max_boots=4).execute(
        sides, ladders.kernel(spec), spec=spec, conditions=CONDITIONS, host=HOST, command=("kab", "test", spec)
    )
    assert decision.final


def searched(store, run, plan):
    kept = store.bisections
    known = stored_evidence(store, kept, run, plan)
    view = to_plain(view_of(plan, stand(known, METRICS)))
    del view["plan"]
    return {
        "plan": json.loads(canonical(plan)),
        "outcome": to_plain(kept.outcome(run.id)),
        "marks": to_plain(kept.marks(run.id)),
        "twins": to_plain(kept.identical_builds(run.id)),
        "parts": to_plain(kept.subruns(run.id)),
        "log": write_log(run.id, known),
        "view": view,
    }


def read(store):
    found = {"runs": {}, "searches": {}, "last": store.run("last").id}
    for run in [store.run(run.id) for run in reversed(store.runs(1000))]:
        found["runs"][run.id] = {**told(store, run), "decision": to_plain(store.decision(run.id))}
        plan = store.bisections.plan(run.id)
        if plan is not None:
            found["searches"][run.id] = searched(store, run, plan)
    return found


def main(folder):
    path = folder / f"{NAME}.sqlite"
    with closing(SqlStore(path)) as store:
        fill(store)
        expected = read(store)
        with store._engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    packed = zstandard.ZstdCompressor(level=19)
    path.with_suffix(".sqlite.zst").write_bytes(packed.compress(path.read_bytes()))
    text = json.dumps(expected, indent=1, sort_keys=True)
    path.with_suffix(".json.zst").write_bytes(packed.compress(text.encode()))
    print(*(f"{one}: {len(run['trials'])} {run['state']}" for one, run in expected["runs"].items()), sep="\n")
    path.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
