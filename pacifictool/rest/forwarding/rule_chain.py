"""Forwarding on 2.0 and later: a rule chain of our own, to which the root chain hands what devices send.

Facts (platform-modern, sections 3 and A): nothing about a chain is unique, so that it is looked up by name; it is live
as soon as its metadata are saved; nodes that are sent with their ids keep them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pacifictool.errors import (
    AlreadyExists,
    DescriptorError,
    ForwardingFailed,
    InvalidRequest,
    NotFound,
    UnexpectedAnswer,
)
from pacifictool.rest.answers import VERSION_CONFLICT
from pacifictool.rest.creation import create_once
from pacifictool.rest.entities import RuleChain
from pacifictool.rest.events import Events
from pacifictool.rest.forwarding.chain_body import (
    chain_differences,
    connections_of,
    labels_of,
    merge_chain,
    nodes_of,
)
from pacifictool.rest.forwarding.hook import POST_TELEMETRY, entries, input_nodes, with_hook, without_hook
from pacifictool.rest.forwarding.interface import Change, ChangeAction, ForwardingSpec, ForwardingState
from pacifictool.rest.forwarding.node_events import EVENT_PATIENCE_SECONDS, NodeEvents, node_id
from pacifictool.rest.forwarding.profiles import profile_chain_id
from pacifictool.rest.paging import Paging
from pacifictool.rest.session import Session
from pacifictool.server_version import ServerVersion

RULE_CHAIN = "rule-chain"
_PATH = "/api/ruleChain"

Metadata = dict[str, Any]


@dataclass(slots=True)
class _Found:
    """What the server has of a wanted chain."""

    root: RuleChain
    root_metadata: Metadata
    chain: RuleChain | None
    metadata: Metadata
    failed_nodes: dict[str, str]
    """Why nodes do not run, by label."""


class RuleChainForwarding:
    """See `Forwarding`. A chain is known by its name; of twins, by being handed messages."""

    def __init__(
        self,
        session: Session,
        events: Events,
        paging: Paging,
        *,
        version: ServerVersion,
        event_patience_seconds: float = EVENT_PATIENCE_SECONDS,
    ) -> None:
        self._session = session
        self._paging = paging
        self._version = version
        self._reporter = session.reporter
        self._nodes = NodeEvents(session, events, event_patience_seconds=event_patience_seconds)

    @property
    def generation(self) -> str:
        return f"{self._version.major}.x"

    def describe(self, spec: ForwardingSpec) -> str:
        return f"{RULE_CHAIN} {self._wanted(spec)['ruleChain']['name']!r} behind the root rule chain"

    def inspect(self, spec: ForwardingSpec) -> ForwardingState:
        wanted = self._wanted(spec)
        chains = self._chains()
        root = self._root(chains)
        root_metadata = self._metadata(root.id)
        candidates = self._named(chains, wanted["ruleChain"]["name"], root)
        candidates.sort(key=lambda chain: (not entries(root_metadata, chain.id), chain.created_time, chain.id))
        chain = candidates[0] if candidates else None
        metadata = self._metadata(chain.id) if chain is not None else {}
        failed = dict(self._failures(wanted["metadata"], metadata, chain)) if chain is not None else {}
        notes = list(self._twin_notes(candidates, root_metadata))
        if chain is not None:
            notes += _way_notes(chain, root, root_metadata)
        notes += self._profile_notes(spec, chains, root, chain)
        hooked = chain is not None and bool(entries(root_metadata, chain.id))
        failures = {RULE_CHAIN: _listed(failed)} if failed else {}
        parts = {
            RULE_CHAIN: chain,
            "twins": tuple(candidates[1:]),
            "root": root,
            "found": _Found(root, root_metadata, chain, metadata, failed),
        }
        return ForwardingState(hooked and not failed, parts, failures, tuple(notes))

    def plan(self, spec: ForwardingSpec, state: ForwardingState | None = None) -> list[Change]:
        wanted = self._wanted(spec)
        found: _Found = (state or self.inspect(spec)).parts["found"]
        changes = [self._planned_chain(wanted, found)]
        if spec.activate:
            changes.append(self._planned_hook(wanted["ruleChain"]["name"], found))
        return changes

    def apply(self, spec: ForwardingSpec) -> list[Change]:
        state = self.inspect(spec)
        for note in state.notes:
            self._reporter.warning(note)
        changes = self.plan(spec, state)
        _carry_out(changes)
        return changes

    def plan_removal(self, spec: ForwardingSpec) -> list[Change]:
        name = self._wanted(spec)["ruleChain"]["name"]
        chains = self._chains()
        root = self._root(chains)
        ours = self._named(chains, name, root, strict=False)
        if not ours:
            return []
        metadata = {chain.id: self._metadata(chain.id) for chain in chains}
        changes: list[Change] = []
        if any(entries(metadata[root.id], chain.id) for chain in ours):
            # Before the deletion: a server deletes a chain that is in use and leaves a node that leads nowhere.
            change = (f"{POST_TELEMETRY!r} no longer goes to {name!r}",)
            changes.append(Change(RULE_CHAIN, root.name, ChangeAction.CHANGE, change, lambda: self._unhook(root, ours)))
        for chain in ours:
            users = [
                other.name
                for other in chains
                if other.id not in (root.id, chain.id) and entries(metadata[other.id], chain.id)
            ]
            if users:
                names = ", ".join(repr(user) for user in users)
                changes.append(Change(RULE_CHAIN, name, ChangeAction.KEEP, (f"still used by {names}",)))
            else:
                changes.append(Change(RULE_CHAIN, name, ChangeAction.DELETE, carry_out=self._deletion(chain)))
        return changes

    def remove(self, spec: ForwardingSpec) -> list[Change]:
        changes = self.plan_removal(spec)
        for change in changes:
            if change.action is ChangeAction.KEEP:
                self._reporter.warning(f"The {change.kind} {change.name!r} stays: {'; '.join(change.differences)}.")
        _carry_out(changes)
        return changes

    # Reading

    def _wanted(self, spec: ForwardingSpec) -> dict[str, Any]:
        wanted = spec.wanted_rule_chain()
        if wanted is None:
            raise DescriptorError(
                f"The server at {self._session.url} is of the generation {self.generation}: it has rule chains, and no"
                " plugins and rules.",
                hint="Give a rule chain instead (import rule-chain FILE, setup --rule-chain FILE), or leave --plugin"
                " and --rule out.",
            )
        if wanted["ruleChain"].get("root") and spec.activate:
            raise DescriptorError(
                f"The rule chain {wanted['ruleChain']['name']!r} is another server's root chain; behind a root chain it"
                " would treat every message twice.",
                hint="Import it with --no-activate and choose in the web UI what becomes of it.",
            )
        return wanted

    def _chains(self) -> list[RuleChain]:
        found = self._paging.items(self._session, "/api/ruleChains", {})
        return [chain for item in found if not (chain := RuleChain.from_json(item)).is_for_edges]

    def _root(self, chains: list[RuleChain]) -> RuleChain:
        root = next((chain for chain in chains if chain.root), None)
        if root is None:
            raise ForwardingFailed(
                f"The tenant at {self._session.url} has no root rule chain.",
                hint="Make one of its rule chains the root chain in the web UI.",
            )
        return root

    def _named(self, chains: list[RuleChain], name: str, root: RuleChain, *, strict: bool = True) -> list[RuleChain]:
        """The chains of that name. Raises AlreadyExists when only the root chain has it, unless `strict` is False."""
        named = [chain for chain in chains if chain.name == name and chain.id != root.id]
        if strict and not named and root.name == name:
            raise AlreadyExists(
                f"The root rule chain of {self._session.url} is called {name!r}, too.",
                hint="Choose another name in the rule chain's file.",
            )
        return named

    def _metadata(self, chain_id: str) -> Metadata:
        metadata = self._session.request("GET", f"{_PATH}/{chain_id}/metadata", expect=dict)
        return _checked(metadata)

    def _failures(self, wanted: Metadata, metadata: Metadata, chain: RuleChain) -> Iterator[tuple[str, str]]:
        labels = set(labels_of(wanted))
        for label, node in zip(labels_of(metadata), nodes_of(metadata), strict=True):
            if label in labels and (failure := self._nodes.last_failure(node, chain.tenant_id)) is not None:
                yield label, failure

    def _twin_notes(self, candidates: list[RuleChain], root_metadata: Metadata) -> Iterator[str]:
        if len(candidates) < 2:
            return
        twins = ", ".join(chain.id for chain in candidates)
        note = f"There are {len(candidates)} rule chains named {candidates[0].name!r} ({twins}); the first is used."
        hooked = [chain.id for chain in candidates[1:] if entries(root_metadata, chain.id)]
        if hooked:
            note += (
                f" The root rule chain hands telemetry to {', '.join(hooked)}, too, so that each message is forwarded"
                " once more: take those out in the web UI."
            )
        yield note

    def _profile_notes(
        self, spec: ForwardingSpec, chains: list[RuleChain], root: RuleChain, ours: RuleChain | None
    ) -> Iterator[str]:
        """A device profile may name a default chain, which its devices' messages enter instead of the root chain."""
        if spec.device_type is None or not self._version.at_least(3):
            return
        chain_id = profile_chain_id(self._session, spec.device_type)
        if chain_id is None or chain_id == root.id:
            return
        profile = f"The device profile {spec.device_type!r} has a default rule chain"
        if ours is not None and chain_id == ours.id:
            yield (
                f"{profile}, {ours.name!r} itself: its devices bypass the root rule chain, so that neither their"
                " telemetry nor the client attributes that the chain looks for are stored, and nothing reaches Kafka."
                " Take the default rule chain out of the profile."
            )
            return
        name = next((chain.name for chain in chains if chain.id == chain_id), chain_id)
        if ours is not None and entries(self._metadata(chain_id), ours.id):
            return
        yield (
            f"{profile}, {name!r}: its devices bypass the root rule chain, so that nothing of theirs reaches Kafka."
            f" Take the default rule chain out of the profile, or lead {POST_TELEMETRY!r} on from {name!r} to our"
            " chain in the web UI."
        )

    # Planning

    def _planned_chain(self, wanted: dict[str, Any], found: _Found) -> Change:
        name = wanted["ruleChain"]["name"]
        if found.chain is None:
            return Change(RULE_CHAIN, name, ChangeAction.CREATE, carry_out=lambda: self._create(wanted, found))
        lines = list(chain_differences(wanted["metadata"], found.metadata))
        lines += [f"node {label!r} did not start: {reason}" for label, reason in found.failed_nodes.items()]
        if not lines:
            return Change(RULE_CHAIN, name, ChangeAction.KEEP)
        return Change(RULE_CHAIN, name, ChangeAction.CHANGE, tuple(lines), lambda: self._change(wanted, found))

    def _planned_hook(self, name: str, found: _Found) -> Change:
        if found.chain is not None and entries(found.root_metadata, found.chain.id):
            return Change(RULE_CHAIN, found.root.name, ChangeAction.KEEP)
        change = (f"{POST_TELEMETRY!r} goes to {name!r}, too",)
        return Change(RULE_CHAIN, found.root.name, ChangeAction.CHANGE, change, lambda: self._hook(name, found))

    # Carrying out

    def _create(self, wanted: dict[str, Any], found: _Found) -> None:
        """Creates the chain, then its nodes; `found` knows the chain afterwards."""
        name = wanted["ruleChain"]["name"]

        def newest() -> RuleChain | None:
            named = [chain for chain in self._chains() if chain.name == name and not chain.root]
            return max(named, key=lambda chain: chain.created_time, default=None)

        document = {**wanted["ruleChain"], "root": False}
        if not self._version.at_least(3, 3):
            document.pop("type", None)
        chain = create_once(self._session, _PATH, document, RuleChain.from_json, newest)
        found.chain = chain
        metadata = {**wanted["metadata"], "ruleChainId": chain.entity_id.as_json()}
        saved = self._save(metadata)
        self._verify(wanted["metadata"], chain)
        self._nodes.check(nodes_of(saved), chain.tenant_id, set())

    def _change(self, wanted: dict[str, Any], found: _Found) -> None:
        """Saves the wanted nodes over those that are there; nodes that failed are made anew, which starts them."""
        chain = found.chain
        assert chain is not None
        old = {node_id(node): node for node in nodes_of(found.metadata)}
        before = self._nodes.remember(old.values(), chain.tenant_id)
        renew = frozenset(found.failed_nodes)
        saved = self._alter(chain.id, lambda metadata: merge_chain(wanted["metadata"], metadata, renew))
        self._verify(wanted["metadata"], chain)
        changed = [node for node in nodes_of(saved) if not _is_as_before(node, old.get(node_id(node)))]
        self._nodes.check(changed, chain.tenant_id, before)

    def _verify(self, wanted: Metadata, chain: RuleChain) -> None:
        """Reads back what was saved. Raises ForwardingFailed when the server made something else of it."""
        lines = list(chain_differences(wanted, self._metadata(chain.id)))
        if lines:
            raise ForwardingFailed(
                f"The server keeps the rule chain {chain.name!r} otherwise than it was sent: {'; '.join(lines)}.",
                hint="Somebody else may have changed it at the same moment; run the command again.",
                id=chain.id,
            )

    def _hook(self, name: str, found: _Found) -> None:
        chain = found.chain
        assert chain is not None
        self._session.reporter.detail(f"Leading {POST_TELEMETRY!r} of {found.root.name!r} to {name!r}")

        def add(metadata: Metadata) -> Metadata | None:
            return None if entries(metadata, chain.id) else with_hook(metadata, chain.id, name, self._version)

        saved = self._alter(found.root.id, add)
        if not entries(saved, chain.id):
            raise ForwardingFailed(
                f"The server did not keep the connection from {found.root.name!r} to {name!r}.",
                hint="Draw it in the web UI: from the message type switch, relation Post telemetry.",
                id=found.root.id,
            )
        old = {node_id(node) for node in nodes_of(found.root_metadata)}
        new = [node for node in input_nodes(saved, chain.id) if node_id(node) not in old]
        self._nodes.check(new, found.root.tenant_id, set())

    def _unhook(self, root: RuleChain, chains: list[RuleChain]) -> None:
        def remove(metadata: Metadata) -> Metadata | None:
            changed = metadata
            for chain in chains:
                if entries(changed, chain.id) or input_nodes(changed, chain.id):
                    changed = without_hook(changed, chain.id)
            return None if changed is metadata else changed

        self._alter(root.id, remove)

    def _deletion(self, chain: RuleChain) -> Callable[[], None]:
        def delete() -> None:
            try:
                self._session.request("DELETE", f"{_PATH}/{chain.id}")
            except NotFound:
                # Somebody else has just deleted it; that it is gone is all that is wanted.
                return

        return delete

    def _alter(self, chain_id: str, change: Callable[[Metadata], Metadata | None]) -> Metadata:
        """Reads metadata, changes and saves them; once more when somebody else was faster. None: nothing to change."""
        for last in (False, True):
            metadata = self._metadata(chain_id)
            changed = change(copy.deepcopy(metadata))
            if changed is None:
                return metadata
            try:
                return self._save(changed)
            except InvalidRequest as error:
                if last or error.status != VERSION_CONFLICT:
                    raise
        raise AssertionError("unreachable: the last conflict was raised")

    def _save(self, metadata: Metadata) -> Metadata:
        # Repeatable: nodes with ids keep them, nodes without replace those of the attempt before; and with a version
        # the second attempt is refused.
        try:
            answer = self._session.request("POST", f"{_PATH}/metadata", json=metadata, repeatable=True, expect=dict)
        except InvalidRequest as error:
            if "StackOverflowError" in error.message:
                raise InvalidRequest(
                    "The server refuses the rule chain: its connections lead in a circle.",
                    hint="Correct the connections in the rule chain's file.",
                    **error.details,
                ) from error
            raise
        return _checked(answer)


