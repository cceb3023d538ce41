"""A folder of pages: only what changed is written, only what kab made is replaced or removed."""

import json
from pathlib import Path

import pytest

from harness.errors import ConfigError, HostError
from harness.host.locks import try_lock
from harness.host.pagefolder import LIST, Page, check_page_folder, publish

pytestmark = pytest.mark.unit


def pages(**texts: str) -> dict[str, Page]:
    return {f"{name}.html": Page(make=lambda text=text: text) for name, text in texts.items()}


def there(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name[0] != "."}


def test_a_second_time_nothing_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "site"
    done = publish(folder, {"index.html": Page(make=lambda: "one"), "run/a.html": Page(make=lambda: "two")})
    assert (done.written, done.unchanged, done.removed) == (2, 0, 0)
    assert there(folder) == {"index.html", "run/a.html", LIST}
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.html")}
    listed = (folder / LIST).stat().st_mtime_ns
    done = publish(folder, {"index.html": Page(make=lambda: "one"), "run/a.html": Page(make=lambda: "two")})
    assert (done.written, done.unchanged, done.removed) == (0, 2, 0)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.html")} == before
    assert (folder / LIST).stat().st_mtime_ns == listed


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    publish(tmp_path, pages(one="1", two="2"))
    done = publish(tmp_path, pages(one="1", two="other"))
    assert (done.written, done.unchanged) == (1, 1)
    assert (tmp_path / "two.html").read_text() == "other"


def test_a_page_of_the_same_things_is_not_even_made(tmp_path: Path) -> None:
    publish(tmp_path, {"a.html": Page(make=lambda: "text", of="1")})

    def never() -> str:
        raise AssertionError

    assert publish(tmp_path, {"a.html": Page(make=never, of="1")}).unchanged == 1
    assert publish(tmp_path, {"a.html": Page(make=lambda: "new", of="2")}).written == 1
    (tmp_path / "a.html").write_text("broken by somebody")
    assert publish(tmp_path, {"a.html": Page(make=lambda: "new", of="2")}).written == 1
    assert (tmp_path / "a.html").read_text() == "new"


def test_pages_that_are_not_wanted_any_more_go(tmp_path: Path) -> None:
    publish(tmp_path, pages(old="1", kept="2"))
    done = publish(tmp_path, pages(kept="2"))
    assert (done.removed, done.left) == (1, ())
    assert there(tmp_path) == {"kept.html", LIST}


def test_what_somebody_changed_or_put_there_stays(tmp_path: Path) -> None:
    publish(tmp_path, pages(old="1", kept="2"))
    (tmp_path / "old.html").write_text("mine now")
    (tmp_path / "own.css").write_text("mine")
    done = publish(tmp_path, pages(kept="2"))
    assert (done.removed, done.left) == (0, ("old.html",))
    assert there(tmp_path) == {"kept.html", "old.html", "own.css", LIST}
    assert publish(tmp_path, pages(kept="2")).left == (), "said once"
    with pytest.raises(ConfigError, match="is in the way: kab did not make it"):
        publish(tmp_path, pages(kept="2", old="3"))
    assert (tmp_path / "old.html").read_text() == "mine now"


def test_a_folder_that_is_not_kabs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    for name in ("", "precious"):
        with pytest.raises(ConfigError) as refused:
            check_page_folder(tmp_path / name)
        assert refused.value.remedy
    with pytest.raises(ConfigError, match="not empty, and kab did not make it"):
        publish(tmp_path, pages(index="1"))
    assert there(tmp_path) == {"precious"}
    check_page_folder(tmp_path / "not there yet")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"kind": "kab/site-1"}', '{"kind": "kab/site-9", "files": {}}', "[" * 9999]
)
def test_a_list_that_is_none_makes_no_folder_kabs(text: str, tmp_path: Path) -> None:
    (tmp_path / LIST).write_text(text)
    with pytest.raises(ConfigError, match="kab did not make it"):
        publish(tmp_path, pages(index="1"))


def test_a_list_cannot_make_kab_remove_what_lies_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    publish(folder, pages(index="1"))
    for outside in ("victim", "other"):
        (tmp_path / outside).write_text("x")
    plain = json.loads((folder / LIST).read_text())
    plain["files"] |= {"../victim": {"sha256": "", "of": ""}, str(tmp_path / "other"): {"sha256": "", "of": ""}}
    (folder / LIST).write_text(json.dumps(plain))
    assert publish(folder, pages(index="1")).removed == 0
    assert {"victim", "other"} <= {path.name for path in tmp_path.iterdir()}


def test_pages_of_a_kab_that_died_are_kabs(tmp_path: Path) -> None:
    def dies() -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish(tmp_path, {**pages(one="1"), "two.html": Page(make=dies)})
    assert there(tmp_path) == {"one.html", LIST}
    assert publish(tmp_path, pages(two="2")).removed == 1
    assert there(tmp_path) == {"two.html", LIST}


def test_two_at_once_are_one_too_many(tmp_path: Path) -> None:
    publish(tmp_path, pages(one="1"))
    lock = try_lock(tmp_path / ".kab-site.lock")
    assert lock is not None
    with lock, pytest.raises(ConfigError, match="another kab writes to"):
        publish(tmp_path, pages(one="1"))


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(HostError) as told:
        publish(tmp_path / "file" / "site", pages(one="1"))
    assert told.value.remedy
