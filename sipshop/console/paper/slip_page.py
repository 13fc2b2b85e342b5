"""A slip as a page of HTML: it prints on a roll of 80 mm and on A4 as it stands."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from sipshop.printing.slip import Row, Slip, Table, Text

_TEMPLATES: Final = Environment(
    loader=PackageLoader("sipshop.console", "paper"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_STYLE: Final = (
    ":root{color-scheme:light}@page{margin:4mm}"
    "body{font:10pt/1.35 'DejaVu Sans',system-ui,sans-serif;color:#111;background:#fff;margin:0;padding:1rem}"
    "main{max-width:26rem;margin:0 auto}p{margin:0;overflow-wrap:anywhere}"
    ".start{text-align:start}.center{text-align:center}.end{text-align:end}"
    ".bold{font-weight:700}.big{font-size:1.35em;line-height:1.3}.indent{padding-inline-start:1em;color:#444}"
    ".row{display:flex;flex-wrap:wrap;justify-content:space-between;gap:0 1em}"
    ".row>:last-child{margin-inline-start:auto;font-variant-numeric:tabular-nums;white-space:nowrap}"
    ".row>:first-child{flex:1 1 8em}"
    "table{border-collapse:collapse;width:100%;font-size:.9em}th{font-weight:400;text-align:start}"
    "td,thead th+th{text-align:end;font-variant-numeric:tabular-nums;white-space:nowrap}"
    "thead th{font-size:.85em}hr{border:0;border-top:1px dashed #111;margin:.5em 0}"
    ".tools{text-align:center;margin-bottom:1rem}"
    ".tools button{font:inherit;font-weight:700;min-height:2.75rem;padding:.4rem 1.5rem;cursor:pointer;"
    "background:#0b5c56;color:#fff;border:1px solid #0b5c56;border-radius:.4rem}"
    "@media print{body{padding:0;font-size:9pt}.tools{display:none}.indent{color:#111}p,tr{break-inside:avoid}}"
)
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode("ascii")
#: The page may be read and wear this one style, and nothing else: no form, no picture, no frame around it.
POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
#: Likewise, with the one script of ours behind a button that prints it.
POLICY_WITH_BUTTON: Final = f"{POLICY}; script-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'"

_KINDS: Final = {Text: "text", Row: "row", Table: "table"}


def slip_page(slip: Slip, *, script: str = "", button: str = "") -> str:
    """Return a slip as a page; with a `script` there is a `button` above it, on the screen alone, that prints it."""
    blocks = [(_KINDS.get(type(block), "rule"), block) for block in slip.blocks]
    return _TEMPLATES.get_template("slip.html").render(
        slip=slip, blocks=blocks, style=_STYLE, script=script, button=button
    )
