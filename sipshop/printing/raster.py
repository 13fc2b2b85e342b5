"""Lines of a slip as dots, black on white, for what a printer has no letters for (IO: it reads the fonts)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from sipshop.printing.bidi import visual
from sipshop.printing.layout import Line, lines_of
from sipshop.printing.slip import Slip

_FONTS: Final = Path(__file__).parent.parent / "console" / "paper"
_SIZE: Final = 21  # dots: about as large as the 12 by 24 of a printer's own letters
_LINE: Final = 30
_RULE: Final = 14
_DASH: Final = 6


def raster_of(slip: Slip, width: int) -> Image.Image:
    """Return a slip as a picture of so many dots across, one bit each, 1 for white."""

    def measure(text: str, bold: bool, big: bool) -> int:
        return round(_font(bold, big).getlength(visual(text, is_rtl=slip.is_rtl)))

    lines = lines_of(slip, width, measure)
    picture = Image.new("1", (width, max(1, sum(map(_height, lines)))), 1)
    _draw(ImageDraw.Draw(picture), lines, width)
    return picture


def _draw(pen: ImageDraw.ImageDraw, lines: Sequence[Line], width: int) -> None:
    pen.fontmode = "1"  # whole dots: paper knows no grey
    y = 0
    for line in lines:
        height = _height(line)
        if line.is_rule:
            for x in range(0, width, 2 * _DASH):
                pen.line((x, y + height // 2, x + _DASH - 1, y + height // 2), fill=0, width=2)
        font = _font(line.bold, line.big)
        for piece in line.pieces:
            pen.text(
                (piece.x, y + height // 2), visual(piece.text, is_rtl=piece.is_rtl), fill=0, font=font, anchor="lm"
            )
        y += height


def _height(line: Line) -> int:
    if line.is_rule:
        return _RULE
    return _LINE * 2 if line.big else _LINE


@cache
def _font(bold: bool, big: bool) -> ImageFont.FreeTypeFont:
    path = _FONTS / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")
    # our own order and our own joined letters: what Pillow would do depends on the libraries of the machine
    return ImageFont.truetype(path, _SIZE * 2 if big else _SIZE, layout_engine=ImageFont.Layout.BASIC)
