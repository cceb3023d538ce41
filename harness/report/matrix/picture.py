"""The heat map of a matrix as one picture, SVG without any style sheet: for PNG, and wherever a page is too much."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.model.matrix import MatrixView
from harness.parse.foreign import printable
from harness.render import render
from harness.report.matrix import claims
from harness.report.matrix.heatmap import HeatMap, HeatTable, Tile, heat_map, tile_of
from harness.report.numbers import seconds
from harness.report.png import font_families
from harness.workloads.registry import metrics_of

# Kind -> its colour, as the pages have them on paper.
_COLOURS = {
    "better": "#007a5a",
    "fine": "#007a5a",
    "worse": "#b3261e",
    "same": "#45536a",
    "unclear": "#8a6a00",
    "none": "#5b6675",
    "waived": "#6a3fb0",
}
_TINTS = (0.08, 0.16, 0.24, 0.32)
# Pixels: of a tile and between tiles, around all of it, of lines of text.
_TILE, _GAP, _EDGE, _LINE = (136.0, 54.0), 6.0, 24.0, 18.0
# Of a letter, of texts of 13 and of 19 pixels; letters of a heading.
_LETTER, _LARGE_LETTER, _LONGEST_HEAD, _LONGEST_NAME = 7.9, 11.6, 17, 46
_LEAST_WIDTH = 760.0
# Cells beyond this are not in the picture, which would be too high for any mail.
_MOST_ROWS = 80
# Sign -> its path around (0, 0): no font needs to have it.
_SIGNS = {
    "▲": "M0 -5L5.5 4.5H-5.5Z",
    "▼": "M0 5L5.5 -4.5H-5.5Z",
    "=": "M-5 -3.6H5V-1.4H-5ZM-5 1.4H5V3.6H-5Z",
    "✓": "M-5.5 0.5L-3.9 -1.1L-1.6 1.4L4 -5L5.6 -3.5L-1.6 4.6Z",
    "✕": "M-4.8 -3.4L-3.4 -4.8L0 -1.4L3.4 -4.8L4.8 -3.4L1.4 0L4.8 3.4L3.4 4.8L0 1.4L-3.4 4.8L-4.8 3.4L-1.4 0Z",
    "?": "M-1 2.6H1V4.8H-1ZM-3.8 -2.2A3.8 3.8 0 1 1 1 1.4H-1V-0.2A2 2 0 1 0 -1.9 -2.2Z",
    "○": "M-4.6 0A4.6 4.6 0 1 0 4.6 0A4.6 4.6 0 1 0 -4.6 0ZM-2.8 0A2.8 2.8 0 1 1 2.8 0A2.8 2.8 0 1 1 -2.8 0Z",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A text at a place, pixels."""

    x: float
    y: float
    text: str
    size: float = 13.0
    bold: bool = False
    muted: bool = False
    anchor: str = "start"


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A tile at a place, pixels."""

    x: float
    y: float
    width: float
    height: float
    colour: str
    fill: str
    sign: str


def matrix_svg(view: MatrixView) -> str:
    """The picture: the verdict, the claim, and the tables of all cells, of very many the first ones."""
    tiles = [
        (one.cell.axes, tile_of(one.result, metrics_of(one.cell.experiment.workload), link="")) for one in view.cells
    ]
    found = heat_map(tiles)
    drawing = _Drawing(found)
    word, _, kind = claims.word(view)
    word_width = round(_LARGE_LETTER * len(word) + 26, 1)
    return render(
        "report/matrix/picture.xml.j2",
        title=_cut(printable(view.plan.title), int((drawing.width - _EDGE - 36 - word_width) / _LARGE_LETTER)),
        word=word.upper(),
        word_width=word_width,
        colour=_COLOURS[{"faster": "better", "slower": "worse"}.get(kind, "unclear")],
        claim=drawing.wrapped(printable(claims.claim(view), limit=300)),
        description="; ".join(printable(tile.told, limit=200) for _, tile in tiles[:_MOST_ROWS]),
        fonts=font_families(),
        width=drawing.width,
        height=drawing.height,
        words=drawing.words,
        boxes=drawing.boxes,
        foot=(
            f"kab {view.run.verb} {view.run.id}, {view.run.created:%Y-%m-%d}: {view.outcome.boots} boots in "
            f"{seconds(view.outcome.duration_s)}"
        ),
    )


class _Drawing:
    """Where everything goes, from the top down."""

    def __init__(self, found: HeatMap) -> None:
        self.words: list[Words] = []
        self.boxes: list[Box] = []
        self.width = max([_LEAST_WIDTH, *(self._width(table) for table in found.tables)])
        self.height = 112.0
        self._rows_left = _MOST_ROWS
        if found.fixed:
            fixed = ", ".join(f"{axis} {label}" for axis, label in found.fixed)
            self._line(f"All cells: {fixed}", muted=True)
        for table in found.tables:
            self._table(table)
        left_out = sum(len(table.rows) for table in found.tables) - (_MOST_ROWS - self._rows_left)
        if left_out > 0:
            self._line(f"and {left_out} rows more: see the report", muted=True)
        self.height += 30.0

    def wrapped(self, text: str) -> list[str]:
        """At most two lines that fit."""
        most = int((self.width - 2 * _EDGE) / 8.6)
        if len(text) <= most:
            return [text]
        cut = text.rfind(" ", 0, most)
        cut = most if cut <= 0 else cut
        return [text[:cut], _cut(text[cut:].strip(), most)]

    def _heads(self, table: HeatTable) -> list[float]:
        """Widths of the columns of headings."""
        longest = _LONGEST_NAME if table.row_axes == ("cell",) else _LONGEST_HEAD
        widths = [0.0] * len(table.row_axes)
        for row in table.rows:
            for place, head in enumerate(row.heads, len(widths) - len(row.heads)):
                widths[place] = max(widths[place], _LETTER * len(_cut(printable(head.label), longest)) + 14)
        return widths

    def _width(self, table: HeatTable) -> float:
        return 2 * _EDGE + sum(self._heads(table)) + table.columns * (_TILE[0] + _GAP)

    def _line(self, text: str, *, bold: bool = False, muted: bool = False) -> None:
        self.height += _LINE
        most = int((self.width - 2 * _EDGE) / _LETTER)
        self.words.append(Words(x=_EDGE, y=self.height, text=_cut(printable(text), most), bold=bold, muted=muted))
        self.height += 8.0

    def _table(self, table: HeatTable) -> None:
        if self._rows_left <= 0:
            return
        if table.facets:
            self._line(", ".join(f"{axis} {label}" for axis, label in table.facets), bold=True)
        widths = self._heads(table)
        left = _EDGE + sum(widths)
        for heads in table.heads:
            self.height += _LINE
            place = 0
            for head in heads:
                middle = left + (place + head.span / 2) * (_TILE[0] + _GAP) - _GAP / 2
                text = _cut(printable(head.label), _LONGEST_HEAD * head.span)
                self.words.append(
                    Words(x=round(middle, 1), y=self.height, text=text, muted=True, bold=True, anchor="middle")
                )
                place += head.span
        self.height += 8.0
        longest = _LONGEST_NAME if table.row_axes == ("cell",) else _LONGEST_HEAD
        for row in table.rows[: self._rows_left]:
            for place, head in enumerate(row.heads, len(widths) - len(row.heads)):
                x = _EDGE + sum(widths[:place])
                text = _cut(printable(head.label), longest)
                self.words.append(Words(x=round(x, 1), y=self.height + 22, text=text, bold=True))
            for place, tile in enumerate(row.tiles):
                if tile is not None:
                    self._tile(tile, left + place * (_TILE[0] + _GAP), self.height)
            self.height += _TILE[1] + _GAP
        self._rows_left -= len(table.rows[: self._rows_left])
        self.height += 10.0

    def _tile(self, tile: Tile, x: float, y: float) -> None:
        colour = _COLOURS["waived" if tile.waived else tile.kind]
        tint = _TINTS[0] if tile.kind in {"fine", "same"} else _TINTS[tile.strength]
        fill = "#ffffff" if tile.kind == "none" else _mixed(colour, tint)
        self.boxes.append(
            Box(x=x, y=y, width=_TILE[0], height=_TILE[1], colour=colour, fill=fill, sign=_SIGNS[tile.sign])
        )
        first = tile.change if tile.metric else tile.word
        self.words.append(Words(x=x + 30, y=y + 20, text=first, size=14, bold=True))
        lines = [tile.word, tile.metric] if tile.metric else []
        if tile.waived:
            lines = [*lines[1:], "waived"] if lines else ["waived"]
        for place, line in enumerate(lines):
            self.words.append(Words(x=x + 12, y=y + 34 + 13 * place, text=_cut(line, 20), size=11))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: max(most - 3, 1)]}..."


def _mixed(colour: str, part: float) -> str:
    """`part` of a colour, the rest white."""
    channels: Sequence[int] = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    return "#" + "".join(f"{round(part * channel + (1 - part) * 255):02x}" for channel in channels)
