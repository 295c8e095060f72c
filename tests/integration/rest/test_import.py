from __future__ import annotations

import subprocess
import sys


def test_the_client_can_be_imported_where_the_modules_of_posix_are_missing() -> None:
    """Windows has none of them."""
    code = (
        "import sys\n"
        "for name in ('fcntl', 'grp', 'pwd', 'resource', 'termios'):\n"
        "    sys.modules[name] = None\n"
        "import pacifictool.rest\n"
        "print(pacifictool.rest.Platform)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
