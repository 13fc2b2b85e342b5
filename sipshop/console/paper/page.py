"""A sheet as a page of HTML: it runs nothing, loads nothing, and prints on A4 as it stands."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from sipshop.console.paper.sheet import Sheet

_TEMPLATES: Final = Environment(
    loader=PackageLoader("sipshop.console", "paper"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_STYLE: Final = (
    "@page{size:A4;margin:18mm}"
    "body{font:11pt/1.4 'DejaVu Sans',system-ui,sans-serif;color:#111;max-width:46rem;margin:2rem auto;padding:0 1rem}"
    "h1{font-size:1.6rem;margin:0 0 1.2rem}h2{font-size:1rem;margin:1.6rem 0 .3rem}"
    ".sides{display:flex;gap:2rem;margin-bottom:1.2rem}.sides>div{flex:1}.sides p{margin:0;overflow-wrap:anywhere}"
    ".label{color:#555;font-size:.8rem}"
    "table{border-collapse:collapse;width:100%}th,td{padding:.2rem .4rem;text-align:left;vertical-align:top}"
    "th{border-bottom:1px solid #333;font-size:.85rem}tr{break-inside:avoid}"
    "td.number,th.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}"
    "tfoot td,.last td{border-top:1px solid #333;font-weight:700}"
    ".totals{width:auto;margin:1.6rem 0 0 auto}footer{margin-top:2rem;color:#555;font-size:.75rem}"
    "footer p{margin:.2rem 0;overflow-wrap:anywhere}"
)
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode("ascii")
#: The page may be read and wear this one style, and nothing else: no script, no form, no picture, no frame around it.
POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def page_of(sheet: Sheet) -> str:
    """Return a sheet as a page; all that people have named stands in it escaped."""
    return _TEMPLATES.get_template("sheet.html").render(sheet=sheet, style=_STYLE)
