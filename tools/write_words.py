"""Bring the catalogues up to date with what the pages say: new messages come in, untranslated; old ones go.

    .venv/bin/python -m tools.write_words      sipshop/console/pages/locales/*.po

A translator fills in what is empty; `tests/console/test_words.py` fails until nothing is.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po

from sipshop.console.pages.words import FOLDER, LANGUAGES, SOURCE

PAGES: Final = FOLDER.parent
#: What marks a message: in Python and in templates.
KEYWORDS: Final[dict[str, tuple[int, ...] | None]] = {"_": None, "mark": None, "many": (1, 2)}


def messages() -> Iterator[tuple[str, str | tuple[str, ...]]]:
    """Every message of the pages with the file that it is in, in order."""
    for path in sorted([*PAGES.glob("*.py"), *PAGES.glob("templates/*.html")]):
        method = "python" if path.suffix == ".py" else "jinja2.ext:babel_extract"
        options = {"extensions": "", "trim_blocks": "true", "lstrip_blocks": "true"} if path.suffix == ".html" else {}
        found = extract(method, io.BytesIO(path.read_bytes()), keywords=KEYWORDS, options=options)
        for _, message, _, _ in found:
            yield path.relative_to(PAGES).as_posix(), message


def renewed(path: Path, language: str) -> Catalog:
    """The catalogue of a language with the messages of now, and the translations that it had."""
    if path.exists():
        with path.open("rb") as file:
            before = read_po(file, locale=language)
    else:
        before = Catalog(locale=language)
    catalogue = Catalog(locale=language, project="sipshop", fuzzy=False)
    for place, message in messages():
        known = before.get(message if isinstance(message, str) else message[0])
        string = known.string if known is not None else None
        catalogue.add(message, string, locations=[(place, 0)])
    return catalogue


def text_of(catalogue: Catalog) -> bytes:
    """A catalogue as it is written: without dates and lines, so that it changes only with what it says."""
    written = io.BytesIO()
    write_po(written, catalogue, width=120, omit_header=True, include_lineno=False)
    header = f'msgid ""\nmsgstr ""\n"Language: {catalogue.locale}\\n"\n"Content-Type: text/plain; charset=utf-8\\n"\n'
    return f'{header}"Plural-Forms: {catalogue.plural_forms}\\n"\n\n'.encode() + written.getvalue()


def main() -> None:
    """Write every catalogue, and say how much is to be translated."""
    for language in LANGUAGES:
        if language != SOURCE:
            path = FOLDER / f"{language}.po"
            catalogue = renewed(path, language)
            path.write_bytes(text_of(catalogue))
            empty = sum(not message.string or not all(message.string) for message in catalogue if message.id)
            print(f"{path.name}: {len(catalogue)} messages, {empty} to be translated")


if __name__ == "__main__":
    main()
