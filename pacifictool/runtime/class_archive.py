"""Java's class data sharing (AppCDS): Spark's classes read and checked once on this machine, not at every start.

Loading 16,000 classes is 40 % of Spark's start. From an archive the JVM maps them into its memory instead. It takes a
minute of one processor to make, so it is made in the background, with the lowest priority, while a job runs that found
none; later starts use it. An archive that fits no longer (another Java, another jar) the JVM leaves aside by itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from pacifictool.runtime.processes import ManagedProcess

FOLDER = "classes"
"""Of the cache folder: where archives are kept."""

_FREE_BYTES = 1_000_000_000
"""An archive has 200 MB; where space is scarce it is not what we spend it on."""

_OURS = re.compile(r"spark-[0-9a-f]{16}\.jsa")
"""The cache may be a folder that holds other programs' archives, too."""

_KEPT = 2
"""Of archives that belong to other runtimes or class paths, so many of the newest stay."""

_BUILD = '"$@" && mv -f "$0.new" "$0"'
_IN_THE_BACKGROUND = ("nice", "-n", "19")


class ClassArchive:
    """The archive for one Java runtime and one class path."""

    def __init__(self, folder: Path, *, java_home: Path, class_path: Sequence[Path]) -> None:
        """`folder` keeps all archives. An entry FOLDER/* of the class path means all jars in that folder."""
        self._folder = folder
        self._java_home = java_home
        self.class_path = os.pathsep.join(map(str, class_path))
        fits = "\n".join([str(java_home), _release(java_home), self.class_path, *map(_state, class_path)])
        self._path = folder / f"spark-{hashlib.sha256(fits.encode()).hexdigest()[:16]}.jsa"

    def options(self, class_list: Path) -> list[str]:
        """JVM options that use the archive, or, without one, write down in `class_list` what it would have to hold."""
        if self._path.is_file():
            return [f"-XX:SharedArchiveFile={self._path}"]
        return [f"-XX:DumpLoadedClassList={class_list}"]

    def build(self, class_list: Path, *, in_background: bool = True) -> ManagedProcess | None:
        """Starts making it out of what a JVM has written so far; whoever stops the process before leaves no archive.

        `in_background`: at the lowest priority. None when there is one, when another process is making it, and when the
        cache cannot hold it.
        """
        work = self._path.with_suffix(".jsa.new")
        priority = _IN_THE_BACKGROUND if in_background else ()
        log = self._path.with_suffix(".log")
        # Whatever is wrong with the cache: a job does not fail for the sake of the next one's start.
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            if self._path.is_file() or shutil.disk_usage(self._folder).free < _FREE_BYTES:
                return None
            lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # The JVM is still writing: its last line may be half a line.
                whole, _, _ = class_list.read_text(encoding="utf-8").rpartition("\n")
                listed = class_list.with_suffix(".whole")
                listed.write_text(f"{whole}\n", encoding="utf-8")
                log.unlink(missing_ok=True)
                self._remove_old()
                return ManagedProcess(
                    ["/bin/sh", "-c", _BUILD, str(self._path), *priority, *self._dump_command(listed, work)],
                    log_path=log,
                    pass_fds=[lock],
                )
            finally:
                os.close(lock)
        return None

    def _remove_old(self) -> None:
        ours = (path for path in self._folder.iterdir() if _OURS.fullmatch(path.name))
        others = sorted(ours, key=lambda path: path.stat().st_mtime)
        for path in others[:-_KEPT]:
            path.unlink(missing_ok=True)
            path.with_suffix(".log").unlink(missing_ok=True)

    def _dump_command(self, class_list: Path, target: Path) -> list[str]:
        return [
            str(self._java_home / "bin" / "java"),
            "-Xshare:dump",
            "-Xmx1g",
            f"-XX:SharedClassListFile={class_list}",
            f"-XX:SharedArchiveFile={target}",
            "-cp",
            self.class_path,
        ]


def _release(java_home: Path) -> str:
    with contextlib.suppress(OSError):
        return (java_home / "release").read_text(encoding="utf-8", errors="replace")
    return ""


def _state(path: Path) -> str:
    with contextlib.suppress(OSError):
        status = (path.parent if path.name == "*" else path).stat()
        return f"{status.st_size} {status.st_mtime_ns}"
    return ""
