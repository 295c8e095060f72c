"""Which folders belong to pacifictool: they contain a marker file, and no other folder is written into or emptied.

A folder that a command writes into is claimed first. An empty or missing folder gets the marker, a folder with the
marker of the same kind is used again, and anything else is refused before the first change: it may be a folder of the
user that happens to have the name. Folders of earlier versions have no marker; each kind recognises their layout and
adopts them.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pacifictool.errors import ForeignFolder

MARKER = ".pacifictool-folder.json"
_MARKER_LIMIT_BYTES = 4096
_NOT_CONTENT = frozenset({MARKER, f"{MARKER}.new", "lost+found"})
"""Names that an empty folder may hold: a marker whose writer was killed, and what ext4 puts into each file system."""
_SHOWN_NAMES = 3


@dataclass(frozen=True, slots=True)
class FolderKind:
    """What a folder is for."""

    name: str
    """Its name in the marker; a contract with later versions."""
    title: str
    """Its name in messages: "a job's checkpoint"."""
    option: str
    """The option that sets it, for the hint: "--checkpoint"."""
    made_earlier: Callable[[Path], bool]
    """Whether an earlier version made a folder without a marker. Reads only names and first bytes."""
    format: int = 1
    """The newest layout that this version reads and writes."""


def claim(folder: Path, kind: FolderKind) -> None:
    """Marks `folder` as pacifictool's, with access for its owner only (mode 0700), unless it is already.

    Creates it, and its parents, when missing. Raises ForeignFolder for a folder that holds something else, belongs to
    another user or is a symbolic link; then nothing was changed. Raises OSError when it cannot be created or written.
    """
    # Imported here: it takes 26 ms that commands which only check a folder need not spend.
    from filelock import lock_descriptor

    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700, parents=True)
    with _opened(folder, kind) as handle:
        # Two commands that start at once must not both find the folder empty. Some file systems have no such lock.
        with contextlib.suppress(OSError):
            lock_descriptor(handle)
        if not _is_ours(folder, handle, kind):
            os.fchmod(handle, 0o700)
            _write_marker(handle, kind)
        elif stat.S_IMODE(os.fstat(handle).st_mode) != 0o700:
            os.fchmod(handle, 0o700)


def check(folder: Path, kind: FolderKind) -> bool:
    """Whether `folder` is of this kind; False when it is missing or empty. Changes nothing.

    Raises ForeignFolder as `claim` does.
    """
    if not os.path.lexists(folder):
        return False
    with _opened(folder, kind) as handle:
        return _is_ours(folder, handle, kind) or _is_earlier(folder, handle, kind)


def remove(folder: Path, kind: FolderKind) -> None:
    """Deletes a folder of pacifictool with its content; does nothing when it is missing or empty.

    The marker is deleted last: after an interruption the rest can still be recognised, and removed. Raises
    ForeignFolder as `claim` does, and OSError when something cannot be deleted.
    """
    if not check(folder, kind):
        return
    claim(folder, kind)
    for path in folder.iterdir():
        if path.name == MARKER:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    (folder / MARKER).unlink()
    folder.rmdir()


@contextlib.contextmanager
def _opened(folder: Path, kind: FolderKind) -> Iterator[int]:
    """The folder's descriptor: it refers to this folder even if the path leads elsewhere later."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        # Linux reports a symbolic link as ENOTDIR when a directory is asked for, other systems as ELOOP.
        if error.errno in (errno.ELOOP, errno.ENOTDIR) and folder.is_symlink():
            raise _refused(
                folder, kind, f"is a symbolic link to {folder.readlink()}", "Name the folder it leads to"
            ) from error
        if error.errno == errno.ENOTDIR:
            raise _refused(folder, kind, "is not a folder") from error
        raise _refused(folder, kind, f"cannot be opened: {(error.strerror or str(error)).lower()}") from error
    try:
        owner = os.fstat(handle).st_uid
        if owner != os.geteuid():
            user = _user_name(owner)
            raise _refused(folder, kind, f"belongs to another user ({user})", f"Run the command as {user}")
        yield handle
    finally:
        os.close(handle)


def _is_ours(folder: Path, handle: int, kind: FolderKind) -> bool:
    """Whether the marker says so; False for a folder to be marked: empty, or made by an earlier version."""
    marker = _read_marker(folder, handle, kind)
    if marker is None:
        names = sorted(set(os.listdir(handle)) - _NOT_CONTENT)
        if names and not _is_earlier(folder, handle, kind):
            more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
            shown = ", ".join(names[:_SHOWN_NAMES]) + more
            raise _refused(folder, kind, f"was not made by pacifictool as {kind.title}; it holds {shown}")
        return False
    if marker.get("kind") != kind.name:
        raise _refused(folder, kind, f"holds something else of pacifictool ({marker.get('kind')})")
    version = marker.get("format")
    if not isinstance(version, int) or version > kind.format:
        raise _refused(
            folder,
            kind,
            f"was made by another version of pacifictool (format {version}; this version knows up to {kind.format})",
            "Use that version",
        )
    return True


