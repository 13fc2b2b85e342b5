"""A target that is asked over HTTP: a POST of JSON a batch, signed as Standard Webhooks says (IO).

`webhook-signature` is `v1,` and the Base64 of HMAC-SHA256 over `ID.TIMESTAMP.BODY`, ID and TIMESTAMP being the headers
`webhook-id` and `webhook-timestamp` (seconds since the Unix epoch): https://www.standardwebhooks.com. An id is that of
a batch, however often it is sent.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import socket
import ssl
import threading
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from sipshop import __version__
from sipshop.export.delivery import Failed, Refused, Taken
from sipshop.export.layout import LAYOUT_VERSION, shaped, to_json
from sipshop.export.target import Outcome, Parcel

#: What says that the content is not wanted; everything else above 299 is trouble that may pass.
REFUSALS: Final = frozenset({400, 413, 422})

_SECRET_PREFIX: Final = "whsec_"  # noqa: S105  # what stands before a secret in Base64, not one


class BadTarget(Exception):
    """A target cannot be used as it is configured; the text says why."""


def key_of(secret: str) -> bytes:
    """Return what is signed with: a secret as it is, or decoded where it is Base64 after `whsec_`."""
    if not secret.startswith(_SECRET_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except ValueError:
        raise BadTarget(f"the secret begins with {_SECRET_PREFIX}, but what follows is no Base64") from None


def signature(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the signature of a message.

    >>> signature(key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330,
    ...           b'{"test": 2432232314}')
    'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    return f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode('ascii')}"


def body_of(parcel: Parcel, tenant: str, target: str) -> bytes:
    """Return what is posted of a batch."""
    told = {"type": "cdr.batch", "layout": LAYOUT_VERSION, "provider": tenant, "target": target}
    return to_json(told | {"records": [shaped(record) for record in parcel.records]}).encode()


class Webhook:
    """Somebody who is asked by HTTPS, with his certificate verified, or by HTTP on this machine.

    Redirects are not followed, proxies of the environment not used. All of a delivery takes `timeout_s` at most.
    """

    def __init__(self, *, tenant: str, target: str, url: str, secret: str, ca: str | None, timeout_s: float) -> None:
        """Make one; raises BadTarget."""
        self._tenant, self._target = tenant, target
        parts = urlsplit(url)
        assert parts.hostname is not None, "the configuration was read"
        self._host, self._port = parts.hostname, parts.port
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._key = key_of(secret)
        self._timeout_s = timeout_s
        self._tls: ssl.SSLContext | None = None
        self._connection: http.client.HTTPConnection | None = None
        if parts.scheme == "https":
            try:
                self._tls = ssl.create_default_context(cafile=ca)
            except OSError as error:  # ssl.SSLError is one
                raise BadTarget(f"the certificates of {ca} cannot be read: {error.strerror or error}") from error

    def deliver(self, parcel: Parcel, utc_ms: int) -> Outcome:
        """Post a batch."""
        body, timestamp = body_of(parcel, self._tenant, self._target), utc_ms // 1000
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"sipshop/{__version__}",
            "webhook-id": parcel.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(self._key, parcel.id, timestamp, body),
        }
        connection = self._connection = self._connected()
        late = threading.Event()
        alarm = threading.Timer(self._timeout_s, self._break_off, (late,))
        alarm.daemon = True
        alarm.start()
        try:
            connection.request("POST", self._path, body, headers)
            response = connection.getresponse()
            return outcome_of(response.status, response.headers.get("Retry-After", ""))
        except ssl.SSLCertVerificationError as error:
            return Failed(f"its certificate is not trusted: {error.verify_message.rstrip('.')}")
        except (OSError, http.client.HTTPException, ValueError) as error:
            if isinstance(error, TimeoutError) or late.is_set():
                return Failed(f"no answer within {self._timeout_s:g} s")
            return Failed(f"no answer: {_words(error)}")
        finally:
            alarm.cancel()
            self._connection = None
            connection.close()

    def stop(self) -> None:
        """Break off a delivery that is under way."""
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    def _break_off(self, late: threading.Event) -> None:
        late.set()
        self.stop()

    def _connected(self) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout_s, context=self._tls)


def outcome_of(status: int, retry_after: str = "") -> Outcome:
    """Return what an answer means; `retry_after` is its header of this name."""
    if 200 <= status < 300:
        return Taken()
    if status in REFUSALS:
        return Refused(f"HTTP status {status}")
    if 300 <= status < 400:
        return Failed(f"HTTP status {status}: redirects are not followed")
    return Failed(f"HTTP status {status}", _seconds(retry_after))


def _seconds(text: str) -> float:
    """What a Retry-After asks for; one that names a date is not heeded, as our own pauses grow."""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0.0


def _words(error: Exception) -> str:
    """What went wrong, without a word of the other side's."""
    if isinstance(error, http.client.HTTPException | ValueError):
        return "what it says is no HTTP"
    return getattr(error, "strerror", None) or type(error).__name__
