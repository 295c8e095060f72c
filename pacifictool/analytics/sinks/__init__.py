"""Where window means go. `base` holds the contract; `registry` knows every way out by name."""

from pacifictool.analytics.sinks.base import Receipt, Sink, by_zone
from pacifictool.analytics.sinks.console import ConsoleSink

__all__ = ["ConsoleSink", "Receipt", "Sink", "by_zone"]
