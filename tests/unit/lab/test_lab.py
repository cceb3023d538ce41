"""The laboratory as a program uses it: one bench for many runs, requests in words, commands that make runs again."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from labs import InventedBench, InventedLab
from ladders import World

from harness.cli.ab import ab
from harness.cli.bisect import run as bisect_run
from harness.cli.bisect import search_request
from harness.config import Settings, build_experiment, load_workloads, request_from_options
from harness.errors import ConfigError, HostError
from harness.host.paths import Paths
from harness.kbuild.ahead import BuildAhead
from harness.lab import Lab, Request, request
from harness.lab.bench import OpenBench
from harness.lab.ranges import BuildOptions
from harness.lab.searchrequest import SearchRequest, search_command
from harness.model.bisection import Answer, EdgeWish
from harness.model.guest import Accelerator
from harness.model.run import RunState
from harness.model.verdict import Verdict

pytestmark = pytest.mark.unit

SLOWER = request(baseline="debian:6.1.192-2", candidate="debian:6.12.43-1", seed="3")


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAB_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("KAB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("KAB_SETTINGS", str(tmp_path / "settings.yaml"))


@pytest.fixture
def benches() -> list[object]:
    """What each bench was opened with."""
    return []


@pytest.fixture
def lab(benches: list[object]) -> Iterator[Lab]:
    with InventedLab.of(World(), benches=benches)(None) as opened:
        yield opened


def ab_options(command: tuple[str, ...]) -> Request:
    """What a stored `kab ab` asks for; a word that it does not know is an error."""
    assert command[:2] == ("kab", "ab")
    options = dict(ab.make_context("ab", list(command[2:])).params)
    for name in ("file", "fresh", "progress", "destroy_data"):
        options.pop(name)
    return request_from_options(options)


def test_two_kernels(lab: Lab) -> None:
    run, decision = lab.compare(SLOWER)
    assert decision.verdict is Verdict.SLOWER
    told = lab.report(run.id)
    assert told.exit_code == 1
    assert "6.12.43-1" in told.text()
    assert told.html().startswith("<!DOCTYPE html>")
    # Nobody gave a command: it is the one that asks for the same.
    assert run.command == (
        "kab", "ab", "debian:6.1.192-2", "debian:6.12.43-1", "--seed", "3",
    )  # fmt: skip
    assert ab_options(run.command).seed == 3


def test_one_bench_serves_many_runs(lab: Lab, benches: list[object]) -> None:
    with lab.bench(accelerator="tcg") as bench:
        compared, _ = lab.compare(SLOWER, bench=bench)
        _, outcome = lab.search(SearchRequest(ends=("debian:6.1", "debian:7.3")), bench=bench)
        _, like = lab.classify("debian:6.12.90-2", like=compared.id, bench=bench)
    assert outcome.answer is Answer.FOUND
    assert like.verdict is Verdict.SLOWER
    assert benches == [{"accelerator": "tcg"}]
    lab.compare(SLOWER)
    assert len(benches) == 2


def test_the_run_that_is_returned_is_the_one_that_is_stored(lab: Lab) -> None:
    """Its report as JSON said that it was open."""
    run, _ = lab.compare(SLOWER)
    assert run == lab.store.run(run.id)
    assert run.state is RunState.FINISHED
    assert run.finished is not None


def test_the_last_run_to_be_like_is_no_classification(lab: Lab) -> None:
    compared, _ = lab.compare(SLOWER)
    for _ in range(2):
        run, decision = lab.classify("debian:6.12.90-2", like="last")
        assert decision.verdict is Verdict.SLOWER
        assert run.verb == "test"
        assert compared.id in decision.how


def test_there_may_be_no_run_to_be_like(lab: Lab) -> None:
    with pytest.raises(ConfigError, match="no run to be like"):
        lab.classify("debian:6.12.90-2", like="last")


def test_a_bench_is_not_what_another_request_wants() -> None:
    host = SimpleNamespace(root=Path("/"), disks=lambda **_: None)
    bench = OpenBench(
        SimpleNamespace(lease=None),
        connection=SimpleNamespace(host=host),
        accelerator="tcg",
        connect="embed",
        destroy_data="",
    )
    for asked in (Request(), request(accel="auto"), request(accel="tcg"), request(connect="embed")):
        bench.check_request(asked)
    for asked, words in ((request(accel="kvm"), "accelerator kvm"), (request(connect="qemu:///x"), "qemu:///x")):
        with pytest.raises(ConfigError, match=words):
            bench.check_request(asked)


def test_a_stored_accelerator_is_asked_for_again(lab: Lab, benches: list[dict[str, object]]) -> None:
    run, _ = lab.compare(SLOWER)
    lab.classify("debian:6.12.90-2", like=run.id)
    assert [bench["accelerator"] for bench in benches] == [None, "tcg"]


def test_settings_and_folders_are_passed_and_not_put_into_the_environment(tmp_path: Path) -> None:
    before = dict(os.environ)
    paths = Paths(cache=tmp_path / "c", state=tmp_path / "s")
    settings = Settings(debian_mirror="http://127.0.0.1:9/debian")
    with Lab(settings=settings, paths=paths) as lab:
        assert lab.store.runs() == []
        assert lab.kernels.cached() == []
        assert lab.images.all() == []
        told = lab.environment
        mirror = next(check for check in lab.examine() if check.name == "mirror")
    assert dict(os.environ) == before
    assert told["KAB_DEBIAN_MIRROR"] == settings.debian_mirror
    assert told["KAB_CACHE_DIR"] == str(paths.cache)
    assert settings.debian_mirror in mirror.detail
    assert paths.database.is_file()


def test_what_is_fetched_comes_from_the_mirror_of_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAB_DEBIAN_MIRROR", "http://127.0.0.1:8/debian")
    (tmp_path / "settings.yaml").write_text("debian_mirror: http://127.0.0.1:9/debian\n")
    # The variable speaks over the file, and settings that are given over both.
    for lab, port in ((Lab(), 8), (Lab(settings=Settings(debian_mirror="http://127.0.0.1:7/debian")), 7)):
        with lab, pytest.raises(HostError, match=f"127.0.0.1:{port}"):
            lab.resolve("debian:6.12")
    monkeypatch.delenv("KAB_DEBIAN_MIRROR")
    with Lab() as lab, pytest.raises(HostError, match=r"127\.0\.0\.1:9"):
        lab.resolve("debian:6.12")


def test_ab_runs_inside_a_search_can_be_made_again(lab: Lab) -> None:
    asked = request(fs="ext4", set=["jobs=8"], accel="tcg", cmdline=["quiet"], seed="5")
    wanted = SearchRequest(
        experiment=asked, ends=("debian:6.1", "debian:7.3"), edges=EdgeWish.BOTH, confidence="95%", tree=Path("linux")
    )
    run, _ = lab.search(wanted)
    subruns = [lab.store.run(subrun.run_id) for subrun in lab.store.bisections.subruns(run.id)]
    assert len(subruns) >= 3
    for subrun in subruns:
        words = ab_options(subrun.command)
        assert words.accelerator == "tcg"
        assert build_experiment(words, load_workloads()) == subrun.experiment
    assert run.command == search_command(wanted)


def test_builds_stand_still_while_a_guest_measures(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    class Ahead(BuildAhead):
        def hold(self) -> None:
            told.append("hold")

        def release(self) -> None:
            told.append("release")

    monkeypatch.setattr("harness.lab.search.BuildAhead", Ahead)
    lab.search(SearchRequest(ends=("debian:6.1", "debian:7.3")))
    boots = len(told) // 5
    assert boots >= 8
    assert told == ["release", "release", "hold", "hold", "release"] * boots


SEARCHES = (
    SearchRequest(),
    SearchRequest(ends=("debian:6.1", "debian:7.3"), suites=("a", "b"), flavour="amd64", every=True),
    SearchRequest(ladder="debian:6.12.*", confidence="90%", crash_is_slow=True, fresh=True, edges=EdgeWish.REMOVED),
    SearchRequest(ends=("git:/linux@v6.7..v7.2", "fs/btrfs", "mm"), build_fixes=("abc", "def"), tree=Path("/l")),
    SearchRequest(ends=("git:/linux@v6.7", "git:/linux@v7.2", "fs"), experiment=request(fs="xfs", accel="kvm")),
    SearchRequest(
        ends=("git:/linux@v7.1",), series="patches/", series_version="2",
        build=BuildOptions(config="my config", fragments=("a", "b"), compiler="clang", builder="/b"),
    ),
    SearchRequest(ends=("git:/linux@v7.1",), config_diff=(Path("good"), Path("bad one"))),
    SearchRequest(ends=("git:/linux", "fs/btrfs"), from_run="20261122"),
    SearchRequest(resume=True, experiment=request(max_boots="90")),
)  # fmt: skip


@pytest.mark.parametrize("wanted", SEARCHES, ids=range(len(SEARCHES)))
def test_commands_of_searches_ask_for_the_same(wanted: SearchRequest) -> None:
    command = search_command(wanted)
    assert command[:2] == ("kab", "bisect")
    options = dict(bisect_run.make_context("run", list(command[2:])).params)
    for name in ("progress", "destroy_data", "mail"):
        options.pop(name)
    read = search_request(options.pop("ends"), options.pop("file"), options)
    # Where an option was said is another place.
    assert replace(read, experiment=Request()) == replace(wanted, experiment=Request())
    assert read.experiment == wanted.experiment


def test_requests_are_read_as_options_are() -> None:
    assert request(set={"jobs": "8", "depth": "2"}) == request(set=["jobs=8", "depth=2"])
    assert request(set="jobs=8") == request(set=["jobs=8"])
    with pytest.raises(ConfigError, match="--margin"):
        request(margin="5x")
    with pytest.raises(ConfigError, match="latency"):
        request(disk="nvme,latncy=2ms")


def test_a_bench_for_tests_has_what_a_real_one_has() -> None:
    public = {name for name in vars(OpenBench) if not name.startswith("_")}
    assert public - {"ready"} == {name for name in vars(InventedBench) if not name.startswith("_")}
    assert InventedBench(World(), Accelerator.KVM).conditions(None) == {"accelerator": "kvm"}
