"""A context and single checks, without a platform."""

from __future__ import annotations

from tests.support.fixtures import make_context, run_check

__all__ = ["make_context", "run_check"]
