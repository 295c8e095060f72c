"""A private certificate authority, and a front that adds TLS to any server on the loopback interface."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ssl
import threading
from pathlib import Path
from typing import Self

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from pacifictool.settings import TlsFiles


class Pki:
    """An authority with its certificate in `ca_file`; issues the certificates that a test needs."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.authority = trustme.CA(organization_name=f"authority of {folder.name}")
        self.ca_file = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.ca_file))

    def issue(self, *names: str, is_expired: bool = False) -> trustme.LeafCert:
        """A certificate for `names` (default: 127.0.0.1), good since long ago; an expired one until yesterday."""
        now = dt.datetime.now(dt.UTC)
        return self.authority.issue_cert(
            *(names or ("127.0.0.1",)),
            not_before=now - dt.timedelta(days=30),
            not_after=now + dt.timedelta(days=-1 if is_expired else 30),
        )

    def client(self, name: str = "client.example") -> TlsFiles:
        """Our own certificate and its key (PKCS #8, which Java can read, too), with the authority."""
        leaf = self.issue(name)
        cert_file, key_file = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        cert_file.write_bytes(chain_pem(leaf))
        key_file.touch(0o600)
        key_file.write_bytes(pkcs8_pem(leaf))
        return TlsFiles(self.ca_file, cert_file, key_file)

    def server_context(
        self, leaf: trustme.LeafCert | None = None, *, asks_for_certificate: bool = False
    ) -> ssl.SSLContext:
        """What a server needs; with `asks_for_certificate` only certificates of this authority get in."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        (leaf or self.issue()).configure_cert(context)
        if asks_for_certificate:
            self.authority.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def chain_pem(leaf: trustme.LeafCert) -> bytes:
    """The certificate and those between it and the authority."""
    return b"".join(blob.bytes() for blob in leaf.cert_chain_pems)


def pkcs8_pem(leaf: trustme.LeafCert) -> bytes:
    """The key in the only form that Java reads."""
    key = load_pem_private_key(leaf.private_key_pem.bytes(), None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


class TlsFront:
    """Speaks TLS on a port of its own and forwards the plain data to a port without TLS."""

    def __init__(self, context: ssl.SSLContext, target_port: int) -> None:
        self._context = context
        self._target_port = target_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tls-front", daemon=True)
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server
        self.port = 0
        self.passed_in = 0
        """Connections whose handshake succeeded."""

    def __enter__(self) -> Self:
        # Half of the tests are about clients that refuse the certificate.
        self._loop.set_exception_handler(lambda _loop, _context: None)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context, ssl_handshake_timeout=60), self._loop
        ).result(60)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.passed_in += 1
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        self._writers |= {writer, inner_writer}
        try:
            await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))
        finally:
            self._writers -= {writer, inner_writer}


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:  # ssl.SSLError, too
        pass
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
