"""What the pages load: style, scripts and pictures of our own, each under a name that changes with its content (IO).

So a browser may keep them for ever, and gets another one as soon as there is one.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

FOLDER: Final = Path(__file__).parent / "static"
PREFIX: Final = "/static/"

_KEPT: Final = "public, max-age=31536000, immutable"
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
_IMPORTED: Final = re.compile(r'(?<=from "\./)[a-z]+\.js(?=")')


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is served."""

    name: str
    body: bytes
    media_type: str


class Assets:
    """Every file of a folder, read once."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder
        self._named: dict[str, Asset] = {}
        for path in sorted(folder.iterdir()):
            self._take(path.name)
        self._served = {asset.name: asset for asset in self._named.values()}

    def url(self, name: str) -> str:
        """Where a file is found by whoever loads it now; KeyError where there is none."""
        return f"{PREFIX}{self._named[name].name}"

    async def serve(self, request: Request) -> Response:
        """Answer with a file, or with 404 for a name that was never ours."""
        asset = self._served.get(request.path_params["name"])
        if asset is None:
            return Response(status_code=404)
        return Response(asset.body, media_type=asset.media_type, headers={"Cache-Control": _KEPT})

    def _take(self, name: str) -> Asset:
        """Read a file, those first that it imports: it is to name them as they are served."""
        if name not in self._named:
            path = self._folder / name
            text = _IMPORTED.sub(lambda found: self._take(found[0]).name, path.read_text(encoding="utf-8"))
            digest = hashlib.sha256(text.encode()).hexdigest()[:12]
            served = f"{path.stem}.{digest}{path.suffix}"
            self._named[name] = Asset(served, text.encode(), _TYPES[path.suffix])
        return self._named[name]
