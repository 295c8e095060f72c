"""A sandbox that outlives its command: starts, finds and stops the daemon.

`sandbox up` starts a daemon that holds the stack and writes `sandbox.json` into the data folder when it is ready. The
other commands find the sandbox by that file.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic, sleep

import psutil

from pacifictool.errors import (
    BrokerFailed,
    ForeignFolder,
    JarsMissing,
    JavaMissing,
    PacificToolError,
    PortInUse,
    SandboxError,
    StorageFull,
    error_of_document,
    file_fault,
)
from pacifictool.local.stack import KAFKA_JAVA_CONFIG_FILE, LOG_FILE, LOGIN_FILES, PAGE_FILE
from pacifictool.private_files import PRIVATE_UMASK, write_private
from pacifictool.progress import SILENT, Reporter
from pacifictool.runtime.cache import writing
from pacifictool.runtime.own_folder import BROKER, PLATFORM, SANDBOX, check, remove
from pacifictool.settings import without_secrets

STATE_FILE = "sandbox.json"
_PARTS = {"kafka": BROKER, "platform": PLATFORM}
START_SECONDS = 90.0
STOP_SECONDS = 15.0
_KINDS: tuple[type[PacificToolError], ...] = (
    PortInUse,
    StorageFull,
    JavaMissing,
    JarsMissing,
    BrokerFailed,
    ForeignFolder,
)
"""The errors that a daemon may end with."""


@dataclass(frozen=True, slots=True)
class SandboxState:
    """A running sandbox as its state file describes it."""

    pid: int
    process_created: float
    """When the daemon started (seconds since the epoch), so that a reused process id is not mistaken for it."""
    url: str
    mqtt: str
    kafka: str
    data: str
    generation: int = 1
    kafka_config: str | None = None
    """The properties file for Kafka clients, with librdkafka's names; None: they need none."""
    kafka_java_config: str | None = None
    """The same for Kafka's own tools."""

    def process(self) -> psutil.Process | None:
        """The daemon's process, if it is still running."""
        try:
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.process_created) < 1 and process.status() != psutil.STATUS_ZOMBIE:
                return process
        except psutil.NoSuchProcess:
            pass
        return None


def read_state(data_dir: Path) -> SandboxState | None:
    """The sandbox that runs on `data_dir`; None if there is none. A state file that a crash left is ignored.

    Raises ForeignFolder: a state file names a process to stop, so it must be the user's own.
    """
    if not check(data_dir, SANDBOX):
        return None
    try:
        document = json.loads((data_dir / STATE_FILE).read_text(encoding="utf-8"))
        state = SandboxState(**document)
    except (OSError, ValueError, TypeError):
        return None
    return state if state.process() is not None else None


def write_state(
    data_dir: Path, *, url: str, mqtt: str, kafka: str, generation: int = 1, kafka_config: Path | None = None
) -> SandboxState:
    """Records that this process is the daemon of the sandbox on `data_dir`."""
    state = SandboxState(
        pid=os.getpid(),
        process_created=psutil.Process().create_time(),
        url=url,
        mqtt=mqtt,
        kafka=kafka,
        data=str(data_dir),
        generation=generation,
        kafka_config=None if kafka_config is None else str(kafka_config),
        kafka_java_config=None if kafka_config is None else str(data_dir / KAFKA_JAVA_CONFIG_FILE),
    )
    write_private(data_dir / STATE_FILE, json.dumps(asdict(state), indent=2) + "\n")
    return state


def forget_state(data_dir: Path) -> None:
    """Removes the state file when the sandbox ends."""
    with writing(data_dir, "the data of the sandbox"):
        (data_dir / STATE_FILE).unlink(missing_ok=True)


def start_daemon(
    data_dir: Path, arguments: Sequence[str], environ: Mapping[str, str], reporter: Reporter = SILENT
) -> SandboxState:
    """Starts `pacifictool sandbox up --foreground` as a daemon and waits until the sandbox is ready.

    Raises the daemon's own error if it ends, and SandboxError if it is not ready within START_SECONDS.
    """
    log_path = data_dir / LOG_FILE
    # Other users may be able to read the folder.
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
    with os.fdopen(os.open(log_path, flags, 0o600), "wb") as log:
        process = subprocess.Popen(
            # -P: Python would look for modules in the current folder first.
            [sys.executable, "-P", "-m", "pacifictool", "sandbox", "up", "--foreground", "-o", "json", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=without_secrets(environ),
            start_new_session=True,
            umask=PRIVATE_UMASK,
        )
    deadline = monotonic() + START_SECONDS
    try:
        with reporter.task("Starting the sandbox"):
            while monotonic() < deadline:
                state = read_state(data_dir)
                if state is not None and state.pid == process.pid:
                    return state
                if process.poll() is not None:
                    raise _failure(log_path)
                sleep(0.05)
        raise SandboxError(f"The sandbox was not ready within {START_SECONDS:.0f} s.", hint=f"See its log: {log_path}")
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        raise


def _failure(log_path: Path) -> PacificToolError:
    """The error that the daemon ended with: its log ends with the JSON document of a failed command."""
    log = log_path.read_text(encoding="utf-8", errors="replace")
    try:
        return error_of_document(json.loads(log[log.rindex("\n{\n") :]), SandboxError, *_KINDS)
    except (ValueError, KeyError, TypeError):
        return SandboxError("The sandbox ended while it started.", hint=f"See its log: {log_path}")


def stop_daemon(data_dir: Path, reporter: Reporter = SILENT) -> bool:
    """Stops the sandbox on `data_dir`; False if none is running. Raises ForeignFolder."""
    state = read_state(data_dir)
    process = None if state is None else state.process()
    if process is None:
        if check(data_dir, SANDBOX):
            forget_state(data_dir)
        return False
    with reporter.task("Stopping the sandbox"), contextlib.suppress(psutil.NoSuchProcess):
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(5)
    forget_state(data_dir)
    return True


def check_data(data_dir: Path) -> None:
    """Raises ForeignFolder if `data_dir`, or a folder in it that `delete_data` removes, is not a sandbox's."""
    check(data_dir, SANDBOX)
    for name, kind in _PARTS.items():
        check(data_dir / name, kind)


def delete_data(data_dir: Path) -> None:
    """Deletes the data of a stopped sandbox, after `check_data`. Raises SandboxError if something cannot be deleted."""
    check_data(data_dir)
    if not check(data_dir, SANDBOX):
        return
    try:
        for name, kind in _PARTS.items():
            remove(data_dir / name, kind)
        for name in (LOG_FILE, f"{LOG_FILE}.1", STATE_FILE, PAGE_FILE, *LOGIN_FILES):
            (data_dir / name).unlink(missing_ok=True)
    except OSError as error:
        raise SandboxError(
            f"The sandbox's data in {data_dir} cannot be deleted: {file_fault(error)} ({error.filename}).",
            hint="Correct the owner and mode of that path, then repeat `sandbox reset`.",
        ) from error