def _checked(metadata: Metadata) -> Metadata:
    """Metadata whose shape can be relied on. Raises UnexpectedAnswer."""
    nodes, links = metadata.get("nodes"), metadata.get("connections")
    others = metadata.get("ruleChainConnections")
    if not all(value is None or _is_list_of_objects(value) for value in (nodes, links, others)):
        raise UnexpectedAnswer("The server describes the nodes or connections of a rule chain in an unknown form.")
    count = len(nodes or [])
    ends = [link.get(end) for link in connections_of(metadata) for end in ("fromIndex", "toIndex")]
    ends += [link.get("fromIndex") for link in others or []]
    if not all(isinstance(end, int) and 0 <= end < count for end in ends):
        raise UnexpectedAnswer("The server describes a rule chain with a connection to a node that is not there.")
    return metadata


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _is_as_before(node: Mapping[str, Any], old: Mapping[str, Any] | None) -> bool:
    return old is not None and (node.get("type"), node.get("configuration")) == (
        old.get("type"),
        old.get("configuration"),
    )


def _way_notes(chain: RuleChain, root: RuleChain, root_metadata: Metadata) -> Iterator[str]:
    """Ways into our chain that setup would not have made: left alone, but told."""
    ways = entries(root_metadata, chain.id)
    if len(ways) > 1:
        yield (
            f"The rule chain {root.name!r} leads to {chain.name!r} in {len(ways)} ways ({'; '.join(ways)}): a message"
            " may be forwarded more than once. Take the others out in the web UI."
        )
    elif ways and POST_TELEMETRY not in ways[0]:
        yield (
            f"The rule chain {root.name!r} leads to {chain.name!r} by {ways[0]} instead of {POST_TELEMETRY!r} of its"
            " message type switch; that is left as it is."
        )


def _listed(failed: Mapping[str, str]) -> str:
    return "; ".join(f"{label}: {reason}" for label, reason in failed.items())


def _carry_out(changes: list[Change]) -> None:
    for change in changes:
        if change.carry_out is not None:
            change.carry_out()
