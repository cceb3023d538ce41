"""Sizes, durations, fractions and counts: exact both ways, and errors that name the text and the units."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ConfigError
from harness.parse.units import (
    duration_text,
    fraction_text,
    parse_count,
    parse_duration,
    parse_fraction,
    parse_size,
    size_text,
)

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("513B", 513),
        ("512k", 512 * 1024),
        ("512K", 512 * 1024),
        ("64MiB", 64 * 1024**2),
        ("64 MiB", 64 * 1024**2),
        (" 1GiB ", 1024**3),
        ("20G", 20 * 1024**3),
        ("1.5GiB", 3 * 512 * 1024**2),
        ("2t", 2 * 1024**4),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "GiB", "-1", "1e3", "1GB", "1 kB", "0.3B", "1,5GiB", "nan", "1GiB 2", "٣", "9" * 5000]
)
def test_what_is_not_a_size(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_size(text)
    assert repr(text) in caught.value.message


def test_an_unknown_unit_of_size_lists_those_that_are_known() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_size("1GB")
    assert "'GB'" in caught.value.message
    assert "GiB" in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2ms", 0.002),
        ("1.5s", 1.5),
        ("10min", 600.0),
        ("1h", 3600.0),
        ("150us", 0.00015),
        ("150µs", 0.00015),
        ("0", 0.0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["2", "2 m", "2sec", "2S", "", "-2ms", "ms"])
def test_what_is_not_a_duration(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_duration(text)
    assert repr(text) in caught.value.message
    assert "ms" in caught.value.remedy


@pytest.mark.parametrize(("text", "fraction"), [("5%", 0.05), ("0.05", 0.05), ("0.5%", 0.005), ("2.5 %", 0.025)])
def test_fractions(text: str, fraction: float) -> None:
    assert parse_fraction(text) == fraction


@pytest.mark.parametrize("text", ["5", "0", "0%", "100%", "1", "5‰", "five", "5%%"])
def test_what_is_not_a_fraction(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_fraction(text)
    assert repr(text) in caught.value.message


def test_counts() -> None:
    assert parse_count("40") == 40
    assert parse_count("2", minimum=2) == 2
    for text in ("1", "-3", "2.0", "4k", "", "1_000"):
        with pytest.raises(ConfigError):
            parse_count(text, minimum=2)


@given(st.integers(min_value=0, max_value=2**59))
def test_a_rendered_size_is_read_back(size: int) -> None:
    assert parse_size(size_text(size)) == size


@given(st.floats(min_value=1e-12, max_value=1e8))
def test_a_rendered_duration_is_read_back(seconds: float) -> None:
    assert parse_duration(duration_text(seconds)) == seconds


@given(st.floats(min_value=1e-12, max_value=1, exclude_max=True))
def test_a_rendered_fraction_is_read_back(fraction: float) -> None:
    assert parse_fraction(fraction_text(fraction)) == fraction


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "0s"), (0.002, "2ms"), (1.5, "1.5s"), (600.0, "10min"), (90.0, "90s"), (2e-9, "2ns")]
)
def test_durations_are_rendered_as_people_write_them(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_sizes_are_rendered_as_people_write_them() -> None:
    assert [size_text(size) for size in (0, 513, 64 * 1024, 1024**3, 1536 * 1024**2)] == [
        "0B",
        "513B",
        "64KiB",
        "1GiB",
        "1536MiB",
    ]
