"""Explains why a reachable cluster refuses a client: failures of TLS and SASL as sentences for a person.

librdkafka reports an expired certificate, one for another host and one of an unknown authority alike, and many failures
only as a broken transport. So, after a failure, a TLS handshake with the same files determines the reason.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pacifictool.errors import KafkaError
from pacifictool.settings import KafkaEndpoint
from pacifictool.tools.connections import TlsServer, explain_certificate, is_certificate_refused, is_not_tls
from pacifictool.tools.folders import expanded

_PROBE_SECONDS = 2.0
_ALERT_SECONDS = 0.5
_CERTIFICATE_HINT = (
    "If the broker asks for a certificate, give -X ssl.certificate.location=FILE and -X ssl.key.location=FILE, "
    "of an authority that it trusts."
)
_WHERE_FROM = re.compile(r"^(?:\w+://)?\S+?:\d+/\S+: ")
_HOW_LONG = re.compile(r" \(after \d+ms in state \w+\)")


def is_refusal(code: str, text: str) -> bool:
    """Whether an error of librdkafka (the name of its code, and its message) is about TLS or SASL."""
    return code in ("_SSL", "_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED") or "SSL" in text.replace("ssl://", "")


def security_fault(endpoint: KafkaEndpoint, reported: str | None) -> KafkaError | None:
    """The error in certificates, protocol or credentials; None if there is none.

    `reported` is librdkafka's message about the refusal, if any. Takes up to a few seconds per bootstrap server.
    """
    protocol = str(endpoint.config.get("security.protocol", "PLAINTEXT")).upper()
    speaks_tls = protocol in ("SSL", "SASL_SSL")
    for address in endpoint.bootstrap.split(","):
        parts = urlsplit(f"//{address}")
        host, port = parts.hostname or "", parts.port or 9092
        fault = _tls_fault(endpoint, host, port) if speaks_tls else _tls_wanted(endpoint, host, port, protocol)
        if fault is not None:
            return fault
    if reported is None:
        return None
    words = _HOW_LONG.sub("", _WHERE_FROM.sub("", reported)).rstrip(". ")
    if "SASL" in words:
        return KafkaError(
            f"Kafka at {endpoint} refused the login: {words}.",
            hint="Check sasl.mechanisms, sasl.username and sasl.password in the file given with --kafka-config.",
        )
    return KafkaError(f"No TLS connection to Kafka at {endpoint}: {words}.", hint=_CERTIFICATE_HINT)


def _tls_fault(endpoint: KafkaEndpoint, host: str, port: int) -> KafkaError | None:
    try:
        context = tls_context(endpoint.config)
        with (
            socket.create_connection((host, port), timeout=_PROBE_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=host) as connection,
        ):
            # With TLS 1.3 a server refuses a client certificate, or its absence, only after the client's handshake.
            connection.settimeout(_ALERT_SECONDS)
            connection.recv(1)
    except TimeoutError:
        return None
    except ssl.SSLCertVerificationError as error:
        server = TlsServer(f"Kafka at {endpoint}", host, "--kafka", "-X ssl.ca.location=FILE")
        message, hint = explain_certificate(error, server)
        return KafkaError(message, hint=hint)
    except ssl.SSLError as error:
        if is_not_tls(error) or error.reason == "UNEXPECTED_EOF_WHILE_READING":
            return _no_tls(endpoint)
        if is_certificate_refused(error):
            return KafkaError(
                f"Kafka at {endpoint} does not accept the client certificate, or requires one.", hint=_CERTIFICATE_HINT
            )
        return None
    except ConnectionResetError:
        return _no_tls(endpoint)
    except (OSError, ValueError):
        # Files that Python cannot use but librdkafka can: librdkafka reports the failure.
        return None
    return None


def tls_context(config: Mapping[str, str]) -> ssl.SSLContext:
    """A verifying TLS context from librdkafka's properties. Raises OSError or ValueError for unusable files."""
    authority, authority_pem = config.get("ssl.ca.location"), config.get("ssl.ca.pem")
    path = None if authority in (None, "", "probe") else expanded(str(authority))
    files: dict[str, Any] = {} if path is None else {"capath" if path.is_dir() else "cafile": str(path)}
    context = ssl.create_default_context(cadata=authority_pem, **files)
    if config.get("ssl.endpoint.identification.algorithm") == "none":
        context.check_hostname = False
    if (certificate := config.get("ssl.certificate.location")) is not None:
        key = config.get("ssl.key.location")
        context.load_cert_chain(
            expanded(certificate),
            None if key is None else expanded(key),
            # Without one, OpenSSL would ask at the terminal.
            password=config.get("ssl.key.password", ""),
        )
    return context


def _no_tls(endpoint: KafkaEndpoint) -> KafkaError:
    return KafkaError(
        f"Kafka at {endpoint} does not use TLS, which security.protocol requires.",
        hint="Check the port of --kafka, or -X security.protocol (PLAINTEXT or SASL_PLAINTEXT are without TLS).",
    )


def _tls_wanted(endpoint: KafkaEndpoint, host: str, port: int, protocol: str) -> KafkaError | None:
    """The error for a listener that uses TLS when the client does not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Nothing is sent or trusted: this only finds out whether the listener uses TLS.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), timeout=_PROBE_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            pass
    except OSError:
        return None
    wanted = "SASL_SSL" if protocol.startswith("SASL") else "SSL (or SASL_SSL)"
    return KafkaError(
        f"Kafka at {endpoint} requires TLS, which is not configured.", hint=f"Give -X security.protocol={wanted}."
    )
