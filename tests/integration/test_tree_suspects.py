"""`kab bisect report --tree`: suspects from a clone of Linux at the edges of a stored search over packages."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from ladders import World, changes, loop, request
from repositories import BACKPORTED, RESTORED, git, make_linux

from harness.cli.errors import run_command
from harness.errors import ExitCode
from harness.interfaces import NullProgress
from harness.lab import Lab
from harness.lab.treesuspects import tree_lister
from harness.model.history import Step
from harness.model.kernel import Kernel
from harness.store import SqlStore

pytestmark = pytest.mark.integration

RELEASES = "Few or no commits are listed of new upstream releases: 6.19, 7.0, 7.1, 7.2."


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STATE", "CACHE"):
        monkeypatch.setenv(f"KAB_{name}_DIR", str(tmp_path / name.lower()))
    monkeypatch.setenv("KAB_SETTINGS", str(tmp_path / "settings.yaml"))


@pytest.fixture
def linux(tmp_path: Path) -> Path:
    make_linux(tmp_path / "linux")
    return tmp_path / "linux"


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(progress=NullProgress()) as opened:
        yield opened


def without_releases(older: Kernel, newer: Kernel) -> Step:
    """A changelog that lists one commit of btrfs, which mainline has too, and no release."""
    (first, second) = changes(older, newer).changes
    return Step(
        older=older.version,
        newer=newer.version,
        changes=(first, replace(second, subject=BACKPORTED, point_release="7.2.3")),
        gaps=(RELEASES,),
    )


@pytest.fixture
def stored(tmp_path: Path) -> str:
    """A stored search, made without a tree."""
    with SqlStore(tmp_path / "state" / "results.sqlite") as store:
        run, _ = replace(loop(store, World()), changes=without_releases).execute(request())
    return run.id


def report(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert run_command(["bisect", "report", *words]) == ExitCode.GOOD
    return " ".join(capsys.readouterr().out.split())


def restored(text: str) -> str:
    return text.partition("Restored: last ")[2].partition(" Kernels booted ")[0]


def test_the_report_says_how_to_get_what_is_not_listed(stored: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = restored(report(capsys))
    # The likeliest of few is not the likeliest of all.
    said = "Suspects: 1 of 2 changes that the changelog lists; not listed are those of new upstream releases 6.19, "
    assert f"{said}7.0, 7.1, 7.2: " in text
    assert "likeliest" not in text
    assert f"`--tree` lists what is missing, from a clone of Linux: kab bisect report {stored} --tree ~/linux" in text


def test_the_commit_that_did_it_heads_the_suspects(
    stored: str, linux: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    git(linux, "tag", "-d", "v6.18.15")
    text = restored(report(capsys, "--tree", str(linux)))
    sha = git(linux, "rev-parse", "topic")
    other = git(linux, "log", "--format=%H", "-1", f"--grep={BACKPORTED}", "main")
    said = text.partition("Suspects, the likeliest first, of ")[2]
    assert said.startswith("2 changes that the changelog lists and 3 commits of v6.18..v7.2.6 to fs/btrfs: ")
    # Listed by both it is one suspect, with release and hash.
    first, second = (
        said.index(words) for words in (f"{RESTORED} ({sha[:12]}; ", f"{BACKPORTED} (7.2.3, {other[:12]};")
    )
    assert first < second
    assert said.count(BACKPORTED) == 1
    assert "Few or no commits" not in text
    assert f"{linux} has no tag v6.18.15: v6.18 stands for it" in text
    assert f"kab bisect git:{linux} --from-run {stored} -- fs/btrfs" in text


def test_the_removed_edge_has_no_tags_and_says_so(stored: str, linux: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = report(capsys, "--tree", str(linux)).partition("Removed: last ")[2].partition("Restored: last ")[0]
    assert "not listed are those of new upstream releases 6.19, 7.0, 7.1, 7.2: " in text
    assert f"Mind: {linux} has no tag v6.1.192 or v6.1. Is it a clone of Linux?" in text
    assert "Suspects: 1 of 2 changes that the changelog lists; not" in text


def test_json_and_mail_have_them(stored: str, linux: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = tmp_path / "search.json", tmp_path / "mail.txt"
    report(capsys, "--tree", str(linux), "--json", str(files[0]), "--mail", str(files[1]))
    removed, edge = json.loads(files[0].read_text())["edges"]
    assert edge["suspects"][0]["change"] == {
        "subject": RESTORED, "origin": "upstream", "version": "7.2.6-1", "point_release": None, "cves": [],
        "architectures": [], "commit": git(linux, "rev-parse", "topic"),
    }  # fmt: skip
    assert edge["gaps"] == []
    assert edge["tree"] == {
        "tree": str(linux), "older": "v6.18.15", "newer": "v7.2.6", "exact": True, "paths": ["fs/btrfs"], "commits": 2,
        "notes": ["Commits of v6.18.15 there that v7.2.6 lacks (stable branches fork), not listed: 1."],
    }  # fmt: skip
    assert (removed["gaps"], removed["tree"]["newer"]) == ([RELEASES], "")
    mail = " ".join(files[1].read_text().split())
    assert "2 commits of v6.18.15..v7.2.6 to fs/btrfs" in mail
    assert str(linux) not in mail


def test_a_search_keeps_what_the_tree_listed(lab: Lab, linux: Path) -> None:
    asked = request()
    search = replace(loop(lab.store, World()), changes=without_releases, tree=tree_lister(lab, linux))
    run, outcome = search.execute(asked)
    edge = lab.store.bisections.outcome(run.id).edges[1]
    assert edge == outcome.edges[1]
    assert edge.tree.suspects[0].change.commit == git(linux, "rev-parse", "topic")
    assert [suspect.change.subject for suspect in edge.suspects] == [BACKPORTED]


def test_a_search_does_not_fail_for_a_tree_that_goes_away(lab: Lab, linux: Path) -> None:
    asked = request()
    lister = tree_lister(lab, linux)
    linux.rename(linux.with_name("elsewhere"))
    _, outcome = replace(loop(lab.store, World()), tree=lister).execute(asked)
    assert all(edge.proven for edge in outcome.edges)
    (note,) = outcome.edges[1].tree.notes
    assert note == f"there is no folder {linux}. Name a git work tree, or a bare repository."
    assert outcome.edges[1].tree.suspects == ()


def test_the_settings_name_a_tree_for_all(
    stored: str, linux: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "settings.yaml").write_text(f"tree: {linux}\n")
    assert f"{RESTORED} (" in report(capsys)
    assert run_command(["report", stored]) == ExitCode.GOOD
    assert git(linux, "rev-parse", "topic")[:12] in capsys.readouterr().out
    (tmp_path / "settings.yaml").write_text(f"tree: {tmp_path}/nowhere\n")
    assert f"Mind: there is no folder {tmp_path}/nowhere" in report(capsys)


@pytest.mark.parametrize("words", [["bisect", "debian:6.1", "debian:7.3"], ["bisect", "report"]])
def test_what_is_no_repository_is_refused_before_anything(
    stored: str, tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetched(*_: object, **__: object) -> None:
        raise AssertionError("nothing may be fetched or booted")

    monkeypatch.setattr(Lab, "kernels", property(fetched))
    monkeypatch.setattr(Lab, "bench", fetched)
    for folder, said in ((tmp_path, "is not a git repository"), (tmp_path / "nowhere", "there is no folder")):
        assert run_command([*words, "--tree", str(folder)]) == ExitCode.USAGE
        assert said in capsys.readouterr().err


def test_a_search_over_commits_needs_no_tree(linux: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bisect", f"git:{linux}@v6.18..v7.2", "--tree", str(linux)]
    assert run_command(words) == ExitCode.USAGE
    assert "--tree is for searches over packages" in capsys.readouterr().err
