"""What scripts and templates of rules may use for one message; both come from whoever may edit rules."""

from __future__ import annotations

TIME_LIMIT_SECONDS = 0.25
"""Of a processor."""

MEMORY_LIMIT_BYTES = 16 * 1024 * 1024
