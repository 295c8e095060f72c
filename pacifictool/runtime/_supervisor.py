"""Runs one command and ends it when the program that started it dies, however it dies.

Started by `processes.ManagedProcess` as a script: `python -I -S _supervisor.py FD COMMAND ARGUMENT…`. FD is the reading
end of a pipe whose only writing end is held by that program. The kernel closes it with the program, even on SIGKILL; a
byte in it means: kill the command at once. SIGTERM is passed on to the command.

The command runs in its own process group; what is left of the group when the command ends is killed.

(Linux's PR_SET_PDEATHSIG alone is not enough: it fires when the *thread* that started a process ends, and macOS has no
equivalent. Here, with a single thread, it covers the death of the supervisor itself.)

Few imports, and only of the standard library: this starts within 20 ms.
"""

import contextlib
import ctypes
import os
import signal
import sys
import time
from types import FrameType

ORPHAN_GRACE_SECONDS = 3.0
PR_SET_PDEATHSIG = 1  # linux/prctl.h

child = 0


def signal_group(number: int) -> None:
    """Signals the command's process group, if it still exists."""
    # Gone, or (macOS) only zombies are left.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, number)


def on_terminate(_signum: int, _frame: FrameType | None) -> None:
    """Passes SIGTERM on."""
    signal_group(signal.SIGTERM)


def on_child_change(_signum: int, _frame: FrameType | None) -> None:
    """Exits with the command's exit code; ignores a command that is only stopped (SIGSTOP)."""
    pid, status = os.waitpid(child, os.WNOHANG)
    if pid == 0:
        return
    signal_group(signal.SIGKILL)
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def run_command(command: list[str]) -> None:
    """Becomes the command; returns only when that fails."""
    os.setpgid(0, 0)
    for number in (signal.SIGPIPE, signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    try:
        os.execvp(command[0], command)  # noqa: S606 - there is no shell on purpose
    except OSError as error:
        os.write(2, f"{command[0]} cannot be started: {error.strerror}\n".encode())


def main() -> None:
    """Starts the command, then waits for its end or for the end of the parent program."""
    global child  # noqa: PLW0603 - signal handlers have nowhere else to look
    pipe, command = int(sys.argv[1]), sys.argv[2:]
    # Blocked until `child` is set and has its group.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGTERM})
    signal.signal(signal.SIGTERM, on_terminate)
    signal.signal(signal.SIGCHLD, on_child_change)
    child = os.fork()
    if child == 0:
        os.close(pipe)
        run_command(command)
        os._exit(127)
    # The child may already have done so itself.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.setpgid(child, child)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD, signal.SIGTERM})
    if not os.read(pipe, 1):
        signal_group(signal.SIGTERM)
        time.sleep(ORPHAN_GRACE_SECONDS)
    while True:
        signal_group(signal.SIGKILL)
        time.sleep(0.1)  # `on_child_change` exits.


if __name__ == "__main__":
    main()
