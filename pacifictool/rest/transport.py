"""One HTTP exchange with the platform: the only module that knows `requests`.

Whatever goes wrong on the way leaves here as a `PlatformError`. Environment variables, .netrc files and cookies play no
part, redirects are not followed, and an answer is never read beyond a limit: so that of requests only the adapter is
needed, which is also a fifth cheaper than a session of requests around it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_ACCEPT_ENCODING
from urllib3.exceptions import DecodeError, HTTPError, NameResolutionError, NewConnectionError, ReadTimeoutError

import pacifictool
from pacifictool.errors import (
    InvalidRequest,
    NotAPlatform,
    PacificToolError,
    PlatformUnreachable,
    SettingsError,
    UnexpectedAnswer,
)
from pacifictool.settings import TlsFiles

DEFAULT_TIMEOUT_SECONDS = (5.0, 30.0)
"""To connect; between two pieces of an answer. A 1.x server gives up on its own work after 30 s
(docs/servers/1.x.md#telemetry-over-rest, row 19)."""

MAX_ANSWER_BYTES = 64 * 1024 * 1024
NO_TLS_FILES = TlsFiles()
"""The system's authorities, no certificate of our own."""

_PIECE_BYTES = 64 * 1024
_WHOLE_ANSWER_FACTOR = 4
"""A body must be complete within so many read time-outs, however steadily it trickles."""

_PLAIN_PATH = re.compile(r"(?:/[A-Za-z0-9_-]+)+")
"""Paths in which there is nothing to quote or to resolve."""

Params = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever its status."""

    status: int
    content_type: str
    body: bytes
    location: str | None = None
    retry_after: str | None = None
    date: str | None = None


class Transport:
    """A pool of connections to one server. Usable from many threads; no more than `pool_size` requests are open."""

    def __init__(
        self,
        url: str,
        tls: TlsFiles = NO_TLS_FILES,
        *,
        timeout_seconds: tuple[float, float] = DEFAULT_TIMEOUT_SECONDS,
        pool_size: int = 64,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout_seconds
        self._max_answer_bytes = max_answer_bytes
        self._headers = {
            "User-Agent": f"pacifictool/{pacifictool.__version__}",
            "Accept-Encoding": DEFAULT_ACCEPT_ENCODING,
        }
        self._verify = str(tls.ca_file) if tls.ca_file is not None else True
        self._cert = _client_certificate(tls)
        self._blank: requests.PreparedRequest | None = None
        self._adapter = HTTPAdapter(pool_connections=1, pool_maxsize=pool_size, pool_block=True)

    def close(self) -> None:
        self._adapter.close()

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """Sends one request and reads the whole answer.

        Raises PlatformUnreachable (its `sent` detail tells whether the server may have got the request), NotAPlatform
        when what answers does not speak HTTP, UnexpectedAnswer when the answer is too long, InvalidRequest when the
        request cannot be written down as HTTP.
        """
        what = f"{method} {path}"
        prepared = self._prepared(method, path, params, headers, body)
        try:
            with self._adapter.send(
                prepared, stream=True, timeout=self._timeout, verify=self._verify, cert=self._cert
            ) as response:
                return Answer(
                    status=response.status_code,
                    content_type=response.headers.get("Content-Type", ""),
                    body=self._read(response, what),
                    location=response.headers.get("Location"),
                    retry_after=response.headers.get("Retry-After"),
                    date=response.headers.get("Date"),
                )
        except (requests.RequestException, HTTPError, OSError) as error:
            raise self._translate(error, what) from error

    def _prepared(
        self, method: str, path: str, params: Params | None, headers: Mapping[str, str] | None, body: bytes | None
    ) -> requests.PreparedRequest:
        try:
            if params is not None or _PLAIN_PATH.fullmatch(path) is None:
                every = {**self._headers, **(headers or {})}
                return requests.Request(method, self.url + path, params=params, headers=every, data=body).prepare()
            if self._blank is None:
                self._blank = requests.Request("GET", f"{self.url}/", headers=self._headers).prepare()
            # Of 0.7 ms of processor time a request, preparing takes 0.2: all but these five is the same each time.
            prepared = self._blank.copy()
            prepared.method, prepared.url, prepared.body = method, self.url + path, body or None
            prepared.headers.update(headers or {})
            prepared.prepare_content_length(prepared.body)
            return prepared
        except (requests.RequestException, ValueError) as error:
            # ValueError: lone surrogates in a name, or a URL that urllib3 cannot take apart.
            raise InvalidRequest(
                f"{method} {path} cannot be sent to {self.url}: {error}.", request=f"{method} {path}"
            ) from error

    def _read(self, response: requests.Response, what: str) -> bytes:
        patience = self._timeout[1] * _WHOLE_ANSWER_FACTOR
        deadline = time.monotonic() + patience
        pieces: list[bytes] = []
        length = 0
        # read1 returns what is there: iter_content would wait for a whole piece, however slowly it trickles.
        while piece := response.raw.read1(_PIECE_BYTES, decode_content=True):
            pieces.append(piece)
            length += len(piece)
            if length > self._max_answer_bytes:
                raise UnexpectedAnswer(
                    f"The answer of {self.url} to {what} is longer than {self._max_answer_bytes} bytes.",
                    status=response.status_code,
                    request=what,
                )
            if time.monotonic() > deadline:
                raise PlatformUnreachable(
                    f"The answer of {self.url} to {what} trickled for {patience:g} s without an end.",
                    hint="Check the network between here and the server.",
                    request=what,
                    sent=True,
                )
        return b"".join(pieces)

    def _translate(self, error: Exception, what: str) -> PacificToolError:
        """Says what a failure of requests, urllib3 or the operating system means."""
        causes = list(_causes(error))
        text = " ".join(str(cause) for cause in causes)
        if isinstance(error, requests.exceptions.SSLError):
            return self._tls_failure(text, what)
        if isinstance(error, OSError) and not isinstance(error, requests.RequestException):
            return SettingsError(
                f"A TLS file cannot be used: {error}.", hint="Check --ca-file, --cert-file, --key-file."
            )
        if isinstance(error, requests.ConnectTimeout):
            return self._unreachable(f"did not answer within {self._timeout[0]:g} s", what, sent=False)
        if isinstance(error, requests.ReadTimeout | ReadTimeoutError):
            return self._unreachable(f"gave no answer to {what} within {self._timeout[1]:g} s", what, sent=True)
        if any(isinstance(cause, NameResolutionError) for cause in causes):
            return self._unreachable("cannot be found: its name has no address", what, sent=False)
        if any(isinstance(cause, NewConnectionError) for cause in causes):
            reason = next((cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror), None)
            return self._unreachable(f"cannot be reached: {(reason or 'no connection').lower()}", what, sent=False)
        if isinstance(error, DecodeError):
            return UnexpectedAnswer(f"The answer of {self.url} to {what} cannot be unpacked.", request=what)
        if "BadStatusLine" in text or "LineTooLong" in text or "HeaderParsingError" in text:
            return NotAPlatform(
                f"Something that does not speak HTTP answers at {self.url}.",
                hint="Check the port of --url; the platform's REST port is usually 8080.",
                request=what,
            )
        return self._unreachable(f"broke off the connection during {what}", what, sent=True)

    def _unreachable(self, reason: str, what: str, *, sent: bool) -> PlatformUnreachable:
        hint = "Check that the server runs and that --url names it. `pacifictool sandbox up` starts a local platform."
        if sent and self.url.startswith("https:"):
            # With TLS 1.3 a server looks at our certificate after the handshake, and often just hangs up then.
            hint += " If the server asks for a certificate, give --cert-file and --key-file."
        return PlatformUnreachable(
            f"The platform at {self.url} {reason}.",
            hint=hint,
            request=what,
            sent=sent,
        )

    def _tls_failure(self, text: str, what: str) -> PlatformUnreachable:
        host = urlsplit(self.url).hostname
        if "WRONG_VERSION_NUMBER" in text or "HTTP_REQUEST" in text or "RECORD_LAYER_FAILURE" in text:
            message, hint = f"The server at {self.url} does not speak TLS.", "Use http:// in --url."
        elif "hostname mismatch" in text.lower() or "not valid for" in text or "doesn't match" in text:
            message = f"The certificate of {self.url} was issued for another name than {host}."
            hint = "Use the name that the certificate was issued for in --url."
        elif "has expired" in text:
            message, hint = f"The certificate of {self.url} has expired.", "Have it renewed; verification stays on."
        elif "CERTIFICATE_VERIFY_FAILED" in text:
            message = f"The certificate of {self.url} was not issued by an authority that is trusted here."
            hint = "Name the certificate authority's PEM file with --ca-file."
        else:
            message = f"No TLS connection to {self.url} could be agreed on: {_tls_reason(text)}."
            hint = "Check --ca-file; if the server asks for a certificate, give --cert-file and --key-file."
        return PlatformUnreachable(message, hint=hint, request=what, sent=False, tls=True)


def _client_certificate(tls: TlsFiles) -> str | tuple[str, str] | None:
    """Of ours, as requests wants it: one file, or the certificate's and the key's."""
    if tls.cert_file is None or tls.key_file is None:
        return None if tls.cert_file is None else str(tls.cert_file)
    return str(tls.cert_file), str(tls.key_file)


def _causes(error: BaseException) -> list[BaseException]:
    """The error and everything that it wraps, outermost first."""
    found: list[BaseException] = []
    queue: list[object] = [error]
    while queue:
        item = queue.pop(0)
        if not isinstance(item, BaseException) or item in found:
            continue
        found.append(item)
        queue += [*item.args, getattr(item, "reason", None), item.__cause__, item.__context__]
    return found


def _tls_reason(text: str) -> str:
    """The part of OpenSSL's words that says why: `[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert …`."""
    start = text.find("[SSL")
    return text[start:].partition(" (_ssl")[0] if start >= 0 else "the handshake failed"
