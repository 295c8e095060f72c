"""`python -m pacifictool` is the same as `pacifictool`."""

from __future__ import annotations

from pacifictool.cli import main

main()
