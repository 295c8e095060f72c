"""Rule chains on the server: listed, read, saved and deleted, whatever the server's peculiarities."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from pacifictool.errors import ForwardingFailed, InvalidRequest, NotFound, UnexpectedAnswer
from pacifictool.rest.creation import create_idempotently
from pacifictool.rest.entities import RuleChain
from pacifictool.rest.forwarding.chain_body import connections_of
from pacifictool.rest.http import VERSION_CONFLICT, Session
from pacifictool.rest.paging import Paging
from pacifictool.server_version import ServerVersion

_PATH = "/api/ruleChain"

Metadata: TypeAlias = dict[str, Any]


class ChainStore:
    """The tenant's rule chains, without those for edges."""

    def __init__(self, session: Session, paging: Paging, version: ServerVersion) -> None:
        self._session = session
        self._paging = paging
        self._version = version

    def all(self) -> list[RuleChain]:
        """Every one, without its metadata."""
        found = self._paging.items(self._session, "/api/ruleChains", {})
        return [chain for item in found if not (chain := RuleChain.from_json(item)).is_for_edges]

    def root_of(self, chains: list[RuleChain]) -> RuleChain:
        """The one that every message enters first. Raises ForwardingFailed."""
        root = next((chain for chain in chains if chain.root), None)
        if root is None:
            raise ForwardingFailed(
                f"The tenant at {self._session.url} has no root rule chain.",
                hint="Make one of its rule chains the root chain in the web UI.",
            )
        return root

    def create(self, wanted: Mapping[str, Any]) -> RuleChain:
        """Creates a chain without nodes. A server would make any number of the same name; this makes one."""
        name = wanted["name"]

        def newest() -> RuleChain | None:
            named = [chain for chain in self.all() if chain.name == name and not chain.root]
            return max(named, key=lambda chain: chain.created_time, default=None)

        document = {**wanted, "root": False}
        if not self._version.at_least(3, 3):
            # Servers that know no types may refuse the field.
            document.pop("type", None)
        return create_idempotently(self._session, _PATH, document, RuleChain.from_json, newest)

    def delete(self, chain: RuleChain) -> None:
        """Deletes a chain; one that somebody else has just deleted is not an error."""
        try:
            self._session.request("DELETE", f"{_PATH}/{chain.id}")
        except NotFound:
            return
        except InvalidRequest as error:
            raise InvalidRequest(
                error.message,
                hint="Take the chain out of the device profiles that name it as their default rule chain.",
                **error.details,
            ) from error

    def metadata(self, chain_id: str) -> Metadata:
        """The nodes and connections of a chain. Raises NotFound, UnexpectedAnswer."""
        return _checked(self._session.request("GET", f"{_PATH}/{chain_id}/metadata", expect=dict))

    def alter(self, chain_id: str, change: Callable[[Metadata], Metadata | None]) -> Metadata:
        """Reads metadata, changes and saves them, and returns what is there then; None means: nothing to change.

        Starts again once when somebody else has changed them meanwhile (3.8 and later).
        """
        for last in (False, True):
            metadata = self.metadata(chain_id)
            changed = change(copy.deepcopy(metadata))
            if changed is None:
                return metadata
            try:
                return self.save(changed)
            except InvalidRequest as error:
                if last or error.status != VERSION_CONFLICT:
                    raise
        raise AssertionError("unreachable: the last conflict was raised")

    def save(self, metadata: Mapping[str, Any]) -> Metadata:
        """Saves metadata, and returns them as the server keeps them."""
        # Repeatable: nodes with ids keep them, nodes without replace those of the attempt before; and with a version
        # the second attempt is refused.
        try:
            saved = self._session.request("POST", f"{_PATH}/metadata", json=metadata, repeatable=True, expect=dict)
        except InvalidRequest as error:
            # docs/servers/4.x.md#rule-chains, row 8
            if "StackOverflowError" in error.message or "circling relations" in error.message:
                raise InvalidRequest(
                    "The server refuses the rule chain: its connections lead in a circle.",
                    hint="Correct the connections in the rule chain's file.",
                    **error.details,
                ) from error
            raise
        return _checked(saved)


def _checked(metadata: Metadata) -> Metadata:
    """The metadata, if they are well formed. Raises UnexpectedAnswer."""
    nodes, links, calls = (metadata.get(key) for key in ("nodes", "connections", "ruleChainConnections"))
    if not all(value is None or _is_list_of_objects(value) for value in (nodes, links, calls)):
        raise UnexpectedAnswer("The server describes the nodes or connections of a rule chain in an unknown form.")
    count = len(nodes or [])
    ends = [link.get(end) for link in connections_of(metadata) for end in ("fromIndex", "toIndex")]
    ends += [link.get("fromIndex") for link in calls or []]
    if not all(isinstance(end, int) and 0 <= end < count for end in ends):
        raise UnexpectedAnswer("The server describes a rule chain with a connection to a node that is not there.")
    return metadata


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)
