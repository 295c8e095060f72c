"""Where window means go. `base` holds the contract; each other module is one way out."""

from pacifictool.aggregation.sinks.base import Receipt, Sink, by_zone
from pacifictool.aggregation.sinks.console import ConsoleSink

__all__ = ["ConsoleSink", "Receipt", "Sink", "by_zone"]
