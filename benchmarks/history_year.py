"""How long a question of `kab history` takes in a store with a year of nightlies, on SQLite and on PostgreSQL.

    python benchmarks/history_year.py FOLDER [--nights 365] [--cells 50] [--boots 10] [--metrics 15] [--only sqlite]

Makes both in FOLDER (some GiB; kept, and used again): invented values in bulk, an interleaved A/B of so many boots for
each cell and night. Each question is asked by a process of its own: once after the files were dropped from the page
cache and the server was started again ("cold"), then five times ("warm", the median). "CPU" is that of the process
that asks, without what it imports: on a machine that does other things, the rest is waiting. Prints a table.
"""

import argparse
import importlib
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select

from harness.host import process
from harness.model.experiment import Arm, Experiment
from harness.model.guest import DiskSpec, FilesystemSpec
from harness.model.matrix import Cell, MatrixPlan
from harness.model.run import KernelRecord, Parent, Run, RunState, SubrunRole
from harness.model.workload import Workload
from harness.store import SqlStore
from harness.store.history import night_row, series_row
from harness.store.inserting import insert_stored
from harness.store.rows import run_row
from harness.store.schema import boot_values, matrices, nights, runs, samples, series, trials

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
daemons: Any = importlib.import_module("daemons")

_START = datetime(2026, 1, 1, 2, tzinfo=UTC)
_QUESTIONS: dict[str, dict[str, str]] = {
    "a cell, one metric": {"matrix": "nightly", "cell": "cell-7/btrfs", "metric": "metric_3"},
    "a workload (5 cells), one metric": {"workload": "workload-1", "metric": "metric_3"},
    "all cells, one metric": {"metric": "metric_3"},
}
_ASK = """
import json, sys, time
since = time.perf_counter()
from harness.store import SqlStore
imported, cpu = time.perf_counter(), time.process_time()
with SqlStore(sys.argv[1]) as store:
    wanted = json.loads(sys.argv[2])
    found = store.history.nights(**wanted) if wanted else store.history.series()
    done, cpu = time.perf_counter(), time.process_time() - cpu
values = sum(len(night.values) for kept in found.values() for night in kept) if wanted else len(found)
print(json.dumps({"import_s": imported - since, "ask_s": done - imported, "cpu_s": cpu, "values": values}))
"""


def plan(cells: int) -> MatrixPlan:
    """Workloads by filesystems, of one series."""
    return MatrixPlan(
        title="nightly",
        cells=tuple(
            Cell(
                name=f"debian:7.2/cell-{number}/btrfs",
                axes={"series": "debian:7.2", "workload": f"cell-{number}", "fs": "btrfs"},
                experiment=Experiment(
                    baseline="debian:6.12",
                    candidate="debian:7.2",
                    workload=Workload(
                        name=f"workload-{number % 10}",
                        title="Invented",
                        stands_for="Nothing",
                        template="shared-file.fio.j2",
                        parameters={"threads": 4, "block_bytes": 16384},
                        deciding=("metric_0",),
                    ),
                    disk=DiskSpec(latency_s=0.002),
                    filesystem=FilesystemSpec(mount_options=("nodatacow",)),
                ),
            )
            for number in range(cells)
        ),
    )


def kernel(night: int) -> KernelRecord:
    """A new one each night."""
    release = f"7.2.{night}+deb13-cloud-amd64"
    return KernelRecord(
        spec="debian:7.2",
        release=release,
        version=f"7.2.{night}-1",
        source="debian",
        digest=f"{night:064x}",
        provenance={"suite": "trixie", "package": f"linux-image-{release}", "sha256": f"{night:064x}"},
    )


def night_run(planned: MatrixPlan, night: int, number: int | None) -> Run:
    """Of a night: the matrix itself, or a cell's run."""
    cell = planned.cells[number or 0]
    name = f"night-{night}"
    return Run(
        id=name if number is None else f"{name}-{number}",
        verb="nightly" if number is None else "ab",
        digest=f"{night:032x}{number or 0:032x}",
        experiment=cell.experiment,
        baseline=kernel(0),
        candidate=kernel(night + 1),
        seed=night,
        conditions={
            "accelerator": "kvm", "qemu": "10.0.2", "libvirt": "11.0.0", "image": "trixie-fio 4fd1c0", "kab": "0.1.0",
            "host_cpu": "AMD EPYC 9R14", "host_kernel": f"6.12.{night // 60}-amd64",
        },
        host={"kernel": "6.12.43-amd64", "memory": "64 GiB", "load": "0.41 0.30 0.20", "governor": "performance"},
        command=("kab", "nightly", "nightly.yaml"),
        kab_version="0.1.0",
        created=_START + timedelta(days=night, minutes=number or 0),
        state=RunState.FINISHED,
        parent=None if number is None else Parent(run_id=name, role=SubrunRole.CELL, place=cell.name),
    )  # fmt: skip


def stored(table: Any, row: dict[str, Any], connection: Connection) -> list[Any]:
    """The row as its columns are stored."""
    dialect = connection.dialect
    binds = {name: table.c[name].type.dialect_impl(dialect).bind_processor(dialect) for name in row}
    return [value if (bind := binds[name]) is None else bind(value) for name, value in row.items()]


