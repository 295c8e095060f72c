"""Forwarding on 1.x: a Kafka plugin, and a rule that hands it the messages that pass the rule's filters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pacifictool.errors import (
    AlreadyExists,
    DescriptorError,
    ForwardingFailed,
    InvalidRequest,
    NameChanged,
    NotFound,
    PlatformError,
)
from pacifictool.plan import Change, ChangeAction, Kind
from pacifictool.rest.creation import create_idempotently
from pacifictool.rest.entities import ACTIVE, SUSPENDED, Plugin, Rule
from pacifictool.rest.events import Events
from pacifictool.rest.forwarding.compare import Difference, DifferenceKind, differences, merged
from pacifictool.rest.forwarding.interface import (
    FIRST_GENERATION,
    ForwardingNote,
    ForwardingSpec,
    ForwardingState,
    NoteCode,
    TopicConflict,
    apply_changes,
    refuse,
)
from pacifictool.rest.forwarding.lifecycle import UPDATED, ComponentLifecycle
from pacifictool.rest.forwarding.limiter import DeletionLimiter
from pacifictool.rest.forwarding.parts import ForwardingPart, PartState
from pacifictool.rest.http import Session

PLUGIN = Kind.PLUGIN
RULE = Kind.RULE


class PluginRuleForwarding:
    """See `Forwarding`. A plugin is known by its apiToken, a rule by its name, pluginToken and topic."""

    generation = FIRST_GENERATION

    def __init__(self, session: Session, events: Events, limiter: DeletionLimiter | None = None) -> None:
        self._session = session
        self._reporter = session.reporter
        self._lifecycle = ComponentLifecycle(session, events)
        self._limiter = limiter or DeletionLimiter(
            stop=session.stop, reporter=session.reporter, journal=session.deletion_journal
        )

    def describe(self, spec: ForwardingSpec) -> str:
        parts = [
            f"{kind} {descriptor['name']!r}"
            for kind, descriptor in ((PLUGIN, spec.plugin), (RULE, spec.rule))
            if descriptor is not None
        ]
        return " and ".join(parts)

    def inspect(self, spec: ForwardingSpec) -> ForwardingState:
        self._require_descriptors(spec)
        plugin = None if spec.plugin is None else self._find_plugin(spec.plugin)
        listed = self._rules()
        conflicts = tuple(_conflicts(spec, plugin, listed))
        rules, notes = ([], []) if spec.rule is None or conflicts else _our_rules(spec, listed)
        if len(rules) > 1:
            text = (
                f"There are {len(rules)} rules named {rules[0].name!r} ({', '.join(rule.id for rule in rules)}): every"
                " active one forwards each message once more. The first is used, the others are kept suspended."
            )
            notes.append(ForwardingNote(NoteCode.DUPLICATES, text))
        parts: dict[str, Any] = {PLUGIN: plugin, RULE: rules[0] if rules else None, "duplicates": tuple(rules[1:])}
        failures: dict[str, str] = {
            kind: failure
            for kind in (PLUGIN, RULE)
            if parts[kind] is not None and (failure := self._lifecycle.last_failure(parts[kind])) is not None
        }
        wanted = [kind for kind, descriptor in ((PLUGIN, spec.plugin), (RULE, spec.rule)) if descriptor is not None]
        ready = not failures and all(parts[kind] is not None and parts[kind].state == ACTIVE for kind in wanted)
        return ForwardingState(ready, parts, failures, tuple(notes), conflicts)

    def plan(self, spec: ForwardingSpec, state: ForwardingState | None = None) -> list[Change]:
        state = state or self.inspect(spec)
        state.require_ours()
        changes = []
        plugin, rule = spec.wanted_plugin(), spec.wanted_rule()
        if plugin is not None:
            changes.append(self._planned(PLUGIN, plugin, state, activate=spec.activate))
        if rule is not None:
            changes.append(self._planned(RULE, rule, state, activate=spec.activate))
            changes += [
                self._suspension(duplicate) for duplicate in state.parts["duplicates"] if duplicate.state != SUSPENDED
            ]
        return changes

    def apply(self, spec: ForwardingSpec) -> list[Change]:
        state = self.inspect(spec)
        for note in state.notes:
            self._reporter.warning(note)
        changes = self.plan(spec, state)
        apply_changes(changes)
        return changes

    def plan_removal(self, spec: ForwardingSpec) -> list[Change]:
        self._require_descriptors(spec)
        changes: list[Change] = []
        listed = self._rules()
        plugin = None if spec.plugin is None else self._find_plugin(spec.plugin)
        refuse(_conflicts(spec, plugin, listed))
        rules = [] if spec.rule is None else _our_rules(spec, listed)[0]
        changes += [
            Change(RULE, rule.name, ChangeAction.DELETE, apply=lambda rule=rule: self._delete_rule(rule))  # type: ignore[misc]
            for rule in rules
        ]
        if plugin is not None:
            ours = {rule.id for rule in rules}
            others = [rule for rule in listed if rule.plugin_token == plugin.api_token and rule.id not in ours]
            if others:
                names = ", ".join(repr(rule.name) for rule in others)
                changes.append(
                    Change(
                        PLUGIN,
                        plugin.name,
                        ChangeAction.KEEP,
                        (Difference(f"still used by {names}", DifferenceKind.STRUCTURE),),
                    )
                )
            else:
                changes.append(
                    Change(PLUGIN, plugin.name, ChangeAction.DELETE, apply=lambda: self._delete_plugin(plugin))
                )
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
        return [*map(_part, self._plugins()), *map(_part, self._rules())]

    def activate(self, part: ForwardingPart) -> None:
        found = self._again(part)
        if (failure := self._lifecycle.last_failure(found)) is not None:
            self._lifecycle.restart(found, failure)
        elif found.state != ACTIVE:
            self._lifecycle.activate(found)

    def suspend(self, part: ForwardingPart) -> None:
        self._lifecycle.suspend(self._again(part))

    def _again(self, part: ForwardingPart) -> Plugin | Rule:
        listed: Sequence[Plugin | Rule] = self._plugins() if part.kind is PLUGIN else self._rules()
        found = next((one for one in listed if one.id == part.id), None)
        if found is None:
            raise NotFound(f"The {part.kind} {part.name!r} has been deleted.", id=part.id)
        return found

    def _require_descriptors(self, spec: ForwardingSpec) -> None:
        if spec.rule_chain is not None and spec.plugin is None and spec.rule is None:
            raise DescriptorError(
                f"The server at {self._session.url} is of the generation 1.x: it has plugins and rules, not rule"
                " chains.",
                hint="Use `import plugin` and `import rule`, or leave --rule-chain out.",
            )

    def _plugins(self) -> list[Plugin]:
        return [Plugin.from_json(item) for item in self._session.request("GET", "/api/plugins", expect=list)]

    def _rules(self) -> list[Rule]:
        return [Rule.from_json(item) for item in self._session.request("GET", "/api/rules", expect=list)]

    def _find_plugin(self, wanted: Mapping[str, Any]) -> Plugin | None:
        """The plugin with the wanted apiToken, which is unique. Raises AlreadyExists when it is of another class."""
        token = wanted["apiToken"]
        found = next((plugin for plugin in self._plugins() if plugin.api_token == token), None)
        if found is not None and (found.is_system or found.clazz != wanted["clazz"]):
            raise AlreadyExists(
                f"The API token {token!r} belongs to the plugin {found.name!r} of the class {found.clazz}.",
                hint="Choose another apiToken in the plugin's file and the same as pluginToken in the rule's.",
            )
        return found

    # Planning

    def _planned(self, kind: Kind, wanted: dict[str, Any], state: ForwardingState, *, activate: bool) -> Change:
        found: Plugin | Rule | None = state.parts[kind]
        if found is None:
            return Change(
                kind,
                wanted["name"],
                ChangeAction.CREATE,
                apply=lambda: self._create(kind, wanted, activate=activate),
            )
        content = list(differences(wanted, found.raw))
        found_differences = list(content)
        if activate and found.state != ACTIVE:
            found_differences.append(Difference(f"state: {ACTIVE} instead of {found.state}", DifferenceKind.STATE))
        if activate and kind in state.failures:
            found_differences.append(Difference(f"it did not start: {state.failures[kind]}", DifferenceKind.STATE))
        if not found_differences:
            return Change(kind, wanted["name"], ChangeAction.KEEP)
        return Change(
            kind,
            wanted["name"],
            ChangeAction.CHANGE,
            tuple(found_differences),
            lambda: self._change(
                kind, found, wanted, save=bool(content), activate=activate, failure=state.failures.get(kind)
            ),
        )

    def _suspension(self, duplicate: Rule) -> Change:
        return Change(
            RULE,
            duplicate.name,
            ChangeAction.CHANGE,
            (Difference(f"duplicate {duplicate.id}: suspended", DifferenceKind.DUPLICATE),),
            lambda: self._lifecycle.suspend(duplicate),
        )

    # Applying

    def _create(self, kind: str, wanted: dict[str, Any], *, activate: bool) -> None:
        created = self._create_plugin(wanted) if kind == PLUGIN else self._create_rule(wanted)
        if activate:
            self._lifecycle.activate(created)

    def _create_plugin(self, wanted: dict[str, Any]) -> Plugin:
        try:
            return create_idempotently(
                self._session, "/api/plugin", wanted, Plugin.from_json, lambda: self._find_plugin(wanted)
            )
        except AlreadyExists as error:
            raise AlreadyExists(
                f"The API token {wanted['apiToken']!r} of the plugin {wanted['name']!r} is taken by another tenant of"
                f" {self._session.url}.",
                hint="Choose another apiToken in the plugin's file and the same as pluginToken in the rule's.",
                **error.details,
            ) from error
        except NameChanged:
            raise
        except InvalidRequest as error:
            raise _explained(error, wanted["clazz"]) from error

    def _create_rule(self, wanted: dict[str, Any]) -> Rule:
        def find() -> Rule | None:
            rules = _our_rules(ForwardingSpec(rule=wanted), self._rules())[0]
            return max(rules, key=lambda rule: rule.created_time, default=None)

        try:
            return create_idempotently(self._session, "/api/rule", wanted, Rule.from_json, find)
        except NameChanged:
            raise
        except InvalidRequest as error:
            raise _explained(error, wanted["action"]["clazz"], token=wanted["pluginToken"]) from error

    def _change(
        self,
        kind: str,
        found: Plugin | Rule,
        wanted: dict[str, Any],
        *,
        save: bool,
        activate: bool,
        failure: str | None,
    ) -> None:
        """Saves what differs, and starts what is not running."""
        restarted = False
        if save:
            # The state must be left out or equal the current one; the other fields of the installation do no harm.
            document = {key: value for key, value in merged(wanted, found.raw).items() if key != "state"}
            path = "/api/plugin" if kind == PLUGIN else "/api/rule"
            before = self._lifecycle.remember(found)
            try:
                self._session.request("POST", path, json=document, repeatable=True, expect=dict)
            except InvalidRequest as error:
                raise _explained(error, wanted.get("clazz") or wanted["action"]["clazz"]) from error
            if found.state == ACTIVE:
                # An active part restarts by itself with what was saved.
                restarted = self._lifecycle.check(found, UPDATED, before)
        if activate and found.state != ACTIVE:
            self._lifecycle.activate(found)
        elif activate and failure is not None and not restarted:
            self._lifecycle.restart(found, failure)

    def _delete_rule(self, rule: Rule) -> None:
        self._lifecycle.suspend(rule)
        self._limiter.wait()
        self._lifecycle.delete(rule)

    def _delete_plugin(self, plugin: Plugin) -> None:
        self._lifecycle.suspend(plugin)
        self._lifecycle.delete(plugin)


def _our_rules(spec: ForwardingSpec, listed: Sequence[Rule]) -> tuple[list[Rule], list[ForwardingNote]]:
    """The rules of the wanted name, token and topic, the one to keep first; and what a person should know of others."""
    wanted = spec.wanted_rule()
    assert wanted is not None
    named = [rule for rule in listed if rule.name == wanted["name"] and not rule.is_system]
    ours = [
        rule
        for rule in named
        if rule.plugin_token == wanted["pluginToken"] and _topic(rule.raw) in (None, _topic(wanted))
    ]
    notes = [
        ForwardingNote(
            NoteCode.NAMESAKE,
            f"Another rule named {rule.name!r} ({rule.id}, {rule.state}) hands messages to the plugin with the"
            f" token {rule.plugin_token!r}{_for_topic(rule)}; it is left alone.",
            "Rename that rule on the platform if it is a leftover.",
        )
        for rule in named
        if rule not in ours
    ]
    return sorted(ours, key=lambda rule: (rule.state != ACTIVE, rule.created_time, rule.id)), notes


def _conflicts(spec: ForwardingSpec, plugin: Plugin | None, listed: Sequence[Rule]) -> Iterator[TopicConflict]:
    """The rule with our name, or else the plugin with our token, where it serves other topics and not ours.

    A plugin serves the topics of its rules. One that serves ours, too, is shared and stays ours to use.
    """
    wanted = spec.wanted_rule()
    topic = _topic(wanted) if wanted is not None else spec.topic
    if topic is None:
        return
    if wanted is not None and not _our_rules(spec, listed)[0]:
        for rule in listed:
            if rule.name == wanted["name"] and rule.plugin_token == wanted["pluginToken"] and not rule.is_system:
                yield TopicConflict(RULE, repr(rule.name), (str(_topic(rule.raw)),), topic)
                return
    if plugin is not None:
        topics = {_topic(rule.raw) for rule in listed if rule.plugin_token == plugin.api_token} - {None}
        if topics and topic not in topics:
            name = f"{plugin.name!r} (token {plugin.api_token!r})"
            yield TopicConflict(PLUGIN, name, tuple(sorted(filter(None, topics))), topic)


def _topic(rule: Mapping[str, Any]) -> str | None:
    """Where the rule writes; None where that is not a topic of Kafka."""
    action = rule.get("action")
    configuration = action.get("configuration") if isinstance(action, Mapping) else None
    topic = configuration.get("topic") if isinstance(configuration, Mapping) else None
    return topic if isinstance(topic, str) else None


def _part(found: Plugin | Rule) -> ForwardingPart:
    if isinstance(found, Plugin):
        kind, detail = PLUGIN, found.clazz.rpartition(".")[2]
    else:
        kind, detail = RULE, f"token {found.plugin_token}" if found.plugin_token else "no plugin"
        if (topic := _topic(found.raw)) is not None:
            detail += f", topic {topic}"
    state = PartState.ACTIVE if found.state == ACTIVE else PartState.SUSPENDED
    return ForwardingPart(kind, found.id, found.name, state, detail, found.is_system)


def _for_topic(rule: Rule) -> str:
    topic = _topic(rule.raw)
    return "" if topic is None else f" for the topic {topic!r}"


def _explained(error: InvalidRequest, clazz: str, token: str | None = None) -> PlatformError:
    """The server's refusal of a plugin or rule, in words that say what to do."""
    details = error.details
    if "descriptor not found" in error.message:
        return ForwardingFailed(
            f"The server does not know the class {clazz}.",
            hint="Install the extension on the server (extension-kafka is part of a 1.x server since 1.2), or"
            " correct clazz in the file.",
            **details,
        )
    if "non-existent plugin" in error.message and token is not None:
        return NotFound(
            f"The server has no plugin with the API token {token!r}, which the rule names.",
            hint="Import the plugin first: pacifictool import plugin FILE",
            **details,
        )
    return error
