"""The TLS of SIP: our certificate, and whose we believe (IO).

Contexts are made from files and never changed: a reload makes others, which the connections to come get.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from sipshop.settings import TlsSettings
from sipshop.sip.transport import Tls
from sipshop.web import BadCertificate, load_certificate


def make_sip_tls(settings: TlsSettings) -> Tls:
    """Return what new connections speak TLS with, version 1.2 and up; raises BadCertificate.

    A carrier always has to show a certificate of an authority that we believe; whether it is for his name is checked by
    `sipshop.sip.identity`. Who comes to us has to show one where `verify_clients` says so.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False  # it knows no SIP URI
    _secure(client, settings, ssl.Purpose.SERVER_AUTH)
    if not settings.listen:
        return Tls(client)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.options |= ssl.OP_NO_RENEGOTIATION
    if settings.verify_clients:
        server.verify_mode = ssl.CERT_REQUIRED
        _secure(server, settings, ssl.Purpose.CLIENT_AUTH)
    else:
        _secure(server, settings, None)
    return Tls(client, server)


def _secure(context: ssl.SSLContext, settings: TlsSettings, purpose: ssl.Purpose | None) -> None:
    """What both sides have in common; `purpose` is what the peer's certificate has to be for, None if he needs none."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.certificate is not None:
        load_certificate(context, settings, "sip.tls")
    if purpose is None:
        return
    if settings.ca is None:
        context.load_default_certs(purpose)
        return
    try:
        context.load_verify_locations(cadata=Path(settings.ca).read_text("ascii"))
    except OSError as error:  # an SSLError is one too
        why = "holds no certificate in PEM" if isinstance(error, ssl.SSLError) else f"cannot be read: {error.strerror}"
        raise BadCertificate(f"{settings.ca} {why}") from error
    except ValueError as error:
        raise BadCertificate(f"{settings.ca} holds no certificate in PEM") from error
