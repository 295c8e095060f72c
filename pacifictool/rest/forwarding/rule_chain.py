"""Forwarding on 2.0 and later: a rule chain of our own, to which the root chain hands what devices send.

Nothing about a chain is unique, so that it is looked up by name; it is live as soon as its metadata are saved; nodes
that are sent with their ids keep them (docs/servers/4.x.md#rule-chains, rows 1, 2 and 3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pacifictool.errors import AlreadyExists, DescriptorError, ForwardingFailed, InvalidRequest, NotFound
from pacifictool.plan import Change, ChangeAction, Kind
from pacifictool.rest.entities import RuleChain
from pacifictool.rest.events import EVENT_TIMEOUT_SECONDS, Events
from pacifictool.rest.forwarding.chain_body import (
    chain_differences,
    labels_of,
    merge_chain,
    nodes_of,
    topics_of,
)
from pacifictool.rest.forwarding.chain_notes import duplicate_notes, entry_notes, profile_chain_id, profile_note
from pacifictool.rest.forwarding.chain_store import ChainStore, Metadata
from pacifictool.rest.forwarding.compare import Difference, DifferenceKind
from pacifictool.rest.forwarding.hook import POST_TELEMETRY, entries, input_nodes, with_hook, without_hook
from pacifictool.rest.forwarding.interface import (
    ForwardingNote,
    ForwardingSpec,
    ForwardingState,
    NoteCode,
    TopicConflict,
    apply_changes,
    refuse,
)
from pacifictool.rest.forwarding.node_events import NodeEvents, node_id
from pacifictool.rest.forwarding.parts import ForwardingPart, PartState
from pacifictool.rest.forwarding.record_chain import with_names_of
from pacifictool.rest.http import Session
from pacifictool.rest.paging import Paging
from pacifictool.server_version import ServerVersion

RULE_CHAIN = Kind.RULE_CHAIN


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
    """See `Forwarding`. A chain is identified by its name; of several, the one that messages reach is used."""

    def __init__(
        self,
        session: Session,
        events: Events,
        paging: Paging,
        *,
        version: ServerVersion,
        event_timeout_seconds: float = EVENT_TIMEOUT_SECONDS,
    ) -> None:
        self._session = session
        self._store = ChainStore(session, paging, version)
        self._version = version
        self._reporter = session.reporter
        self._nodes = NodeEvents(session, events, event_timeout_seconds=event_timeout_seconds)

    @property
    def generation(self) -> str:
        return f"{self._version.major}.x"

    def describe(self, spec: ForwardingSpec) -> str:
        return f"{RULE_CHAIN} {self._wanted(spec)['ruleChain']['name']!r} behind the root rule chain"

    def inspect(self, spec: ForwardingSpec) -> ForwardingState:
        wanted = self._wanted(spec)
        chains = self._store.all()
        root = self._store.root_of(chains)
        root_metadata = self._store.metadata(root.id)
        candidates, others = self._ours(wanted, self._named(chains, wanted["ruleChain"]["name"], root))
        candidates.sort(key=lambda found: (not entries(root_metadata, found[0].id), found[0].created_time, found[0].id))
        chain, metadata = candidates[0] if candidates else (None, {})
        metadata = with_names_of(wanted["metadata"], metadata)
        failed = dict(self._failures(wanted["metadata"], metadata, chain)) if chain is not None else {}
        notes = list(duplicate_notes([found for found, _ in candidates], root_metadata))
        notes += _namesake_notes(others) if candidates else ()
        if chain is not None:
            notes += entry_notes(chain, root, root_metadata)
        notes += self._profile_notes(spec, chains, root, chain)
        hooked = chain is not None and bool(entries(root_metadata, chain.id))
        failures: dict[str, str] = {RULE_CHAIN: _listed(failed)} if failed else {}
        parts = {
            RULE_CHAIN: chain,
            "duplicates": tuple(found for found, _ in candidates[1:]),
            "root": root,
            "nodes": tuple(nodes_of(metadata)),
            "found": _Found(root, root_metadata, chain, metadata, failed),
        }
        conflicts = () if candidates else tuple(_conflicts(wanted, others))
        return ForwardingState(hooked and not failed, parts, failures, tuple(notes), conflicts)

    def plan(self, spec: ForwardingSpec, state: ForwardingState | None = None) -> list[Change]:
        wanted = self._wanted(spec)
        state = state or self.inspect(spec)
        state.require_ours()
        found: _Found = state.parts["found"]
        changes = [self._planned_chain(wanted, found)]
        if spec.activate:
            changes.append(self._planned_hook(wanted["ruleChain"]["name"], found))
        return changes

    def apply(self, spec: ForwardingSpec) -> list[Change]:
        state = self.inspect(spec)
        for note in state.notes:
            self._reporter.warning(note)
        changes = self.plan(spec, state)
        apply_changes(changes)
        return changes

    def plan_removal(self, spec: ForwardingSpec) -> list[Change]:
        wanted = self._wanted(spec)
        name = wanted["ruleChain"]["name"]
        chains = self._store.all()
        root = self._store.root_of(chains)
        found, others = self._ours(wanted, self._named(chains, name, root, strict=False))
        ours = [chain for chain, _ in found]
        if not ours:
            refuse(_conflicts(wanted, others))
            return []
        metadata = {chain.id: self._store.metadata(chain.id) for chain in chains}
        changes: list[Change] = []
        if any(_is_known(metadata[root.id], chain) for chain in ours):
            # Before the deletion: a server deletes a chain that is in use and leaves a node that leads nowhere.
            change = (Difference(f"{POST_TELEMETRY!r} no longer goes to {name!r}", DifferenceKind.STRUCTURE),)
            changes.append(Change(RULE_CHAIN, root.name, ChangeAction.CHANGE, change, lambda: self._unhook(root, ours)))
        for chain in ours:
            users = [
                other.name
                for other in chains
                if other.id not in (root.id, chain.id) and entries(metadata[other.id], chain.id)
            ]
            if users:
                names = ", ".join(repr(user) for user in users)
                reason = Difference(f"still used by {names}", DifferenceKind.STRUCTURE)
                changes.append(Change(RULE_CHAIN, name, ChangeAction.KEEP, (reason,)))
            else:
                changes.append(Change(RULE_CHAIN, name, ChangeAction.DELETE, apply=self._deletion(chain)))
        return changes

    def remove(self, spec: ForwardingSpec) -> list[Change]:
        changes = self.plan_removal(spec)
        for change in changes:
            if change.action is ChangeAction.KEEP:
                self._reporter.warning(f"The {change.kind} {change.name!r} stays: {'; '.join(change.differences)}.")
        apply_changes(changes)
        return changes

    # Reading

    def parts(self) -> list[ForwardingPart]:
        chains = self._store.all()
        metadata = self._store.metadata(self._store.root_of(chains).id)
        return [_part(chain, entries(metadata, chain.id)) for chain in chains]

    def activate(self, part: ForwardingPart) -> None:
        root, chain = self._again(part)
        metadata = self._store.metadata(root.id)
        if chain.id != root.id and not entries(metadata, chain.id):
            self._hook(chain.name, _Found(root, metadata, chain, {}, {}))

    def suspend(self, part: ForwardingPart) -> None:
        root, chain = self._again(part)
        if chain.id == root.id:
            raise InvalidRequest(
                f"The rule chain {chain.name!r} is the root: every message enters it first.",
                hint="Make another one the root in the web UI.",
            )
        self._unhook(root, [chain])

    def _again(self, part: ForwardingPart) -> tuple[RuleChain, RuleChain]:
        """The root rule chain, and the one that is meant."""
        chains = self._store.all()
        found = next((chain for chain in chains if chain.id == part.id), None)
        if found is None:
            raise NotFound(f"The rule chain {part.name!r} has been deleted.", id=part.id)
        return self._store.root_of(chains), found

    def _wanted(self, spec: ForwardingSpec) -> dict[str, Any]:
        wanted = spec.wanted_rule_chain()
        if wanted is None:
            raise DescriptorError(
                f"The server at {self._session.url} is of the generation {self.generation}: it has rule chains, not"
                " plugins and rules.",
                hint="Give a rule chain instead (import rule-chain FILE, setup --rule-chain FILE), or leave --plugin"
                " and --rule out.",
            )
        if wanted["ruleChain"].get("root") and spec.activate:
            raise DescriptorError(
                f"The rule chain {wanted['ruleChain']['name']!r} is another server's root chain; behind a root chain it"
                " would treat every message twice.",
                hint="Import it with --no-activate and connect it in the web UI.",
            )
        return wanted

    def _named(self, chains: list[RuleChain], name: str, root: RuleChain, *, strict: bool = True) -> list[RuleChain]:
        """The chains of that name. Raises AlreadyExists when only the root chain has it, unless `strict` is False."""
        named = [chain for chain in chains if chain.name == name and chain.id != root.id]
        if strict and not named and root.name == name:
            raise AlreadyExists(
                f"The root rule chain of {self._session.url} has the name {name!r}, too.",
                hint="Choose another name in the rule chain's file.",
            )
        return named

    def _ours(
        self, wanted: Mapping[str, Any], named: list[RuleChain]
    ) -> tuple[list[tuple[RuleChain, Metadata]], list[tuple[RuleChain, Metadata]]]:
        """Those of the chains of our name that serve our topic, or none yet; and those that serve others."""
        topics = topics_of(wanted["metadata"])
        found = [(chain, self._store.metadata(chain.id)) for chain in named]
        ours = [
            (chain, metadata)
            for chain, metadata in found
            if not topics or not (served := topics_of(metadata)) or served & topics
        ]
        return ours, [pair for pair in found if pair not in ours]

    def _failures(self, wanted: Metadata, metadata: Metadata, chain: RuleChain) -> Iterator[tuple[str, str]]:
        labels = set(labels_of(wanted))
        for label, node in zip(labels_of(metadata), nodes_of(metadata), strict=True):
            if label in labels and (failure := self._nodes.last_failure(node, chain.tenant_id)) is not None:
                yield label, failure

    def _profile_notes(
        self, spec: ForwardingSpec, chains: list[RuleChain], root: RuleChain, ours: RuleChain | None
    ) -> Iterator[ForwardingNote]:
        """A warning when the profile of the devices bypasses the root chain and ours."""
        if spec.device_type is None or not self._version.at_least(3):
            return
        chain_id = profile_chain_id(self._session, spec.device_type)
        if chain_id is None or chain_id == root.id:
            return
        is_ours = ours is not None and chain_id == ours.id
        if ours is not None and not is_ours and entries(self._store.metadata(chain_id), ours.id):
            return
        name = next((chain.name for chain in chains if chain.id == chain_id), chain_id)
        yield profile_note(spec.device_type, name, is_ours=is_ours)

    # Planning

    def _planned_chain(self, wanted: dict[str, Any], found: _Found) -> Change:
        name = wanted["ruleChain"]["name"]
        if found.chain is None:
            return Change(RULE_CHAIN, name, ChangeAction.CREATE, apply=lambda: self._create(wanted, found))
        lines = list(chain_differences(wanted["metadata"], found.metadata))
        lines += [
            Difference(f"node {label!r} did not start: {reason}", DifferenceKind.STATE)
            for label, reason in found.failed_nodes.items()
        ]
        if not lines:
            return Change(RULE_CHAIN, name, ChangeAction.KEEP)
        return Change(RULE_CHAIN, name, ChangeAction.CHANGE, tuple(lines), lambda: self._change(wanted, found))

    def _planned_hook(self, name: str, found: _Found) -> Change:
        if found.chain is not None and entries(found.root_metadata, found.chain.id):
            return Change(RULE_CHAIN, found.root.name, ChangeAction.KEEP)
        change = (Difference(f"{POST_TELEMETRY!r} goes to {name!r}, too", DifferenceKind.STRUCTURE),)
        return Change(RULE_CHAIN, found.root.name, ChangeAction.CHANGE, change, lambda: self._hook(name, found))

    # Applying

    def _create(self, wanted: dict[str, Any], found: _Found) -> None:
        """Creates the chain, then its nodes; `found` knows the chain afterwards."""
        chain = self._store.create(wanted["ruleChain"])
        found.chain = chain
        metadata = {**wanted["metadata"], "ruleChainId": chain.entity_id.as_json()}
        saved = self._store.save(metadata)
        self._verify(wanted["metadata"], chain)
        self._nodes.check(nodes_of(saved), chain.tenant_id, set())

    def _change(self, wanted: dict[str, Any], found: _Found) -> None:
        """Saves the wanted nodes over those that are there; nodes that failed are replaced, which starts them."""
        chain = found.chain
        assert chain is not None
        old = {node_id(node): node for node in nodes_of(found.metadata)}
        before = self._nodes.remember(old.values(), chain.tenant_id)
        renew = frozenset(found.failed_nodes)

        def change(metadata: Metadata) -> Metadata:
            return merge_chain(wanted["metadata"], with_names_of(wanted["metadata"], metadata), renew)

        saved = self._store.alter(chain.id, change)
        self._verify(wanted["metadata"], chain)
        changed = [node for node in nodes_of(saved) if not _is_as_before(node, old.get(node_id(node)))]
        self._nodes.check(changed, chain.tenant_id, before)

    def _verify(self, wanted: Metadata, chain: RuleChain) -> None:
        """Reads back what was saved. Raises ForwardingFailed when the server keeps something else."""
        lines = list(chain_differences(wanted, self._store.metadata(chain.id)))
        if lines:
            raise ForwardingFailed(
                f"The server did not keep the rule chain {chain.name!r} as it was sent: {'; '.join(lines)}.",
                hint="Somebody else may have changed it at the same time; run the command again.",
                id=chain.id,
            )

    def _hook(self, name: str, found: _Found) -> None:
        chain = found.chain
        assert chain is not None
        self._session.reporter.detail(f"Leading {POST_TELEMETRY!r} of {found.root.name!r} to {name!r}")

        def add(metadata: Metadata) -> Metadata | None:
            return None if entries(metadata, chain.id) else with_hook(metadata, chain.id, name, self._version)

        saved = self._store.alter(found.root.id, add)
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
                if _is_known(changed, chain):
                    changed = without_hook(changed, chain.id)
            return None if changed is metadata else changed

        self._store.alter(root.id, remove)

    def _deletion(self, chain: RuleChain) -> Callable[[], None]:
        return lambda: self._store.delete(chain)


def _conflicts(wanted: Mapping[str, Any], others: list[tuple[RuleChain, Metadata]]) -> Iterator[TopicConflict]:
    for chain, metadata in others[:1]:
        topics = " and ".join(sorted(topics_of(wanted["metadata"])))
        yield TopicConflict(RULE_CHAIN, repr(chain.name), tuple(sorted(topics_of(metadata))), topics)


def _namesake_notes(others: list[tuple[RuleChain, Metadata]]) -> Iterator[ForwardingNote]:
    for chain, metadata in others:
        topics = " and ".join(map(repr, sorted(topics_of(metadata))))
        yield ForwardingNote(
            NoteCode.UNUSUAL_ENTRY,
            f"Another rule chain named {chain.name!r} ({chain.id}) writes to {topics}; it is left alone.",
        )


def _part(chain: RuleChain, ways: list[str]) -> ForwardingPart:
    state = PartState.ROOT if chain.root else PartState.ACTIVE if ways else PartState.SUSPENDED
    return ForwardingPart(RULE_CHAIN, chain.id, chain.name, state, ", ".join(ways), chain.is_system)


def _is_known(metadata: Metadata, chain: RuleChain) -> bool:
    return bool(entries(metadata, chain.id) or input_nodes(metadata, chain.id))


def _is_as_before(node: Mapping[str, Any], old: Mapping[str, Any] | None) -> bool:
    return old is not None and (node.get("type"), node.get("configuration")) == (
        old.get("type"),
        old.get("configuration"),
    )


def _listed(failed: Mapping[str, str]) -> str:
    return "; ".join(f"{label}: {reason}" for label, reason in failed.items())
