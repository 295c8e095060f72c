"""The limit of open files, which is the limit of connections."""

from __future__ import annotations

from typing import Final

from pacifictool.errors import MqttError

_SPARE_DESCRIPTORS: Final = 64


def ensure_descriptors(connections: int) -> None:
    """Raises the limit of open files of this process so that `connections` fit.

    Raises MqttError, with the command to run, when the hard limit is too low.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    needed = connections + _SPARE_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise MqttError(
            f"{connections} connections need {needed} open files; the system allows this process {hard}.",
            hint=f"Raise the hard limit (as root: ulimit -Hn {needed}, or limits.conf), or simulate fewer devices.",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
