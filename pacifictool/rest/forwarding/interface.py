"""What every way of forwarding telemetry to Kafka has in common, whatever the server's generation."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Protocol, Self

from pacifictool.errors import DescriptorError, OtherTopic
from pacifictool.plan import Change, Kind
from pacifictool.rest.forwarding.chain_body import KAFKA_NODE
from pacifictool.rest.forwarding.parts import ForwardingPart

FIRST_GENERATION: Final = "1.x"
"""The generation of servers that have plugins and rules."""


@dataclass(frozen=True, slots=True)
class ForwardingSpec:
    """What is wanted: descriptors as read by `rest.descriptors`, and what the scenario and settings put in their place.

    1.x takes the plugin and the rule, later servers the rule chain; give all three for both. Any may be None when only
    another one is meant (`import plugin`, `import rule`, `import rule-chain`).
    """

    plugin: Mapping[str, Any] | None = None
    rule: Mapping[str, Any] | None = None
    bootstrap_servers: str | None = None
    """Kafka as the *platform* reaches it; None leaves what the plugin's or rule chain's descriptor says."""
    topic: str | None = None
    """None leaves what the rule's or rule chain's descriptor says."""
    activate: bool = True
    """False imports without starting anything."""
    rule_chain: Mapping[str, Any] | None = None
    """{ruleChain, metadata}, as the web UI exports it."""
    device_type: str | None = None
    """Type of the devices; used to check whether a device profile of that name bypasses the root rule chain."""
    is_generated: bool = False
    """Whether rule and rule chain were made for a scenario, rather than read from a file of the user's."""

    def __post_init__(self) -> None:
        if self.plugin is not None and self.rule is not None and self.plugin["apiToken"] != self.rule["pluginToken"]:
            raise DescriptorError(
                f"The rule {self.rule['name']!r} belongs to a plugin with the token {self.rule['pluginToken']!r}, but"
                f" the plugin's apiToken is {self.plugin['apiToken']!r}.",
                hint="Make pluginToken of the rule and apiToken of the plugin equal.",
            )

    def descriptor_servers(self) -> set[str]:
        """The Kafka addresses that the descriptors name."""
        plugin = self.plugin["configuration"] if self.plugin is not None else {}
        nodes = self.rule_chain["metadata"]["nodes"] if self.rule_chain is not None else []
        configurations = [plugin, *(node["configuration"] for node in nodes if node["type"] == KAFKA_NODE)]
        found = (configuration.get("bootstrapServers") for configuration in configurations)
        return {address for address in found if isinstance(address, str)}

    def wanted_plugin(self) -> dict[str, Any] | None:
        """The plugin as it should be on the server."""
        if self.plugin is None:
            return None
        wanted = copy.deepcopy(dict(self.plugin))
        if self.bootstrap_servers is not None:
            wanted["configuration"]["bootstrapServers"] = self.bootstrap_servers
        return wanted

    def wanted_rule(self) -> dict[str, Any] | None:
        """The rule as it should be on the server."""
        if self.rule is None:
            return None
        wanted = copy.deepcopy(dict(self.rule))
        if self.topic is not None:
            wanted["action"]["configuration"]["topic"] = self.topic
        return wanted

    def wanted_rule_chain(self) -> dict[str, Any] | None:
        """The rule chain as it should be on the server."""
        if self.rule_chain is None:
            return None
        wanted = copy.deepcopy(dict(self.rule_chain))
        for node in wanted["metadata"]["nodes"]:
            if node["type"] == KAFKA_NODE:
                if self.bootstrap_servers is not None:
                    node["configuration"]["bootstrapServers"] = self.bootstrap_servers
                if self.topic is not None:
                    node["configuration"]["topicPattern"] = self.topic
        return wanted


class NoteCode(StrEnum):
    """What a note is about."""

    DUPLICATES = "duplicates"
    """Several rules or chains of one name exist; the first is used."""
    FORWARDED_TWICE = "forwarded-twice"
    """Messages reach our chain, or another one of its name, in more than one way."""
    NAMESAKE = "namesake"
    """A rule of the same name belongs to another plugin."""
    UNUSUAL_ENTRY = "unusual-entry"
    """Messages reach our chain in another way than `setup` makes."""
    PROFILE_BYPASSES = "profile-bypasses"
    """The device profile has a default rule chain of its own."""


