"""The rule engine of 4.x: every message enters one rule chain and follows the relations that its nodes emit.

A message of a device enters the default chain of the device's profile, or else the root chain. Whatever happens to it
there, the PUBACK was sent before. A chain is live as soon as its metadata are saved; nodes whose type and
configuration stayed the same keep running.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pacifictool.sandbox.devices import SandboxDevice
from pacifictool.sandbox.generation4.documents import Document
from pacifictool.sandbox.generation4.events import CHAIN, NODE, EventLog4
from pacifictool.sandbox.generation4.messages import FAILURE, ChainMessage
from pacifictool.sandbox.generation4.nodes import ChainInput, ChainOutput, Node, NodeRefused, Tools, start_node
from pacifictool.sandbox.generation4.profiles import Profiles
from pacifictool.sandbox.kafka import ProducerRefused
from pacifictool.sandbox.scripting import ScriptRefused
from pacifictool.sandbox.store import Store

MAX_STEPS = 200
"""How many nodes a message may visit: chains can form a cycle."""


@dataclass(slots=True)
class _Running:
    """A running node, or the reason why it does not run."""

    tenant: str
    document: Document
    node: Node | None = None
    error: str | None = None
    next: dict[str, list[_Running]] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return str(self.document["id"]["id"])

    def is_debugged(self, *, failed: bool) -> bool:
        """Whether messages are written to the event log."""
        settings = self.document.get("debugSettings")
        if not settings:
            return False
        until = settings.get("allEnabledUntil") or 0
        return bool(until > time.time() * 1000 or (failed and settings.get("failuresEnabled")))


@dataclass(slots=True)
class _Chain:
    first: _Running | None
    nodes: list[_Running]


class RuleEngine4:
    """Runs messages through chains. All in the event loop's thread."""

    def __init__(self, store: Store, tools: Tools, profiles: Profiles, events: EventLog4) -> None:
        self._store = store
        self._tools = tools
        self._profiles = profiles
        self._events = events
        self._chains: dict[str, _Chain] = {}
        self._roots: dict[str, str] = {}
        self._entry: dict[tuple[str, str], str | None] = {}
        self._changing = asyncio.Lock()

    def use_root(self, tenant: str, chain: str | None) -> None:
        """Makes a chain the root chain, which messages enter by default."""
        if chain is None:
            self._roots.pop(tenant, None)
        else:
            self._roots[tenant] = chain
        self._entry.clear()

    def profiles_changed(self) -> None:
        """Looks up again which chain the devices of a profile enter."""
        self._entry.clear()

    async def load(self, chain: Document, metadata: Document, *, is_restart: bool = False) -> None:
        """Runs a saved chain, and writes lifecycle events of its nodes to the event log."""
        async with self._changing:
            identifier, tenant = chain["id"]["id"], chain["tenantId"]["id"]
            before = self._chains.get(identifier)
            old = {} if before is None else {running.id: running for running in before.nodes}
            nodes = [await self._start(tenant, document, old) for document in metadata["nodes"]]
            for connection in metadata["connections"]:
                source, target = nodes[connection["fromIndex"]], nodes[connection["toIndex"]]
                source.next.setdefault(connection["type"], []).append(target)
            first = metadata["firstNodeIndex"]
            self._chains[identifier] = _Chain(None if first is None else nodes[first], nodes)
            kept = {id(running.node) for running in nodes}
            self._close(running for running in old.values() if id(running.node) not in kept)
            event = "STARTED" if is_restart or before is None else "UPDATED"
            self._events.lifecycle(tenant, CHAIN, identifier, event)
            self._store.commit()

    async def _start(self, tenant: str, document: Document, old: dict[str, _Running]) -> _Running:
        running = _Running(tenant, document)
        known = old.get(running.id)
        is_same = known is not None and all(known.document[key] == document[key] for key in ("type", "configuration"))
        if known is not None and known.node is not None and is_same:
            running.node = known.node
        else:
            try:
                running.node = await start_node(document["type"], document["configuration"], self._tools)
            except (NodeRefused, ScriptRefused, ProducerRefused) as error:
                running.error = str(error)
        self._events.lifecycle(tenant, NODE, running.id, "UPDATED" if known else "STARTED", running.error)
        if running.error is not None:
            self._events.lifecycle(tenant, NODE, running.id, "STOPPED")
        return running

    @staticmethod
    def _close(nodes: Iterable[_Running]) -> None:
        for running in nodes:
            if running.node is not None:
                running.node.close()

    def unload(self, chain: str) -> None:
        """Stops a deleted chain. Input nodes that refer to it stay, and drop messages."""
        found = self._chains.pop(chain, None)
        if found is not None:
            self._close(found.nodes)
        self._entry.clear()

    def process(self, device: SandboxDevice, type_: str, data: Any, metadata: dict[str, str]) -> None:
        """Runs a message of a device through its chain. What is stored is committed with the turn of the loop."""
        entity = device.entity
        key = entity.tenant, entity.type
        if key not in self._entry:
            chain = self._profiles.default_rule_chain(*key)
            self._entry[key] = self._roots.get(entity.tenant) if chain is None else chain
        self._enter(self._entry[key], ChainMessage(type_, device, data, metadata), None, 0)
        self._store.commit_later()

    def _enter(self, chain: str | None, message: ChainMessage, relation: str | None, step: int) -> None:
        """Passes a message to the first node of a chain; drops it if the chain was deleted."""
        found = None if chain is None else self._chains.get(chain)
        if found is not None and found.first is not None:
            self._visit(found.first, message, relation, step)

    def _visit(self, running: _Running, message: ChainMessage, relation: str | None, step: int) -> None:
        is_watched = running.is_debugged(failed=False)
        if is_watched:
            self._events.debug(running.tenant, running.id, "IN", message, relation, None)
        node = running.node
        if step > MAX_STEPS or node is None:
            reason = running.error or "Message is processed by too many rule nodes!"
            if is_watched or running.is_debugged(failed=True):
                self._events.debug(running.tenant, running.id, "OUT", message, FAILURE, reason)
            return
        if isinstance(node, ChainInput):
            self._descend(running, node, message, step)
        elif isinstance(node, ChainOutput):
            self._return(running, message, step)
        else:
            node.process(message, partial(self._tell, running, step))

    def _descend(self, running: _Running, node: ChainInput, message: ChainMessage, step: int) -> None:
        chain: str | None = node.chain
        if node.goes_to_default:
            entity = message.device.entity
            default = self._profiles.default_rule_chain(entity.tenant, entity.type)
            chain = self._roots.get(entity.tenant) if default is None else default
        self._enter(chain, message.entering(running), None, step + 1)

    def _return(self, running: _Running, message: ChainMessage, step: int) -> None:
        if message.inputs:
            *outer, source = message.inputs
            left = ChainMessage(message.type, message.device, message.data, message.metadata, tuple(outer))
            self._tell(source, step, running.document["name"], left, None)

    def _tell(self, running: _Running, step: int, relation: str, message: ChainMessage, error: str | None) -> None:
        if running.is_debugged(failed=relation == FAILURE):
            self._events.debug(running.tenant, running.id, "OUT", message, relation, error)
            self._store.commit_later()
        for following in running.next.get(relation, ()):
            self._visit(following, message, relation, step + 1)

    def close(self) -> None:
        """Stops all nodes."""
        for chain in self._chains.values():
            self._close(chain.nodes)