def _is_earlier(folder: Path, handle: int, kind: FolderKind) -> bool:
    return bool(set(os.listdir(handle)) - _NOT_CONTENT) and kind.made_earlier(folder)


def _read_marker(folder: Path, handle: int, kind: FolderKind) -> dict[str, Any] | None:
    try:
        marker = os.open(MARKER, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=handle)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _refused(folder, kind, f"has a marker {MARKER} that cannot be read: {error.strerror}") from error
    with os.fdopen(marker, "rb") as file:
        status = os.fstat(marker)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            raise _refused(folder, kind, f"has a marker {MARKER} that was not written by this user")
        try:
            document = json.loads(file.read(_MARKER_LIMIT_BYTES))
        except ValueError:
            document = None
    if not isinstance(document, dict):
        raise _refused(folder, kind, f"has a marker {MARKER} that holds no JSON object")
    return document


def _write_marker(handle: int, kind: FolderKind) -> None:
    """Writes the marker whole or not at all."""
    document = {"made_by": "pacifictool", "kind": kind.name, "format": kind.format}
    unfinished = f"{MARKER}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(unfinished, dir_fd=handle)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(unfinished, flags, 0o600, dir_fd=handle), "w", encoding="utf-8") as file:
        file.write(json.dumps(document) + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.rename(unfinished, MARKER, src_dir_fd=handle, dst_dir_fd=handle)
    os.fsync(handle)  # the directory entry must survive a power failure, too


def _refused(folder: Path, kind: FolderKind, found: str, advice: str | None = None) -> ForeignFolder:
    way_out = "give a folder that is empty or does not exist yet"
    hint = f"{advice}, or {way_out}" if advice else way_out.capitalize()
    return ForeignFolder(
        f"The folder {folder} cannot be used for {kind.title}: it {found}.",
        hint=f"{hint} with {kind.option}. Nothing in it was changed.",
        folder=str(folder),
    )


def _user_name(number: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user id {number}"


def _first_bytes(path: Path, size: int) -> bytes:
    """The beginning of a regular file of this user; nothing for anything else."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        return file.read(size) if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() else b""


def _is_sqlite(path: Path) -> bool:
    return _first_bytes(path, 16) == b"SQLite format 3\0"


def _is_own_directory(path: Path) -> bool:
    """Whether it is a folder of this user, and not a link."""
    with contextlib.suppress(OSError):
        status = path.lstat()
        return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
    return False


def _was_checkpoint(folder: Path) -> bool:
    """A state store of version 0.1 with the job's identity; before its first batch, only the files of a start."""
    if not _is_sqlite(folder / "ledger.sqlite"):
        return False
    try:
        identity = json.loads(_first_bytes(folder / "job.json", 1_000_000))
    except ValueError:
        return {path.name for path in folder.iterdir()} <= {
            *("lock", "tmp", "spark.log", "spark-jvm.log"),
            *(f"ledger.sqlite{suffix}" for suffix in ("", "-wal", "-shm", "-journal")),
        }
    return isinstance(identity, dict) and {"topic", "window_ms"} <= identity.keys()


def _was_broker(folder: Path) -> bool:
    """The settings that pacifictool writes, and nothing else but files of the broker."""
    names = {path.name for path in folder.iterdir()}
    known = {"topics", "tmp", "lock", "server.properties", "broker.log", "broker.log.1", *_NOT_CONTENT}
    return names <= known and b"\nlog.dirs=topics\n" in b"\n" + _first_bytes(folder / "server.properties", 100_000)


def _was_platform(folder: Path) -> bool:
    """Database and signing key, or only the log of a start that failed."""
    names = {path.name for path in folder.iterdir()} - _NOT_CONTENT
    if names == {"sandbox.log"}:
        return True
    return _is_sqlite(folder / "sandbox.db") and bool(_first_bytes(folder / "signing.key", 1))


def _was_sandbox(folder: Path) -> bool:
    """One of the two parts is pacifictool's, or there is only the log of a start that failed before it made them."""
    if {path.name for path in folder.iterdir()} - _NOT_CONTENT <= {"sandbox.log"}:
        return True
    parts = ((BROKER, folder / "kafka"), (PLATFORM, folder / "platform"))
    for kind, part in parts:
        if _is_own_directory(part):
            with contextlib.suppress(ForeignFolder):
                if check(part, kind):
                    return True
    return False


CHECKPOINT = FolderKind("checkpoint", "a job's checkpoint", "--checkpoint", _was_checkpoint)
BROKER = FolderKind("kafka-broker", "the data of the Kafka broker", "--data", _was_broker)
PLATFORM = FolderKind("sandbox-platform", "the data of the sandbox platform", "--data", _was_platform)
SANDBOX = FolderKind("sandbox", "the data of a sandbox", "--data", _was_sandbox)
