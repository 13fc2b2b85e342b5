"""Draw the dashboards as a Prometheus fills them, without a Grafana: one picture each, into docs/pictures.

    .venv/bin/python tools/draw_dashboards.py --prometheus http://127.0.0.1:9090 --minutes 30

Each panel shows what its queries give over the last minutes, in the unit and with the legend that its file says. Lines
that stay at zero lie on each other: the legend counts them, and names those that have something to show.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from PIL import Image, ImageDraw, ImageFont

ROOT: Final = Path(__file__).parent.parent
DASHBOARDS: Final = ROOT / "conf" / "grafana" / "dashboards"
PICTURES: Final = ROOT / "docs" / "pictures"

#: Pixels of Grafana's grid: 24 columns make a picture of 1200.
CELL: Final = (50, 34)
MARGIN: Final = (58, 34, 16, 36)  # left, above, right and below the drawing, besides the legend
LEGEND_LINE: Final = 15
POINTS: Final = 240

PAPER: Final = "#ffffff"
INK: Final = "#1f2328"
FAINT: Final = "#6e7781"
GRID: Final = "#e3e6ea"
#: In what a unit is told, the largest first.
SCALES: Final[dict[str, tuple[tuple[float, str], ...]]] = {
    "s": ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"), (1e-3, "ms"), (1e-6, "µs")),
    "bytes": ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "B")),
}
COLOURS: Final = (
    *("#0b5cad", "#d1582b", "#2a8f4f", "#8b4fb8", "#b8860b", "#c43d73", "#1b8a9e", "#7a4a2b"),
    *("#7cb342", "#5c3d99", "#e0a030", "#8c2f1b"),
)


@dataclass(frozen=True, slots=True)
class Series:
    """One line: its name in the legend, and its points as (seconds since the Unix epoch, value)."""

    name: str
    points: tuple[tuple[float, float], ...]

    @property
    def is_zero(self) -> bool:
        """Whether it never left the axis."""
        return not any(value for _, value in self.points)


def asked(client: httpx.Client, target: dict[str, Any], since_s: float, until_s: float) -> list[Series]:
    """What a query of a panel gives over a time."""
    window = {"start": since_s, "end": until_s, "step": max(1, (until_s - since_s) / POINTS)}
    answer = client.get("/api/v1/query_range", params={"query": target["expr"], **window})
    answer.raise_for_status()
    series = []
    for found in answer.json()["data"]["result"]:
        name = target["legendFormat"]
        for label, value in found["metric"].items():
            name = name.replace("{{" + label + "}}", value)
        points = ((float(at), float(value)) for at, value in found["values"])
        series.append(Series(name, tuple(point for point in points if math.isfinite(point[1]))))
    return [one for one in series if one.points]


def in_words(value: float, unit: str) -> str:
    """A value as an axis says it.

    >>> in_words(0.002, "s"), in_words(7200, "s"), in_words(3.5e9, "bytes"), in_words(0.25, "percentunit")
    ('2 ms', '2 h', '3.5 GB', '25 %')
    """
    if value == 0:
        return "0"
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    for scale, word in SCALES.get(unit, ()):
        if abs(value) >= scale:
            return f"{value / scale:.3g} {word}"
    digits = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return digits + ("/s" if unit == "ops" else "")


def round_values(lowest: float, highest: float, unit: str) -> list[float]:
    """Where the lines of the grid are: values that are round in the unit that they are told in."""
    scale = next((scale for scale, _ in SCALES.get(unit, ()) if highest >= scale), 1.0)
    return [value * scale for value in ticks(lowest / scale, highest / scale)]


def ticks(lowest: float, highest: float) -> list[float]:
    """Four or so round values from below the lowest to above the highest.

    >>> ticks(0, 7)
    [0.0, 2.0, 4.0, 6.0, 8.0]
    """
    span = highest - lowest or abs(highest) or 1.0
    power = 10.0 ** math.floor(math.log10(span / 4))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor * 4 >= span * 0.999)
    first = math.floor(lowest / step)
    count = max(1, math.ceil(round(highest / step - first, 6)))
    return [(first + number) * step for number in range(count + 1)]


class Drawing:
    """A panel on the picture of its dashboard."""

    def __init__(self, draw: ImageDraw.ImageDraw, panel: dict[str, Any]) -> None:
        place = panel["gridPos"]
        self._draw = draw
        self._panel = panel
        self._unit: str = panel["fieldConfig"]["defaults"]["unit"]
        self._left, self._top = place["x"] * CELL[0], place["y"] * CELL[1]
        self._right, self._bottom = self._left + place["w"] * CELL[0], self._top + place["h"] * CELL[1]

    def draw(self, series: Sequence[Series], since_s: float, until_s: float) -> None:
        """Put the panel with its lines in its place."""
        self._draw.rectangle((self._left + 4, self._top + 4, self._right - 4, self._bottom - 4), PAPER, GRID)
        self._text((self._left + 14, self._top + 11), self._panel["title"], INK, 14)
        lines = sorted(series, key=lambda one: not one.is_zero)  # what is at zero lies below
        colours = self._colours(series)
        rows = self._legend(series, colours)
        left, right = self._left + MARGIN[0], self._right - MARGIN[2]
        top, bottom = self._top + MARGIN[1], self._bottom - MARGIN[3] - rows * LEGEND_LINE
        if not series:
            self._text((left + 40, (top + bottom) / 2), "no data", FAINT, 14)
            return
        values = [value for one in series for _, value in one.points]
        scale = round_values(min(0.0, *values), max(values), self._unit)
        for value in scale:
            y = bottom - (value - scale[0]) / (scale[-1] - scale[0]) * (bottom - top)
            self._draw.line((left, y, right, y), GRID)
            words = in_words(value, self._unit)
            self._text((left - 6 - self._draw.textlength(words, _font(11)), y - 7), words, FAINT, 11)
        for part in (0.0, 0.5, 1.0):
            at = time.strftime("%H:%M:%S", time.gmtime(since_s + part * (until_s - since_s)))
            width = self._draw.textlength(at, _font(11))
            self._text((left + part * (right - left) - part * width, bottom + 4), at, FAINT, 11)
        for one in lines:
            line = [
                (
                    left + (at - since_s) / (until_s - since_s) * (right - left),
                    bottom - (value - scale[0]) / (scale[-1] - scale[0]) * (bottom - top),
                )
                for at, value in one.points
            ]
            self._draw.line(line if len(line) > 1 else line * 2, colours.get(one.name, FAINT), 2)

    @staticmethod
    def _colours(series: Sequence[Series]) -> dict[str, str]:
        """A colour for each name that has something to show."""
        names = [one.name for one in series if not one.is_zero]
        return {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(names)}

    def _legend(self, series: Sequence[Series], colours: Mapping[str, str]) -> int:
        """Write the names below, in as many rows as they need; how many."""
        zeros = [one.name for one in series if one.is_zero]
        names = dict(colours)
        if zeros:
            names[zeros[0] if len(zeros) == 1 else f"{len(zeros)} {'more ' if colours else ''}at 0"] = FAINT
        rows: list[list[tuple[float, str, str]]] = [[]]
        x = float(self._left + 14)
        for name, colour in names.items():
            width = self._draw.textlength(name, _font(11)) + 26
            if x + width > self._right - 8 and rows[-1]:
                rows.append([])
                x = float(self._left + 14)
            rows[-1].append((x, name, colour))
            x += width
        for number, row in enumerate(rows):
            y = self._bottom - 10 - (len(rows) - number) * LEGEND_LINE
            for left, name, colour in row:
                self._draw.rectangle((left, y + 5, left + 10, y + 8), colour)
                self._text((left + 14, y), name, INK, 11)
        return len(rows)

    def _text(self, at: tuple[float, float], words: str, colour: str, size: int) -> None:
        self._draw.text(at, words, colour, _font(size))


_FONTS: Final[dict[int, ImageFont.FreeTypeFont | ImageFont.ImageFont]] = {}


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    if size not in _FONTS:
        _FONTS[size] = ImageFont.load_default(size)
    return _FONTS[size]


def picture(client: httpx.Client, dashboard: dict[str, Any], since_s: float, until_s: float) -> Image.Image:
    """A dashboard with everything that its queries give."""
    panels = dashboard["panels"]
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels) * CELL[1]
    image = Image.new("RGB", (24 * CELL[0], height), "#f4f5f7")
    draw = ImageDraw.Draw(image)
    for panel in panels:
        series = [one for target in panel["targets"] for one in asked(client, target, since_s, until_s)]
        Drawing(draw, panel).draw(series, since_s, until_s)
    return image


def main() -> None:
    """Draw all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090", help="whom to ask")
    parser.add_argument("--minutes", type=float, default=30.0, help="how far back")
    parser.add_argument("--into", type=Path, default=PICTURES, help="the folder of the pictures")
    options = parser.parse_args()
    until_s = time.time()
    options.into.mkdir(parents=True, exist_ok=True)
    with httpx.Client(base_url=options.prometheus, timeout=30) as client:
        for path in sorted(DASHBOARDS.glob("*.json")):
            dashboard = json.loads(path.read_text(encoding="utf-8"))
            image = picture(client, dashboard, until_s - options.minutes * 60, until_s)
            image.save(options.into / f"{path.stem}.png", optimize=True)
            print(options.into / f"{path.stem}.png")


if __name__ == "__main__":
    main()
