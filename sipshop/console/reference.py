"""The reference of the API as one page of HTML: no script, no style sheet, no font from anywhere else.

A shop's server may have no way into the net, and a page that runs nothing needs none.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

PATH: Final = "/docs"

_STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}"
    "h2{margin-top:2.5rem}h3{font:600 1rem ui-monospace,monospace;margin:2rem 0 .3rem}"
    "table{border-collapse:collapse;margin:.4rem 0}"
    "td{text-align:left;vertical-align:top;padding:.15rem .8rem .15rem 0}"
    "code{font-family:ui-monospace,monospace}"
)
#: The page may do nothing but be read, and wear its own style, which the browser knows by its hash.
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode("ascii")
_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def add_reference(api: FastAPI) -> None:
    """Serve the page; it tells no more than /openapi.json, which anybody may read too."""

    @api.get(PATH, include_in_schema=False)
    async def reference() -> HTMLResponse:
        """The reference of the API."""
        return HTMLResponse(page(api.openapi()), headers={"Content-Security-Policy": _POLICY})


def page(schema: Mapping[str, Any]) -> str:
    """Return an OpenAPI schema as a page: every path with its parameters, its body and its answers."""
    info = schema["info"]
    paths = "".join(_operation(path, method, operation) for path, method, operation in _operations(schema))
    shapes = "".join(_shape(name, shape) for name, shape in schema["components"]["schemas"].items())
    title = f"{escape(info['title'])} {escape(info['version'])}"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"<h1>{title}</h1><p>{escape(info.get('summary', ''))}. "
        'For programs: <a href="/openapi.json">openapi.json</a>.</p>'
        f"<h2>Paths</h2>{paths}<h2>Shapes</h2>{shapes}</html>"
    )


def _operations(schema: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> str:
    rows = [
        (f"<code>{escape(given['name'])}</code>", f"{escape(given['in'])}, {_type(given['schema'])}", _says(given))
        for given in operation.get("parameters", [])
    ]
    if "requestBody" in operation:
        contents = operation["requestBody"]["content"].values()
        rows += [("body", _type(content["schema"]), "") for content in contents]
    for status, answer in operation["responses"].items():
        kinds = [
            f"{escape(media)} {_type(content.get('schema', {})) if status.startswith('2') else ''}"
            for media, content in answer.get("content", {}).items()
        ]
        rows.append((escape(status), ", ".join(kinds), escape(answer["description"])))
    cells = "".join(f"<tr><td>{first}<td>{second}<td>{third}" for first, second, third in rows)
    says = escape(operation.get("description") or operation.get("summary", ""))
    return f"<h3>{method} {escape(path)}</h3><p>{says}</p><table>{cells}</table>"


def _shape(name: str, shape: Mapping[str, Any]) -> str:
    needed = shape.get("required", [])
    cells = "".join(
        f"<tr><td><code>{escape(field)}</code><td>{_type(kind)}<td>{'' if field in needed else 'may be left out. '}"
        f"{escape(kind.get('description', ''))}"
        for field, kind in shape.get("properties", {}).items()
    )
    says = escape(shape.get("description", ""))
    return f'<h3 id="{escape(name)}">{escape(name)}</h3><p>{says}</p><table>{cells}</table>'


def _says(given: Mapping[str, Any]) -> str:
    return escape(given.get("description") or given["schema"].get("description", ""))


def _type(schema: Mapping[str, Any]) -> str:
    """A schema in a few words, with a link where it has a name."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    kind = escape(schema.get("format") or schema.get("type", "anything"))
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return kind + "".join(
        f", {word} {schema[bound]}"
        for bound, word in {"minimum": "from", "maximum": "to", "maxLength": "at most"}.items()
        if bound in schema
    )
