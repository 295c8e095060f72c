from __future__ import annotations

import datetime as dt
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from pacifictool.errors import PacificToolError, PlatformError, PlatformUnreachable, SettingsError
from pacifictool.rest import Session
from pacifictool.settings import TlsFiles
from tests.support.rest import OpenSession
from tests.support.scripted_platform import Reply, ScriptedPlatform


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@contextmanager
def tls_server(
    authority: trustme.CA, certificate: trustme.LeafCert, *, mutual: bool = False
) -> Iterator[ScriptedPlatform]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    if mutual:
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    with ScriptedPlatform(context) as server:
        server.on("GET", "/api/thing", Reply(json={"a": 1}))
        yield server


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def attempt(session: Session) -> PacificToolError:
    with pytest.raises((PlatformError, SettingsError)) as caught:
        session.request("GET", "/api/thing", expect=dict)
    return caught.value


def test_a_private_authority(authority: trustme.CA, ca_file: Path, open_session: OpenSession) -> None:
    with tls_server(authority, authority.issue_cert("127.0.0.1")) as server:
        session = open_session(server.url, tls=TlsFiles(ca_file=ca_file))
        assert session.request("GET", "/api/thing", expect=dict) == {"a": 1}


def test_an_unknown_authority_is_refused_at_once(authority: trustme.CA, open_session: OpenSession) -> None:
    with tls_server(authority, authority.issue_cert("127.0.0.1")) as server:
        error = attempt(open_session(server.url))
        assert isinstance(error, PlatformUnreachable)
        assert "not issued by an authority that is trusted here" in error.message
        assert error.hint is not None
        assert "--ca-file" in error.hint
        assert server.connections == 1
        assert not server.logins


def test_a_certificate_for_another_name(authority: trustme.CA, ca_file: Path, open_session: OpenSession) -> None:
    with tls_server(authority, authority.issue_cert("platform.example")) as server:
        error = attempt(open_session(server.url, tls=TlsFiles(ca_file=ca_file)))
        assert isinstance(error, PlatformUnreachable)
        assert "issued for another name than 127.0.0.1" in error.message
        assert not server.logins


def test_an_expired_certificate(authority: trustme.CA, ca_file: Path, open_session: OpenSession) -> None:
    past = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    with tls_server(authority, authority.issue_cert("127.0.0.1", not_after=past)) as server:
        error = attempt(open_session(server.url, tls=TlsFiles(ca_file=ca_file)))
        assert "has expired" in error.message


def test_mutual_tls(authority: trustme.CA, ca_file: Path, tmp_path: Path, open_session: OpenSession) -> None:
    own = authority.issue_cert("client.example")
    cert_file, key_file = tmp_path / "cert.pem", tmp_path / "key.pem"
    own.cert_chain_pems[0].write_to_path(str(cert_file))
    own.private_key_pem.write_to_path(str(key_file))
    with tls_server(authority, authority.issue_cert("127.0.0.1"), mutual=True) as server:
        session = open_session(server.url, tls=TlsFiles(ca_file, cert_file, key_file))
        assert session.request("GET", "/api/thing", expect=dict) == {"a": 1}
        error = attempt(open_session(server.url, tls=TlsFiles(ca_file)))
        assert isinstance(error, PlatformUnreachable)
        assert error.hint is not None


def test_files_that_are_no_certificates(
    authority: trustme.CA, ca_file: Path, tmp_path: Path, open_session: OpenSession
) -> None:
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("this is not a certificate")
    with tls_server(authority, authority.issue_cert("127.0.0.1")) as server:
        for tls in (
            TlsFiles(ca_file=nonsense),
            TlsFiles(ca_file, cert_file=nonsense),
            TlsFiles(ca_file=tmp_path / "gone"),
        ):
            error = attempt(open_session(server.url, tls=tls))
            assert error.hint is not None
            assert "--ca-file" in error.hint


def test_https_where_http_is_spoken(server: ScriptedPlatform, open_session: OpenSession) -> None:
    error = attempt(open_session(server.url.replace("http", "https")))
    assert "does not speak TLS" in error.message
    assert error.hint == "Use http:// in --url."


def test_http_where_https_is_spoken(authority: trustme.CA, open_session: OpenSession) -> None:
    with tls_server(authority, authority.issue_cert("127.0.0.1")) as server:
        error = attempt(open_session(server.url.replace("https", "http")))
        assert isinstance(error, PlatformUnreachable)
