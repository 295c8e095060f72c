"""A disk that can be filled up under a running job, and emptied again."""

from __future__ import annotations

import resource
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import psutil

_LIMIT_BYTES = 4096


class SmallDisk:
    """A separate file system at `folder`, in memory.

    Where this user may not mount one, `fill` instead limits the processes' file sizes (as `ulimit -f` does), which
    makes the same calls fail; processes that start later are not limited.
    """

    def __init__(self, folder: Path, *, megabytes: int) -> None:
        self.folder = folder
        self._megabytes = megabytes
        self._filler = folder / "filler"
        self.is_mounted = False

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True)
        options = f"size={self._megabytes}m,mode=0700"
        mount = ["mount", "-t", "tmpfs", "-o", options, "pacifictool-test", str(self.folder)]
        self.is_mounted = subprocess.run(mount, check=False, capture_output=True).returncode == 0
        return self

    def __exit__(self, *_: object) -> None:
        if self.is_mounted:
            self._umount()

    def fill(self, pid: int) -> None:
        """Leaves no space for the process `pid` and its descendants."""
        if not self.is_mounted:
            for process in _family(pid):
                resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (_LIMIT_BYTES, resource.RLIM_INFINITY))
            return
        with self._filler.open("wb", buffering=0) as filler:
            for size in (1 << 20, 1 << 12, 1):
                try:
                    while True:
                        filler.write(bytes(size))
                except OSError:
                    continue

    def free(self) -> None:
        """Frees the space."""
        self._filler.unlink(missing_ok=True)

    def _umount(self) -> None:
        # A process that was just killed may keep a file open for a moment.
        for _ in range(50):
            if subprocess.run(["umount", str(self.folder)], check=False, capture_output=True).returncode == 0:
                return
            time.sleep(0.1)
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)


def _family(pid: int) -> Iterator[psutil.Process]:
    process = psutil.Process(pid)
    yield process
    yield from process.children(recursive=True)
