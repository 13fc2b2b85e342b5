"""The running server, asked over HTTP (IO)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import quote, urlencode, urlsplit

import typer

from sipshop import __version__
from sipshop.cli.codes import USAGE
from sipshop.cli.options import DEFAULT_URL, Settings
from sipshop.cli.screen import fail

DEFAULT_TOKEN_FILE: Final = Path("data/token")
PAGE_ROWS: Final = 500
_PIECE: Final = 1 << 16
START_IT: Final = "start it with `sipshop serve --config FILE`, or name another by --url"
TIMEOUT_S: Final = 30.0  # a commit on a slow disk takes seconds, and a command must not be given up while it is made


class Refused(Exception):
    """The server does not do what it was asked: the text is its reason, `problem` all that it says (RFC 9457)."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        self.problem = problem
        super().__init__(str(problem["detail"]))


class Unanswered(Exception):
    """Nobody answers, or somebody who is no sipshop; it may be another time."""


class NotLetIn(Exception):
    """The server asks for a token, or for another one."""


class Server:
    """The running server, asked over HTTP with the settings of this invocation.

    Raises Refused, Unanswered and NotLetIn, which end the program with a line and their exit code; settings that are no
    settings do so by themselves.
    """

    def __init__(self, context: typer.Context) -> None:
        settings: Settings = context.obj
        self._url = settings.url.rstrip("/")
        try:
            parts = urlsplit(self._url)
            self._port = parts.port
        except ValueError as error:
            fail(USAGE, f"--url {settings.url}: {error}")
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            fail(USAGE, f"--url {settings.url}: it has to look like {DEFAULT_URL}")
        self._is_tls = parts.scheme == "https"
        self._host = parts.hostname
        self._path = parts.path
        self._token = read_token(settings)

    def get(self, path: str, *, timeout_s: float = TIMEOUT_S) -> Any:
        """Read."""
        return self.ask("GET", path, None, timeout_s=timeout_s)

    def post(self, path: str, body: Mapping[str, object], *, key: str | None = None) -> Any:
        """Command, named by `key` if one is given."""
        return self.ask("POST", path, body, key=key)

    def rows(self, path: str, name: str, query: Mapping[str, str] | None = None) -> Iterator[Any]:
        """Read every row of a list, page by page."""
        cursor: str | None = ""
        while cursor is not None:
            more = {"cursor": cursor} if cursor else {}
            answer = self.get(f"{path}?{urlencode({'limit': str(PAGE_ROWS), **(query or {}), **more})}")
            yield from answer[name]
            cursor = answer["next"]

    def download(self, path: str) -> bytes:
        """Read what is no JSON."""
        status, content = self._exchange("GET", path, None, {}, TIMEOUT_S)
        if status != 200:
            self._answer(status, content)
        return content

    def delete(self, path: str) -> None:
        """Take away what is at a path."""
        status, content = self._exchange("DELETE", path, None, {}, TIMEOUT_S)
        if status != 204:
            self._answer(status, content)

    def upload(self, path: str, file: Path, tell: Callable[[int, int | None], None]) -> Any:
        """Send a file piece by piece, and return the JSON of the answer; `tell` hears how much of it is sent."""
        try:
            with file.open("rb") as content:
                size = content.seek(0, 2)
                content.seek(0)
                pieces = _pieces(content, size, tell)
                headers = {"Accept": "application/json", "Content-Length": str(size)}
                return self._answer(*self._exchange("POST", path, pieces, headers, TIMEOUT_S))
        except OSError as error:
            fail(USAGE, f"{file} cannot be read: {error.strerror}")

    def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | str | None,
        *,
        key: str | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Any:
        """Return the JSON of the server's answer to a body of JSON, or of YAML if it is a text."""
        headers = {"Accept": "application/json"}
        if key is not None:
            headers["Idempotency-Key"] = key_of(key)
        return self._answer(*self._exchange(method, path, body, headers, timeout_s))

    def _answer(self, status: int, text: bytes) -> Any:
        """Read the JSON of an answer."""
        if status == 401:
            raise NotLetIn(self._why_unauthorised())
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or not (200 <= status < 300 or {"code", "detail"} <= answer.keys()):
            raise Unanswered(f"what answers at {self._url} is not a sipshop server: HTTP status {status}")
        if status >= 300:
            raise Refused(answer)
        return answer

    def _exchange(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | str | Iterator[bytes] | None,
        headers: dict[str, str],
        timeout_s: float,
    ) -> tuple[int, bytes]:
        """One request on a connection of its own, and the status and body of its response."""
        from http import client  # noqa: PLC0415 - the shell's completion and --help need no network

        kind = client.HTTPSConnection if self._is_tls else client.HTTPConnection
        connection = kind(self._host, self._port, timeout=timeout_s)
        content: bytes | Iterator[bytes] | None
        match body:
            case str():
                content, kind_of_body = body.encode(), "application/yaml"
            case None | Iterator():
                content, kind_of_body = body, "application/octet-stream"
            case _:
                content, kind_of_body = json.dumps(body).encode(), "application/json"
        headers["User-Agent"] = f"sipshop/{__version__}"
        if body is not None:
            headers["Content-Type"] = kind_of_body
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            try:
                connection.request(method, f"{self._path}/api/v1{path}", content, headers)
            except (BrokenPipeError, ConnectionResetError):
                if not isinstance(body, Iterator):
                    raise  # of a file that is refused, the answer may be there before all of it was sent
            response = connection.getresponse()
            return response.status, response.read()
        except ConnectionRefusedError:
            raise Unanswered(f"no server at {self._url}: {START_IT}") from None
        except TimeoutError:
            then = "" if method == "GET" else ": look whether the command was done before you repeat it"
            raise Unanswered(f"no answer from {self._url} within {timeout_s:.0f} s{then}") from None
        except (OSError, client.HTTPException) as error:
            raise Unanswered(self._why_no_answer(error)) from error
        finally:
            connection.close()

    def _why_no_answer(self, error: Exception) -> str:
        import ssl  # noqa: PLC0415 - only who talks to a server pays for it
        from http import client  # noqa: PLC0415 - likewise

        if isinstance(error, ssl.SSLCertVerificationError):
            why = error.verify_message.rstrip(".")
            return (
                f"the certificate of {self._url} is not trusted: {why}; SSL_CERT_FILE=FILE trusts one of your own, and "
                "--url has to name the server as its certificate does"
            )
        if isinstance(error, ssl.SSLError):
            return f"what answers at {self._url} speaks no HTTPS: try http:// in --url"
        if isinstance(error, client.RemoteDisconnected | ConnectionResetError) and not self._is_tls:
            return f"what answers at {self._url} hangs up: if it speaks HTTPS, --url begins with https://"
        return f"no server at {self._url} ({str(error) or type(error).__name__}): {START_IT}"

    def _why_unauthorised(self) -> str:
        if self._token is None:
            return (
                f"{self._url} asks for a token, and there is none: no {DEFAULT_TOKEN_FILE} here, no --token-file, "
                "and SIPSHOP_TOKEN is not set"
            )
        return f"{self._url} does not know this token"


