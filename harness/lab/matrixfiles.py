"""What is asked of a matrix file: which cells, on which kernels, by which rules; and whether its waivers still hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path

from harness.config import Request, find_experiment, load_workloads
from harness.config.document import Scalar, Table
from harness.config.matrix import MatrixFile, load_matrix, select
from harness.config.matrix.gate import read_gate
from harness.config.waivers import check_expiry, load_waivers
from harness.model.matrix import MatrixPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedMatrix:
    """A matrix file with a command line over it."""

    plan: MatrixPlan
    # Cells of the file that are left out this time.
    left_out: int
    # Accelerator, connection and files for results, as the file or the command line has them.
    request: Request


def read_matrix(
    name: str,
    request: Request,
    *,
    gate: bool = False,
    only: Sequence[str] = (),
    shard: str | None = None,
    waivers: Path | None = None,
    policy: Mapping[str, str | None] | None = None,
) -> AskedMatrix:
    """The matrix of a file or of a name that ships with kab, all of it checked, those cells left that are meant.

    `request` goes over what the file says for all cells; its kernels are those of every cell. `gate`: with policy and
    waivers. `only` ("AXIS=PATTERN") and `shard` ("I/N") choose cells, none perhaps. `waivers`: another file of them.
    `policy`: keys of a file's `gate`, over it. Raises ConfigError with FILE:LINE or the option.
    """
    file = asked_file(name, replace(request, baseline=None, candidate=None), waivers=waivers, policy=policy)
    whole = file.plan(catalogue=load_workloads(), baseline=request.baseline, candidate=request.candidate, gate=gate)
    chosen = select(whole.cells, only, shard)
    return AskedMatrix(
        plan=replace(whole, cells=chosen),
        left_out=len(whole.cells) - len(chosen),
        request=Request(accelerator=file.accelerator, connect=file.connect, json=file.json, html=file.html),
    )


def asked_file(
    name: str,
    request: Request,
    *,
    waivers: Path | None = None,
    policy: Mapping[str, str | None] | None = None,
) -> MatrixFile:
    """A matrix file, or one that ships with kab, with a command line over it; as ``read_matrix``, which takes cells."""
    file = load_matrix(find_experiment(name), over=request)
    said = {key: text for key, text in (policy or {}).items() if text is not None}
    options = {key: f"--{key.replace('_', '-')}" for key in said}
    words = Table(
        entries={key: Scalar(text=text, where=options[key]) for key, text in said.items()},
        places=options,
        where="the command line",
    )
    return replace(
        file,
        policy=replace(file.policy, **read_gate(words)),
        waivers=file.waivers if waivers is None else load_waivers(waivers),
    )


def check_end(plan: MatrixPlan, versions: Mapping[str, str]) -> None:
    """Refuse waivers that hold no more: by this host's clock, or by a candidate of their cells.

    `versions`: spec of a candidate -> its version, of those that are known by now. Raises ConfigError with FILE:LINE.
    """
    # By the clock and zone of whoever wrote it.
    today = datetime.now().astimezone().date()
    for waiver in plan.waivers:
        specs = {cell.experiment.candidate for cell in plan.cells if fnmatchcase(cell.name, waiver.cells)}
        check_expiry(
            (waiver,), today=today, candidates={spec: versions[spec] for spec in sorted(specs) if spec in versions}
        )