def fill(store: SqlStore, sizes: argparse.Namespace) -> None:
    """A year: a transaction for each night."""
    planned, rng = plan(sizes.cells), random.Random(1)
    names = [f"metric_{number}" for number in range(sizes.metrics)]
    keys: dict[str, int] = {}
    run_key = trial_key = 0
    columns = (
        "key", "run_key", "block", "position", "arm", "attempt", "seed", "kernel_digest", "outcome", "message",
        "metrics", "stage_s", "findings", "environment", "started", "duration_s",
    )  # fmt: skip
    texts = ('""', json.dumps(names), '{"boot":5.1,"measure":12.6}', "[]", '{"uname":"Linux guest","fio":"fio-3.33"}')
    for night in range(sizes.nights):
        tables: dict[Any, tuple[tuple[str, ...], list[Any]]] = {
            table: (columns_, [])
            for table, columns_ in (
                (trials, columns),
                (samples, ("trial_key", "metric", "iteration", "value")),
                (series, ("key", "digest", "matrix", "cell", "series", "workload", "metric")),
                (boot_values, ("series_key", "trial_key", "run_key", "value")),
            )
        }
        with store.writing() as connection:
            for number in (None, *range(sizes.cells)):
                run_key += 1
                row = {"key": run_key, **run_row(night_run(planned, night, number))}
                insert_stored(connection, runs, tuple(row), [stored(runs, row, connection)])
                if number is None:
                    row = {"run_key": run_key, "plan": None, "outcome": None}
                    insert_stored(connection, matrices, tuple(row), [stored(matrices, row, connection)])
                    continue
                followed = night_row(run_key, planned, planned.cells[number])
                insert_stored(connection, nights, tuple(followed), [stored(nights, followed, connection)])
                level = [1000 * rng.uniform(0.97, 1.03) for _ in names]
                for boot in range(sizes.boots):
                    trial_key += 1
                    arm = Arm.CANDIDATE if boot % 2 else Arm.BASELINE
                    tables[trials][1].append(
                        (trial_key, run_key, boot // 2, boot % 2, arm.value, 0, str(boot), "d" * 64, "ok", *texts,
                         _START.isoformat(), 20.0)
                    )  # fmt: skip
                    values = [value * rng.uniform(0.98, 1.02) for value in level]
                    tables[samples][1].extend(
                        (trial_key, name, 0, value) for name, value in zip(names, values, strict=True)
                    )
                    if arm is Arm.BASELINE:
                        continue
                    for name, value in zip(names, values, strict=True):
                        row = series_row(followed, name)
                        if row["digest"] not in keys:
                            keys[row["digest"]] = len(keys) + 1
                            made = stored(series, {"key": len(keys), **row}, connection)
                            tables[series][1].append(made)
                        tables[boot_values][1].append((keys[row["digest"]], trial_key, run_key, value))
            for table, (names_, rows) in tables.items():
                insert_stored(connection, table, names_, rows)


def tidy(store: SqlStore) -> None:
    """What a server does by itself in the hours after so many rows came."""
    with store._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")


def drop(folder: Path) -> None:
    """Take the files of a folder out of the page cache."""
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as stream:
                os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def ask(url: str, wanted: dict[str, str]) -> dict[str, float]:
    """Of a process of its own."""
    since = time.perf_counter()
    done = process.run([sys.executable, "-c", _ASK, url, json.dumps(wanted)], timeout_s=600)
    found: dict[str, float] = json.loads(done.stdout)
    return {**found, "process_s": time.perf_counter() - since}


@contextmanager
def sqlite(folder: Path) -> Iterator[tuple[str, Any]]:
    """The file, and what makes it cold."""
    yield f"sqlite:///{folder}/year.sqlite", lambda: drop(folder)


@contextmanager
def postgresql(folder: Path) -> Iterator[tuple[str, Any]]:
    """The server, and what makes it cold."""
    user = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
    new = not (folder / "data").exists()
    if user:
        os.system(f"chown nobody:nogroup {folder}")
    server = daemons.PostgresServer(folder, user)
    if new:
        server.make(None)
    server.start()

    def cold() -> None:
        server.stop()
        drop(folder)
        server.start()

    try:
        yield server.url.format("postgres"), cold
    finally:
        server.stop()


def main() -> None:
    """Make, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    for name, value in (("nights", 365), ("cells", 50), ("boots", 10), ("metrics", 15)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    sizes = parser.parse_args()
    print("| database | question | values | cold s | warm s | CPU s | whole process s |\n|---|---|---|---|---|---|---|")
    for make in (sqlite, postgresql):
        name = make.__name__
        if sizes.only not in {None, name} or (name == "postgresql" and daemons.no_postgres_server):
            continue
        folder = sizes.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        with make(folder) as (url, cold):
            print(f"{name}: load {os.getloadavg()[0]:.1f}", file=sys.stderr)
            with SqlStore(url) as store:
                with store.reading() as connection:
                    there = connection.execute(select(func.count()).select_from(nights)).scalar()
                if not there:
                    since = time.perf_counter()
                    fill(store, sizes)
                    if name == "postgresql":
                        tidy(store)
                    print(f"{name}: made in {time.perf_counter() - since:.0f} s", file=sys.stderr)
            for question, wanted in {**_QUESTIONS, "which series there are": {}}.items():
                cold()
                first = ask(url, wanted)
                warm = [ask(url, wanted) for _ in range(5)]
                times = [statistics.median(one[part] for one in warm) for part in ("ask_s", "cpu_s", "process_s")]
                cells = (name, question, f"{first['values']:,.0f}", *(f"{s:.2f}" for s in (first["ask_s"], *times)))
                print("|", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
