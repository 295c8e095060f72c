"""`python -m pacifictool.sandbox`: runs a sandbox in the foreground.

The one module of this package that imports `pacifictool.local`, which checks who connects. A command of this name that
left the checks out would let in every user of the machine.
"""

from __future__ import annotations

import sys

from pacifictool.local.server import main

if __name__ == "__main__":
    sys.exit(main())
