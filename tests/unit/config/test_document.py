"""YAML files as plain text values with their lines: nothing is converted, errors name the line."""

from pathlib import Path

import pytest

from harness.config.document import Items, Scalar, Table, read_table, scalar, scalars
from harness.errors import ConfigError

pytestmark = pytest.mark.unit


def read(folder: Path, text: str) -> Table:
    path = folder / "file.yaml"
    path.write_text(text)
    return read_table(path)


@pytest.mark.parametrize(
    "text", ["6.10", "no", "on", "null", "~", "0x10", "1_000", "12:30:45", "2026-11-22", "1e3", ".inf"]
)
def test_a_scalar_is_the_text_that_was_written(tmp_path: Path, text: str) -> None:
    value = read(tmp_path, f"key: {text}\n").entries["key"]
    assert isinstance(value, Scalar)
    assert value.text == text


def test_values_know_their_lines(tmp_path: Path) -> None:
    table = read(tmp_path, "# comment\na: 1\nb:\n  - x\n  - 'y'\nc: {d: 2}\n")
    items = table.entries["b"]
    assert isinstance(items, Items)
    assert [(item.text, item.where.rsplit(":")[-1]) for item in scalars(items, "b")] == [("x", "4"), ("y", "5")]
    assert table.places["c"] == f"{tmp_path / 'file.yaml'}:6"
    assert scalar(table.entries["a"], "a").where == f"{tmp_path / 'file.yaml'}:2"


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a: 1\nb: [1\n", 3, "not valid YAML"),
        ("a: 1\n\tb: 2\n", 2, "not valid YAML"),
        ("a: 1\na: 2\n", 2, "there already"),
        ("a: 1\nb:\n", 2, "value is missing"),
        ("a: 1\nb: [x, ]\nc: [, x]\n", 3, "not valid YAML"),
        ("a: 1\nb:\n  -\n", 3, "value is missing"),
        ("a: 1\nb: *x\n", 2, "aliases are not supported"),
        # Also where nothing refers to them.
        ("a: 1\nb: &x 1\n", 2, "anchors such as &x are not supported"),
        ("a: 1\nb:\n  - &x y\n", 3, "anchors such as &x are not supported"),
        ("a: &x\n  b: 1\n", 1, "anchors such as &x are not supported"),
        ("a: &x [b]\n", 1, "anchors such as &x are not supported"),
        ("&x a: 1\n", 1, "anchors such as &x are not supported"),
        ("&x\na: 1\n", 1, "anchors such as &x are not supported"),
        ("a: !!python/object/apply:os.system ['true']\n", 1, "tags"),
        ("a: !!int 3\n", 1, "tags"),
        ("? [a, b]\n: c\n", 1, "a key must be a plain word"),
        ("- a\n- b\n", 1, "`key: value`"),
        ("just text\n", 1, "`key: value`"),
        ("a: 1\n---\nb: 2\n", 2, "not valid YAML"),
    ],
)
def test_what_is_refused_names_its_line(tmp_path: Path, text: str, line: int, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert caught.value.message.startswith(f"{tmp_path / 'file.yaml'}:{line}: ")
    assert says in caught.value.message


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"a: \xff\n", b"a: \x00\n", b"a: " + b"[" * 5000])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_table(path)
    assert str(path) in caught.value.message


def test_files_that_are_not_there_and_folders(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        read_table(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="cannot read"):
        read_table(tmp_path)


def test_an_unknown_key_names_its_line_and_the_nearest(tmp_path: Path) -> None:
    table = read(tmp_path, "a: 1\nmax-boot: 2\n")
    with pytest.raises(ConfigError) as caught:
        table.check_keys("experiment", ("a", "max_boots"))
    assert caught.value.message == f"{tmp_path / 'file.yaml'}:2: unknown experiment key 'max-boot'"
    assert "Did you mean max_boots?" in caught.value.remedy
