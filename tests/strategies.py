"""Hypothesis strategies for everything that is stored."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import strategies as st

from harness.model.experiment import Arm, BlockPlace, Experiment, Place, RungPlace, TrialSpec
from harness.model.guest import DiskBackend, DiskBus, DiskSpec, FilesystemSpec, GuestSpec
from harness.model.run import KernelRecord, Run
from harness.model.trial import Finding, FindingKind, Outcome, Stage, Trial
from harness.model.verdict import Caution, CautionKind, Choice, ChoiceKind, Comparison, Decision, Verdict
from harness.model.workload import FIRST_KIND, Workload

# Any code point: NUL and lone surrogates (undecodable bytes of a command line) included.
text = st.text(st.characters(codec=None), max_size=20)
words = st.lists(text, max_size=3).map(tuple)
numbers = st.floats(allow_nan=False)
counts = st.integers(0, 2**31 - 1)
sizes = st.integers(0, 2**63)
seconds = st.floats(allow_nan=False, allow_infinity=False)
texts = st.dictionaries(text, text, max_size=3)
names = st.text(st.characters(codec="ascii", exclude_categories=["C"]), min_size=1, max_size=20)
zones = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45)), None])
moments = st.datetimes(datetime(1971, 1, 2), datetime(8999, 12, 30), timezones=zones)  # noqa: DTZ001


def experiments() -> st.SearchStrategy[Experiment]:
    """Experiments with every field varied."""
    workloads = st.builds(
        Workload,
        name=text,
        title=text,
        stands_for=text,
        template=text,
        parameters=st.dictionaries(text, text | sizes | numbers | st.booleans(), max_size=4),
        warmup_s=numbers,
        runtime_s=numbers,
        iterations=counts,
        deciding=words,
        subsystems=words,
        words=words,
        modules=words,
        disk_bytes=sizes,
        file=text,
        kind=st.just(FIRST_KIND) | text,
        own=st.dictionaries(text, words, max_size=2),
    )
    return st.builds(
        Experiment,
        baseline=text,
        candidate=text,
        workload=workloads,
        disk=st.builds(
            DiskSpec,
            bus=st.sampled_from(DiskBus),
            backend=st.sampled_from(DiskBackend),
            size_bytes=sizes,
            latency_s=numbers,
            device=text,
        ),
        filesystem=st.builds(FilesystemSpec, type=text, mount_options=words, mkfs_options=words),
        guest=st.builds(GuestSpec, vcpus=counts, memory_mib=counts, cmdline=words, cpu_model=text),
        metric=text,
        margin=numbers,
        error=numbers,
        max_boots=counts,
        seed=st.none() | sizes,
    )


def block_places() -> st.SearchStrategy[BlockPlace]:
    """Places in an A/B comparison."""
    return st.builds(BlockPlace, block=counts, order=st.integers(0, 1), arm=st.sampled_from(Arm), attempt=counts)


def rung_places() -> st.SearchStrategy[RungPlace]:
    """Places on a ladder."""
    return st.builds(RungPlace, rung=counts, boot=counts)


def trials(places: st.SearchStrategy[Place] = block_places()) -> st.SearchStrategy[Trial[Place]]:  # noqa: B008
    """Trials with every field varied, at any of `places`."""
    return st.builds(
        Trial,
        spec=st.builds(TrialSpec, place=places, seed=st.integers(0, 2**128)),
        kernel_digest=names,
        outcome=st.sampled_from(Outcome),
        message=text,
        samples=st.dictionaries(names, st.lists(numbers, max_size=3).map(tuple), max_size=3),
        stage_s=st.dictionaries(st.sampled_from(Stage), seconds, max_size=3),
        findings=st.lists(
            st.builds(
                Finding,
                kind=st.sampled_from(FindingKind),
                message=text,
                excerpt=text,
                time_s=st.none() | numbers,
            ),
            max_size=2,
        ).map(tuple),
        environment=texts,
        artifacts=st.dictionaries(names, st.binary(max_size=50), max_size=3),
        started=st.none() | moments,
        duration_s=seconds,
    )


def runs(id: str) -> st.SearchStrategy[Run]:  # noqa: A002
    """Open runs with every field varied, but for the id and the trials."""
    kernels = st.builds(KernelRecord, spec=text, release=text, version=text, source=text, digest=text, provenance=texts)
    return st.builds(
        Run,
        id=st.just(id),
        verb=names,
        digest=names,
        experiment=experiments(),
        baseline=kernels,
        candidate=kernels,
        seed=st.integers(0, 2**128),
        conditions=texts,
        host=texts,
        command=words,
        kab_version=names,
        created=moments,
        # A run that has its parent in a database is test_store_sql's.
        parent=st.none(),
    )


def decisions() -> st.SearchStrategy[Decision]:
    """Decisions with every field varied."""
    comparisons = st.builds(
        Comparison,
        metric=text,
        blocks=counts,
        baseline=st.none() | numbers,
        candidate=st.none() | numbers,
        ratio=st.none() | numbers,
        low=st.none() | numbers,
        high=st.none() | numbers,
        error=numbers,
        spread=st.none() | numbers,
        verdict=st.sampled_from(Verdict),
        notes=words,
        cautions=st.lists(
            st.builds(Caution, kind=st.sampled_from(CautionKind), value=numbers, arm=st.none() | st.sampled_from(Arm)),
            max_size=2,
        ).map(tuple),
    )
    return st.builds(
        Decision,
        verdict=st.sampled_from(Verdict),
        metric=st.none() | names,
        how=text,
        reason=text,
        final=st.booleans(),
        comparisons=st.dictionaries(text, comparisons, max_size=2),
        blocks_left=st.none() | counts,
        choice=st.none()
        | st.builds(Choice, kind=st.sampled_from(ChoiceKind), candidates=counts, error=numbers, run=text),
    )
