from __future__ import annotations

import socket
import ssl

import pytest

from pacifictool.tools.connections import (
    TlsServer,
    connection_error,
    explain_certificate,
    is_certificate_refused,
    is_not_tls,
)

SERVER = TlsServer("Kafka at mill:9093", "mill", "--kafka", "-X ssl.ca.location=FILE")


def not_verified(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError("certificate verify failed")
    error.verify_code, error.verify_message = code, "words of OpenSSL."
    return error


@pytest.mark.parametrize(
    ("code", "message", "hint"),
    [
        (62, "was issued for another name than mill.", "in --kafka."),
        (64, "was issued for another name than mill.", "in --kafka."),
        (10, "has expired.", "renewed"),
        (19, "was not issued by an authority that is trusted here.", "with -X ssl.ca.location=FILE."),
        (20, "was not issued by an authority that is trusted here.", "with -X ssl.ca.location=FILE."),
        (26, "was not accepted: words of OpenSSL.", "-X ssl.ca.location=FILE; verification stays on."),
    ],
)
def test_what_is_wrong_with_a_certificate(code: int, message: str, hint: str) -> None:
    message_shown, advice = explain_certificate(not_verified(code), SERVER)
    assert message_shown == f"The certificate of Kafka at mill:9093 {message}"
    assert hint in advice


@pytest.mark.parametrize(
    ("reason", "not_tls", "refused"),
    [
        ("WRONG_VERSION_NUMBER", True, False),
        ("RECORD_LAYER_FAILURE", True, False),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", False, True),
        ("TLSV1_ALERT_UNKNOWN_CA", False, True),
        ("UNSUPPORTED_PROTOCOL", False, False),
        (None, False, False),
    ],
)
def test_other_failures_of_a_handshake(reason: str | None, not_tls: bool, refused: bool) -> None:
    error = ssl.SSLError("handshake failed")
    error.reason = reason  # type: ignore[assignment]
    assert (is_not_tls(error), is_certificate_refused(error)) == (not_tls, refused)


def test_why_an_address_accepts_no_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert connection_error("127.0.0.1", port, 1) is None
    assert connection_error("127.0.0.1", port, 1) == "connection refused"
    assert connection_error("no-such-host.invalid", port, 1) == "the name no-such-host.invalid has no address"