class ForwardingNote(str):
    """An observation for a person: a text, and what to do about it. Code looks at `code`, never at the text."""

    __slots__ = ("code", "fix", "text")
    code: NoteCode
    text: str
    fix: str
    """Empty where nothing needs to be done."""

    def __new__(cls, code: NoteCode, text: str, fix: str = "") -> Self:
        self = super().__new__(cls, f"{text} {fix}".rstrip())
        self.code, self.text, self.fix = code, text, fix
        return self


@dataclass(frozen=True, slots=True)
class TopicConflict:
    """A plugin, rule or rule chain that has our name, but serves another topic: another scenario's, most likely."""

    kind: Kind
    name: str
    """As a person finds it on the server; for a plugin with its token."""
    topics: tuple[str, ...]
    """Where it writes."""
    wanted: str
    """Our topic."""

    @property
    def text(self) -> str:
        topics = " and ".join(map(repr, self.topics))
        noun = str(self.kind).replace("-", " ")
        return f"The {noun} {self.name} writes to the topic {topics} instead of {self.wanted!r}."


_NAME_KEYS: Final = {Kind.PLUGIN: "plugin_token", Kind.RULE: "rule and plugin_token", Kind.RULE_CHAIN: "rule_chain"}


def conflict_fix(conflicts: Iterable[TopicConflict]) -> str:
    """What to do about parts of our names that serve another topic."""
    keys = " and ".join(_NAME_KEYS[conflict.kind] for conflict in conflicts)
    return (
        f"If another scenario needs it, give ours another name: {keys} under [forwarding] in the scenario, or the name"
        " in the JSON file. If it is a leftover, delete it on the server, or run `pacifictool teardown` with the"
        " scenario that set it up."
    )


@dataclass(frozen=True, slots=True)
class ForwardingState:
    """What the server has, as far as a spec is concerned."""

    ready: bool
    """Everything is there, active, and its last start succeeded."""
    parts: Mapping[str, Any]
    """The server's objects by kind; what they are depends on the generation."""
    failures: Mapping[str, str] = field(default_factory=dict)
    """By kind: why an ACTIVE part does not run, in the server's words."""
    notes: tuple[ForwardingNote, ...] = ()
    """What a person should know, such as duplicates of a rule."""
    conflicts: tuple[TopicConflict, ...] = ()
    """What has our names but serves other topics: neither changed nor deleted, so that nothing can be planned."""

    def require_ours(self) -> None:
        """Raises OtherTopic if there are conflicts."""
        refuse(self.conflicts)


def refuse(conflicts: Iterable[TopicConflict]) -> None:
    """Raises OtherTopic for all of them, if there are any."""
    found = list(conflicts)
    if found:
        raise OtherTopic(" ".join(conflict.text for conflict in found), hint=conflict_fix(found))


def apply_changes(changes: Iterable[Change]) -> None:
    """Applies the changes of a plan in their order."""
    for change in changes:
        if change.apply is not None:
            change.apply()


class Forwarding(Protocol):
    """One generation's way to get telemetry to Kafka."""

    @property
    def generation(self) -> str:
        """For example 1.x."""

    def describe(self, spec: ForwardingSpec) -> str:
        """In one line for a person: by which means telemetry is forwarded."""

    def inspect(self, spec: ForwardingSpec) -> ForwardingState:
        """Reads what is there; changes nothing. Raises PlatformError."""

    def plan(self, spec: ForwardingSpec, state: ForwardingState | None = None) -> list[Change]:
        """Compares `state` (by default a fresh inspection) with the spec; changes nothing. Raises OtherTopic."""

    def apply(self, spec: ForwardingSpec) -> list[Change]:
        """Plans and applies; returns the plan. Raises OtherTopic, ForwardingFailed when a part does not start."""

    def plan_removal(self, spec: ForwardingSpec) -> list[Change]:
        """What `remove` would delete; changes nothing. Raises OtherTopic."""

    def remove(self, spec: ForwardingSpec) -> list[Change]:
        """Removes what the spec names and nothing else; returns what was deleted. Raises OtherTopic."""

    def parts(self) -> list[ForwardingPart]:
        """All plugins, rules and rule chains of the server, whoever made them."""

    def activate(self, part: ForwardingPart) -> None:
        """Lets messages pass through a suspended part. Raises ForwardingFailed when it does not run."""

    def suspend(self, part: ForwardingPart) -> None:
        """Keeps messages from a part; what made it stays as it is. Doing it twice does no harm."""
