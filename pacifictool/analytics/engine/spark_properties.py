"""The properties that Spark's context starts with."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pacifictool.analytics.engine.spark import SparkSettings

_LOCAL: Final = re.compile(r"local(?:\[(?P<cores>\d+|\*)\])?")
_LONGEST_SOCKET_FOLDER: Final = 64
"""A socket's path has at most 107 bytes, of which Spark's names take 43."""


def spark_properties(
    settings: SparkSettings, folder: Path, *, jars: Sequence[Path], processors: Callable[[], int]
) -> dict[str, str]:
    """What Spark needs to know, as far as spark-submit does not say it.

    `folder` is for temporary files; `processors` says how many the JVM may use.
    """
    properties = {
        "spark.app.name": "pacifictool aggregate",
        "spark.master": _master(settings, processors),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        # Kept in the driver's memory and never looked at.
        "spark.ui.retainedJobs": "1",
        "spark.ui.retainedStages": "1",
        "spark.ui.retainedTasks": "10",
        # Python workers listen for the JVM: at a port, others could try to talk to them.
        "spark.python.unix.domain.socket.enabled": "true",
    }
    if settings.is_guest:
        return properties
    if settings.is_on_loopback:
        properties |= {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
    if settings.is_local:
        properties["spark.local.dir"] = str(folder)
        properties["spark.python.unix.domain.socket.dir"] = _socket_folder(folder)
        # The only executor is this JVM. Spark measures its silence by the clock, which may be set forward.
        properties["spark.storage.blockManagerHeartbeatTimeoutMs"] = "3650d"
    else:
        # Executors fetch them from the driver.
        properties["spark.jars"] = ",".join(str(jar) for jar in jars)
    return properties | _authentication(settings)


def local_threads(master: str) -> int | None:
    """How many threads a master on this machine stands for, 0 for as many as there are processors; None for others."""
    local = _LOCAL.fullmatch(master)
    if local is None:
        return None
    return 0 if local["cores"] == "*" else int(local["cores"] or 1)


def _master(settings: SparkSettings, processors: Callable[[], int]) -> str:
    """The master. A local one gets as many threads again for functions, whose work other processes do."""
    threads = local_threads(settings.master)
    if threads is None or not settings.functions:
        return settings.master
    return f"local[{2 * max(threads or processors(), settings.functions)}]"


def _socket_folder(folder: Path) -> str:
    """Where workers listen. They make their sockets for this user only, also in a folder that all can write to."""
    return str(folder) if len(str(folder).encode()) <= _LONGEST_SOCKET_FOLDER else "/tmp"  # noqa: S108


def _authentication(settings: SparkSettings) -> dict[str, str]:
    """Spark's processes deserialise what comes to their ports, so nobody else may send anything there."""
    if not settings.authenticates:
        return {}
    properties = {"spark.authenticate": "true"}
    if not settings.master.startswith(("yarn", "k8s")):  # these give out a secret of their own
        properties["spark.authenticate.secret"] = settings.secret or secrets.token_hex(32)
    if not settings.is_on_loopback:
        properties |= {"spark.network.crypto.enabled": "true", "spark.io.encryption.enabled": "true"}
    return properties
