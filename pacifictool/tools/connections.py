"""Why a connection fails, for a person: TCP in half a sentence, TLS in one sentence and what to do."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from typing import Final

# OpenSSL's X509_V_ERR_… (x509_vfy.h).
_WRONG_NAME: Final = frozenset({62, 64})
_EXPIRED: Final = frozenset({10})
_UNTRUSTED: Final = frozenset({2, 18, 19, 20, 21})

_NOT_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"})


def connection_error(host: str, port: int, timeout_seconds: float) -> str | None:
    """Why no connection could be opened, as the end of a sentence; None when one could."""
    try:
        socket.create_connection((host, port), timeout=timeout_seconds).close()
    except socket.gaierror:
        return f"the name {host} has no address"
    except TimeoutError:
        return f"no response within {timeout_seconds:g} s"
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return None


@dataclass(frozen=True, slots=True)
class TlsServer:
    """A server as the sentences name it, and the options that a hint can name."""

    name: str
    """In the middle of a sentence: "https://host:8080", "Kafka at host:9093"."""
    host: str
    """The name that its certificate must have been issued for."""
    address_option: str
    """Where the user gave the address: "--mqtt"."""
    ca_option: str
    """What names the certificate authority's PEM file: "--ca-file"."""


def explain_certificate(error: ssl.SSLCertVerificationError, server: TlsServer) -> tuple[str, str]:
    """Why the certificate of `server` was not accepted, and what to do: message and hint of an error."""
    certificate = f"The certificate of {server.name}"
    if error.verify_code in _WRONG_NAME:
        return (
            f"{certificate} was issued for another name than {server.host}.",
            f"Use the name that the certificate was issued for in {server.address_option}.",
        )
    if error.verify_code in _EXPIRED:
        return f"{certificate} has expired.", "Have it renewed; verification stays on."
    if error.verify_code in _UNTRUSTED:
        return (
            f"{certificate} was not issued by an authority that is trusted here.",
            f"Name the certificate authority's PEM file with {server.ca_option}.",
        )
    return (
        f"{certificate} was not accepted: {error.verify_message.rstrip('.')}.",
        f"Check the server's certificate and {server.ca_option}; verification stays on.",
    )


def is_not_tls(error: ssl.SSLError) -> bool:
    """Whether the other side responds with something other than TLS."""
    return error.reason in _NOT_TLS


def is_certificate_refused(error: ssl.SSLError) -> bool:
    """Whether the server refused the client's certificate, or that there is none."""
    reason = error.reason or ""
    return "CERTIFICATE" in reason or "UNKNOWN_CA" in reason
