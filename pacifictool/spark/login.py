"""How Spark's processes log in to the platform: one picklable value, shown nowhere.

Spark shows a data source's options in its UI and logs, so the password is none of them: `register` puts a
`PlatformLogin` into the class that it registers, and Spark carries that, pickled, to the workers that read and write.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pacifictool.errors import SettingsError, file_fault
from pacifictool.rest import Platform, RetryPolicy, Session
from pacifictool.server_version import ServerVersion
from pacifictool.settings import (
    DEFAULT_LOOPBACK_PASSWORD,
    DEFAULT_USERNAME,
    Level,
    Secret,
    Settings,
    TlsFiles,
    is_loopback,
    parse_url,
)

_RETRY: Final = RetryPolicy(
    attempts=15, first_wait_seconds=0.5, longest_wait_seconds=30.0, longest_retry_after_seconds=300.0
)
"""About four minutes in all: a tenant's limit may be one of requests per minute, and a task that fails costs more."""


@dataclass(frozen=True, slots=True)
class PlatformLogin:
    """Where the platform is and who we are there; certificates by content, as workers on other machines lack files."""

    url: str
    username: str
    password: Secret | None = field(default=None, repr=False)
    api_key: Secret | None = field(default=None, repr=False)
    password_is_published: bool = False
    """Whether the password is the one that every fresh server has, which serves on the loopback interface only."""
    server_version: ServerVersion | None = None
    authority: Secret | None = field(default=None, repr=False)
    certificate: Secret | None = field(default=None, repr=False)
    key: Secret | None = field(default=None, repr=False)
    """PEM texts, None where there are none."""

    @classmethod
    def of_settings(cls, settings: Settings) -> PlatformLogin:
        """The login that these settings name. Raises SettingsError for a PEM file that cannot be read."""
        files = settings.tls_files
        return cls(
            url=settings.url,
            username=settings.username,
            password=settings.password,
            api_key=settings.api_key,
            password_is_published=settings.password is not None
            and settings.origin("password").level is Level.DEFAULT
            and settings.password == Secret(DEFAULT_LOOPBACK_PASSWORD),
            server_version=settings.server_version,
            authority=_content(files.ca_file),
            certificate=_content(files.cert_file),
            key=_content(files.key_file),
        )

    def at(self, url: str | None, username: str | None) -> PlatformLogin:
        """The same with another address or user. Raises SettingsError for an address that is none."""
        changed = replace(self, url=parse_url(url) if url else self.url, username=username or self.username)
        published = is_loopback(urlsplit(changed.url).hostname or "") and changed.username == DEFAULT_USERNAME
        if changed.password is None and changed.api_key is None and published:
            return replace(changed, password=Secret(DEFAULT_LOOPBACK_PASSWORD), password_is_published=True)
        if changed.password_is_published and not published:
            return replace(changed, password=None, password_is_published=False)
        return changed

    def platform(self) -> Platform:
        """A client of the platform, one for each login and process. Raises SettingsError without a password or key."""
        if self.password is None and self.api_key is None:
            raise SettingsError(
                f"No password is known for {self.username} at {self.url}.",
                hint="Set PACIFICTOOL_PASSWORD before you call pacifictool.spark.register, name a file there"
                " (password_file=…), or pass settings; the password is never an option of the data source.",
            )
        return _platforms.get(self)

    def _open(self) -> Platform:
        session = Session(
            self.url, self.username, self.password, api_key=self.api_key, tls=self._tls_files(), retry=_RETRY
        )
        return Platform(session, server_version=self.server_version)

    def _tls_files(self) -> TlsFiles:
        given = {"ca_file": self.authority, "cert_file": self.certificate, "key_file": self.key}
        if not any(given.values()):
            return TlsFiles()
        folder = Path(tempfile.mkdtemp(prefix="pacifictool-tls-"))  # for this user only
        atexit.register(partial(shutil.rmtree, folder, ignore_errors=True))
        files = {}
        for name, text in given.items():
            if text is not None:
                files[name] = folder / f"{name}.pem"
                files[name].write_text(text.reveal(), encoding="utf-8")
        return TlsFiles(**files)


class _Platforms:
    """The clients of this process: tasks that follow one another share connections and tokens."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = 0
        self._open: dict[PlatformLogin, Platform] = {}

    def get(self, login: PlatformLogin) -> Platform:
        with self._lock:
            if self._process != os.getpid():  # Spark's Python workers are forked
                self._process, self._open = os.getpid(), {}
            if login not in self._open:
                self._open[login] = login._open()  # noqa: SLF001 - the two belong together
            return self._open[login]


_platforms = _Platforms()


def without_secrets(options: Mapping[str, str]) -> None:
    """Raises SettingsError when a secret is among the options of a data source, without repeating it."""
    for name in options:
        if name.lower().replace("_", "") in ("password", "apikey", "token", "passwordfile", "apikeyfile"):
            raise SettingsError(
                f"{name} is not an option of the data source: Spark shows options in its UI and logs.",
                hint="Set PACIFICTOOL_PASSWORD or PACIFICTOOL_API_KEY, or pass a file to pacifictool.spark.register.",
            )


def _content(path: Path | None) -> Secret | None:
    if path is None:
        return None
    try:
        return Secret(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {file_fault(error)}.", hint="Name a PEM file.") from error