def _pieces(content: BinaryIO, size: int, tell: Callable[[int, int | None], None]) -> Iterator[bytes]:
    sent = 0
    while piece := content.read(_PIECE):
        yield piece
        sent += len(piece)
        tell(sent, size)


def read_token(settings: Settings) -> str | None:
    """The token of this invocation, None where none was given and the file is not there by default either."""
    path = settings.token_file or DEFAULT_TOKEN_FILE
    if settings.token is not None:
        token, source = settings.token, "--token"
    else:
        try:
            token, source = path.read_text(encoding="utf-8"), str(path)
        except FileNotFoundError:
            if settings.token_file is None:
                return None
            fail(USAGE, f"there is no token file {path}")
        except OSError as error:
            fail(USAGE, f"the token file {path} cannot be read: {error.strerror}")
        except UnicodeDecodeError:
            fail(USAGE, f"the token file {path} is not text")
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        fail(USAGE, f"{source} holds no token: one word of ASCII characters")
    return token


def key_of(text: str) -> str:
    """The name of a command as a header can carry it; what is none ends the program with USAGE."""
    if re.fullmatch(r"[A-Za-z0-9._-]{1,64}", text) is None:
        fail(USAGE, "--key: 1 to 64 letters, digits, dots, underscores and dashes")
    return text


def segment(name: str) -> str:
    """A name as one segment of a URL's path."""
    return quote(name, safe="")
