"""Messages on their way through rule chains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pacifictool.sandbox.devices import SandboxDevice

POST_TELEMETRY, POST_ATTRIBUTES = "POST_TELEMETRY_REQUEST", "POST_ATTRIBUTES_REQUEST"
RELATION_OF_TYPE = {
    POST_TELEMETRY: "Post telemetry",
    POST_ATTRIBUTES: "Post attributes",
    "TO_SERVER_RPC_REQUEST": "RPC Request from Device",
    "RPC_CALL_FROM_SERVER_TO_DEVICE": "RPC Request to Device",
    "ACTIVITY_EVENT": "Activity Event",
    "INACTIVITY_EVENT": "Inactivity Event",
    "CONNECT_EVENT": "Connect Event",
    "DISCONNECT_EVENT": "Disconnect Event",
    "ENTITY_CREATED": "Entity Created",
    "ENTITY_UPDATED": "Entity Updated",
    "ENTITY_DELETED": "Entity Deleted",
    "ATTRIBUTES_UPDATED": "Attributes Updated",
    "ATTRIBUTES_DELETED": "Attributes Deleted",
    "TIMESERIES_UPDATED": "Timeseries Updated",
}
"""The relation that the message type switch follows for each type; "Other" for any other type."""
SUCCESS, FAILURE = "Success", "Failure"


@dataclass(frozen=True, slots=True)
class ChainMessage:
    """`data` is JSON, `metadata` are texts. `inputs` are the nodes through which it entered other chains."""

    type: str
    device: SandboxDevice
    data: Any
    metadata: dict[str, str]
    inputs: tuple[Any, ...] = ()

    def changed(
        self, *, type_: str | None = None, data: Any = None, metadata: dict[str, str] | None = None
    ) -> ChainMessage:
        """A copy with other content."""
        # Not dataclasses.replace, which takes ten times as long; every message is copied several times.
        return ChainMessage(
            self.type if type_ is None else type_,
            self.device,
            self.data if data is None else data,
            self.metadata if metadata is None else metadata,
            self.inputs,
        )

    def entering(self, node: Any) -> ChainMessage:
        """The message after it entered another chain through the input node `node`."""
        return ChainMessage(self.type, self.device, self.data, self.metadata, (*self.inputs, node))


Tell = Callable[[str, ChainMessage, str | None], None]
"""How a node emits a message: relation, message, and the error if the relation is "Failure"."""
