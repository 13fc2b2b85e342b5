"""Draw docs/picture-light.svg and docs/picture-dark.svg: `.venv/bin/python tools/draw_picture.py`.

Two files, because a README follows the theme of the page that it is read on, and a picture in it cannot.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

DOCS: Final = Path(__file__).parent.parent / "docs"
WIDTH: Final = 920
HEIGHT: Final = 424


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    """The colours of one theme; the page shows through where there is nothing."""

    ink: str
    faint: str
    line: str
    box: str
    house: str
    accent: str


PALETTES: Final = {
    "light": Palette(ink="#1f2328", faint="#59636e", line="#818b98", box="#ffffff", house="#f2f6fc", accent="#0b5cad"),
    "dark": Palette(ink="#e6edf3", faint="#9aa4af", line="#6e7781", box="#1c2430", house="#131b26", accent="#79b8ff"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A rectangle with a title and lines below it; x, y is its upper left corner."""

    x: int
    y: int
    width: int
    height: int
    title: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrow:
    """A line through these points; its text stands at `at`, its heads at both ends or at the last only."""

    points: tuple[tuple[int, int], ...]
    text: tuple[str, ...]
    at: tuple[int, int]
    both: bool = True
    dashed: bool = False


HOUSE: Final = Box(x=290, y=16, width=340, height=320, title="sipshop")
BOXES: Final = (
    Box(
        x=12,
        y=66,
        width=146,
        height=92,
        title="Booth phones",
        lines=("SIP phones of a", "shop, one or more", "a booth"),
    ),
    Box(
        x=12,
        y=214,
        width=146,
        height=92,
        title="The desk",
        lines=("unlock, lock, bill,", "pay: the sipshop", "command"),
    ),
    Box(
        x=762,
        y=66,
        width=146,
        height=92,
        title="Carriers",
        lines=("trunks in the order", "of a route, until", "one takes the call"),
    ),
    Box(
        x=762,
        y=214,
        width=146,
        height=92,
        title="Prometheus",
        lines=(
            "calls, refusals,",
            "delays, the disk",
        ),
    ),
)
ROOMS: Final = (
    Box(x=306, y=50, width=308, height=48, title="SIP engine", lines=("transactions, dialogs, digest",)),
    Box(
        x=306,
        y=106,
        width=308,
        height=48,
        title="Admission",
        lines=("112 first; suspended, locked, busy, rate, route",),
    ),
    Box(x=306, y=162, width=308, height=48, title="The call", lines=("two dialogs of our own, back to back",)),
    Box(x=306, y=218, width=308, height=48, title="Rating", lines=("the booth's deck, exact integers, one rounding",)),
    Box(x=306, y=274, width=308, height=48, title="Journal", lines=("SQLite: answered rows, CDRs, payments",)),
)
ARROWS: Final = (
    Arrow(points=((158, 112), (290, 112)), text=("SIP: REGISTER,", "INVITE"), at=(224, 90)),
    Arrow(points=((630, 112), (762, 112)), text=("SIP: INVITE", "of our own"), at=(696, 90)),
    Arrow(points=((158, 260), (290, 260)), text=("HTTP API", "with a token"), at=(224, 238), both=False),
    Arrow(points=((762, 260), (630, 260)), text=("/metrics", "/readyz"), at=(696, 238), both=False),
    Arrow(
        points=((56, 158), (56, 186), (4, 186), (4, 378), (916, 378), (916, 186), (864, 186), (864, 158)),
        text=("RTP: sound goes directly, phone to carrier; sipshop passes the descriptions through",),
        at=(460, 398),
        dashed=True,
    ),
)


def picture(palette: Palette) -> str:
    """The whole SVG in one theme."""
    return "\n".join(elements(palette)) + "\n"


def elements(palette: Palette) -> Iterator[str]:
    """The SVG's elements, one a line."""
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'role="img" font-family="Helvetica, Arial, \'DejaVu Sans\', sans-serif">'
    )
    yield "<title>Booth phones call through sipshop to carriers; the desk and Prometheus ask it over HTTP</title>"
    yield (
        f'<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        f'orient="auto-start-reverse"><path d="M0 0L8 4L0 8z" fill="{palette.line}"/></marker>'
    )
    yield rectangle(HOUSE, palette.house, palette.accent)
    yield words(HOUSE.title, HOUSE.x + HOUSE.width // 2, HOUSE.y + 24, palette.accent, size=17, bold=True)
    for arrow in ARROWS:
        yield from arrow_elements(arrow, palette)
    for box in (*BOXES, *ROOMS):
        yield rectangle(box, palette.box, palette.line)
        middle = box.x + box.width // 2
        top = box.y + (box.height - 16 * len(box.lines)) // 2 + 5
        yield words(box.title, middle, top, palette.ink, size=14, bold=True)
        for number, line in enumerate(box.lines, start=1):
            yield words(line, middle, top + 17 * number, palette.faint, size=12)
    yield "</svg>"


def arrow_elements(arrow: Arrow, palette: Palette) -> Iterator[str]:
    """A line with its heads and its text."""
    path = "L".join(f"{x} {y}" for x, y in arrow.points)
    start = ' marker-start="url(#head)"' if arrow.both else ""
    dashes = ' stroke-dasharray="5 5"' if arrow.dashed else ""
    yield (
        f'<path d="M{path}" fill="none" stroke="{palette.line}" stroke-width="1.6"{dashes}{start} '
        'marker-end="url(#head)"/>'
    )
    x, y = arrow.at
    for number, line in enumerate(arrow.text):
        yield words(line, x, y + 15 * number, palette.faint, size=12)


def rectangle(box: Box, fill: str, stroke: str) -> str:
    """A box without its words."""
    return (
        f'<rect x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" rx="8" fill="{fill}" '
        f'stroke="{stroke}" stroke-width="1.2"/>'
    )


def words(text: str, x: int, y: int, fill: str, *, size: int, bold: bool = False) -> str:
    """A line of text with its middle at x."""
    weight = ' font-weight="600"' if bold else ""
    return f'<text x="{x}" y="{y}" text-anchor="middle" font-size="{size}"{weight} fill="{fill}">{escape(text)}</text>'


def path_of(theme: str) -> Path:
    """Where the picture of a theme lies."""
    return DOCS / f"picture-{theme}.svg"


if __name__ == "__main__":
    for name, colours in PALETTES.items():
        path_of(name).write_text(picture(colours), encoding="utf-8")
        print(f"wrote {path_of(name)}")
