"""The heat map as a picture: sound SVG without a style sheet, and a PNG in which text is to be seen."""

import builtins
import re
import struct
import xml.etree.ElementTree as ET
from collections.abc import Iterator

import matrices
import pytest

from harness.errors import ConfigError
from harness.report import png
from harness.report.matrix.heatmap import heat_map
from harness.report.matrix.picture import matrix_svg

pytestmark = pytest.mark.unit

SVG = "{http://www.w3.org/2000/svg}"
VIEWS = {
    "gate": matrices.gate,
    "run": matrices.matrix_run,
    "hostile": matrices.hostile,
    "alone": matrices.alone,
    "open": matrices.unfinished,
    "many": lambda: matrices.large(200),
}


def size_of(image: bytes) -> tuple[int, int]:
    assert image[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", image[16:24])
    return width, height


def texts(svg: str) -> Iterator[ET.Element]:
    return ET.fromstring(svg).iter(f"{SVG}text")


@pytest.mark.parametrize("name", VIEWS)
def test_a_sound_picture_whose_texts_are_inside(name: str) -> None:
    svg = matrix_svg(VIEWS[name]())
    root = ET.fromstring(svg)
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    assert not re.search(r"<style|<script|href|url\(", svg)
    for one in texts(svg):
        size = float(one.attrib["font-size"])
        wide = len(one.text or "") * size * 0.56
        x = float(one.attrib["x"])
        left = x - wide / 2 if one.get("text-anchor") == "middle" else x
        assert left >= 0
        assert left + wide <= width + 1, one.text
        assert 0 < float(one.attrib["y"]) < height
    for box in root.iter(f"{SVG}rect"):
        assert float(box.get("x", 0)) + float(box.attrib["width"]) <= width


def test_it_says_what_the_page_says() -> None:
    svg = matrix_svg(matrices.gate())
    said = [one.text for one in texts(svg)]
    for text in (
        "FAIL",
        "release gate",
        "btrfs",
        "virtio",
        "shared-dio",
        "-24 %",
        "slower",
        "faulty",
        "unmeasured",
        "waived",
    ):
        assert text in said, text
    assert "shared-dio/btrfs/virtio: slower, write_iops -24 %" in svg


def test_rows_beyond_what_a_mail_shows_are_counted() -> None:
    said = [one.text for one in texts(matrix_svg(matrices.large(200)))]
    assert "and 120 rows more: see the report" in said
    assert heat_map([]).tables[0].rows == ()


def test_a_png_of_it() -> None:
    svg = matrix_svg(matrices.gate())
    width = float(ET.fromstring(svg).attrib["width"])
    assert size_of(png.to_png(svg))[0] == round(2 * width)
    assert size_of(png.to_png(svg, zoom=1))[0] == round(width)
    without = re.sub(r"<text.*?</text>", "", svg)
    assert png.to_png(svg) != png.to_png(without), "text is drawn"


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *args: object, **kwargs: object) -> object:
        if name == "resvg_py":
            raise ImportError(name)
        return real(name, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ConfigError) as told:
        png.to_png("<svg/>")
    assert "kab[png]" in told.value.remedy


def test_without_a_font_it_says_so_instead_of_drawing_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png, "FONTS", ("No Such Family",))
    png._has_fonts.cache_clear()
    try:
        with pytest.raises(ConfigError, match="no font to draw with") as told:
            png.to_png(matrix_svg(matrices.gate()))
        assert "fonts-dejavu-core" in told.value.remedy
    finally:
        png._has_fonts.cache_clear()
