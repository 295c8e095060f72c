"""Makes Java trust the certificate authorities of this machine.

The runtime from the package registry has its own list of certificate authorities. In a network that inspects TLS that
list is not enough, and Java reads neither SSL_CERT_FILE nor the system's PEM bundle. Measured on such a
network: `PKIX path building failed` without this, no difference in time with it.
"""

from __future__ import annotations

import hashlib
import ssl
import struct
from collections.abc import Mapping
from pathlib import Path

STORE_PASSWORD = "pacifictool"  # noqa: S105 - the store holds only public certificates; the format requires one

_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, Red Hat
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",  # macOS, BSD
)

# The JKS format as java.security.KeyStore reads it (sun.security.provider.JavaKeyStore): magic, version 2, entries,
# then a SHA-1 digest over the password in UTF-16, a fixed phrase and all before it.
_JKS_MAGIC = 0xFEEDFEED
_JKS_VERSION = 2
_JKS_TRUSTED_CERTIFICATE = 2
_JKS_PHRASE = b"Mighty Aphrodite"


def machine_certificates(environ: Mapping[str, str]) -> list[bytes]:
    """The certificate authorities of the user's variables and the system's bundle, DER, without duplicates."""
    named = [environ[name] for name in _VARIABLES if environ.get(name)]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for bundle in [*named, *_SYSTEM_BUNDLES]:
        try:
            context.load_verify_locations(cafile=bundle)
        except OSError:  # Not there, not readable or no certificate in it (ssl.SSLError): one of the others may do.
            continue
    return context.get_ca_certs(binary_form=True)


def write_truststore(path: Path, certificates: list[bytes]) -> None:
    """Writes DER certificates as a Java key store of type JKS with the password STORE_PASSWORD."""
    body = struct.pack(">III", _JKS_MAGIC, _JKS_VERSION, len(certificates))
    for number, certificate in enumerate(certificates):
        body += struct.pack(">I", _JKS_TRUSTED_CERTIFICATE)
        body += _utf(f"ca-{number}") + struct.pack(">Q", 0)
        body += _utf("X.509") + struct.pack(">I", len(certificate)) + certificate
    digest = hashlib.sha1(STORE_PASSWORD.encode("utf-16-be") + _JKS_PHRASE + body, usedforsecurity=False)
    path.write_bytes(body + digest.digest())


def _utf(text: str) -> bytes:
    encoded = text.encode("ascii")
    return struct.pack(">H", len(encoded)) + encoded
