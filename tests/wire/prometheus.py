"""A real Prometheus that scrapes a server of ours, with the configuration and the rules that we ship."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Self

import httpx

from .harness import HOST, ROOT, Program, free_port, until

SHIPPED: Final = ROOT / "conf" / "prometheus"


class Prometheus(Program):
    """Debian's program on a free port, its data in a folder of its own; it looks every second instead of every 15."""

    def __init__(self, folder: Path, *, scrapes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for path in SHIPPED.glob("*.yml"):
            text = path.read_text(encoding="utf-8").replace("_interval: 15s", "_interval: 1s")
            (folder / path.name).write_text(text.replace("127.0.0.1:8080", f"{HOST}:{scrapes}"), encoding="utf-8")
        port = free_port()
        command = ["prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
        command += [f"--web.listen-address={HOST}:{port}", "--log.level=warn"]
        super().__init__(command, folder / "prometheus.log")
        self.client = httpx.Client(base_url=f"http://{HOST}:{port}", timeout=10)

    def ready(self) -> Self:
        """Wait until it has scraped the server."""

        def look() -> bool:
            assert self.process.poll() is None, f"prometheus ended:\n{self.said}"
            try:
                return bool(self.ask('up{job="sipshop"} == 1'))
            except httpx.HTTPError:
                return False

        until(look, "a first scrape")
        return self

    def ask(self, query: str) -> list[dict[str, Any]]:
        """The series that a query gives at this instant."""
        answer = self.client.get("/api/v1/query", params={"query": query})
        assert answer.status_code in {200, 503}, f"{query}: {answer.text}"
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return found

    def kill(self) -> None:
        """End it, and the connections to it."""
        self.client.close()
        super().kill()
