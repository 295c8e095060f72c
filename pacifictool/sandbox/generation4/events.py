"""Events of 4.x: lifecycle events, and messages that pass through nodes in debug mode."""

from __future__ import annotations

import uuid
from typing import Any

from pacifictool.sandbox.events import EventLog
from pacifictool.sandbox.generation4.messages import ChainMessage
from pacifictool.sandbox.generation4.readings import dump
from pacifictool.sandbox.ids import IdFactory
from pacifictool.sandbox.store import Store

NODE, CHAIN = "RULE_NODE", "RULE_CHAIN"
DEBUG = "DEBUG_RULE_NODE"


class EventLog4(EventLog):
    """The log of rule chains and their nodes."""

    def __init__(self, store: Store, ids: IdFactory) -> None:
        super().__init__(store, ids)
        self.server = "vm"

    def debug(
        self, tenant: str, node: str, direction: str, message: ChainMessage, relation: str | None, error: str | None
    ) -> None:
        """A message that entered (IN) or left (OUT) a node."""
        body: dict[str, Any] = {
            "type": direction,
            "server": self.server,
            "entityId": message.device.entity.id,
            "entityType": "DEVICE",
            "msgId": str(uuid.uuid4()),
            "msgType": message.type,
            "dataType": "JSON",
            "relationType": relation,
            "data": dump(message.data),
            "metadata": dump(message.metadata),
        }
        if error is not None:
            body["error"] = error
        self._add(tenant, NODE, node, DEBUG, body)
