"""uvicorn for this user and root only: connections of other local users get one sentence and are closed."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from pacifictool.runtime.peer import REFUSAL, PeerCheck

_LINGER_SECONDS: Final = 1.0
_LINGER_BYTES: Final = 65_536


def guarded_http(check: PeerCheck | None) -> type[asyncio.Protocol]:
    """The `http` of a uvicorn configuration that asks `check` about each connection; None: everybody is served."""
    if check is None:
        return AutoHTTPProtocol
    admits = check.admits

    class GuardedHttp(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
        """Serves who is admitted."""

        def connection_made(self, transport: asyncio.Transport) -> None:
            peer, own = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
            if peer is not None and own is not None and admits(peer[:2], own[:2]):
                super().connection_made(transport)
                return
            refused = _Refused()
            transport.set_protocol(refused)
            refused.connection_made(transport)

    return GuardedHttp


class _Refused(asyncio.Protocol):
    """Says why and closes. What the client still sends is dropped: closing earlier would take the sentence back."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._left = _LINGER_BYTES
        self._timer = asyncio.get_running_loop().call_later(_LINGER_SECONDS, transport.abort)
        transport.write(REFUSAL)
        with contextlib.suppress(OSError):  # The client is gone already.
            transport.write_eof()

    def data_received(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
