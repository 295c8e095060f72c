"""What a person should know about rule chains that are there: twins, odd ways in, profiles that lead devices astray."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pacifictool.rest.entities import RuleChain
from pacifictool.rest.forwarding.hook import POST_TELEMETRY, entries
from pacifictool.rest.forwarding.interface import ForwardingNote, NoteCode


def twin_notes(candidates: list[RuleChain], root_metadata: Mapping[str, Any]) -> Iterator[ForwardingNote]:
    """`candidates` have the same name, the one that is used first."""
    if len(candidates) < 2:
        return
    twins = ", ".join(chain.id for chain in candidates)
    text = f"There are {len(candidates)} rule chains named {candidates[0].name!r} ({twins}); the first is used."
    hooked = [chain.id for chain in candidates[1:] if entries(root_metadata, chain.id)]
    if not hooked:
        yield ForwardingNote(NoteCode.DUPLICATES, text)
        return
    text += f" The root rule chain hands telemetry to {', '.join(hooked)}, too: each message is forwarded again."
    yield ForwardingNote(NoteCode.FORWARDED_TWICE, text, "Take those out in the web UI.")


def way_notes(chain: RuleChain, root: RuleChain, root_metadata: Mapping[str, Any]) -> Iterator[ForwardingNote]:
    """Ways into our chain that setup would not have made: left alone, but told."""
    ways = entries(root_metadata, chain.id)
    if len(ways) > 1:
        yield ForwardingNote(
            NoteCode.FORWARDED_TWICE,
            f"The rule chain {root.name!r} leads to {chain.name!r} in {len(ways)} ways ({'; '.join(ways)}): a message"
            " may be forwarded more than once.",
            "Take the others out in the web UI.",
        )
    elif ways and POST_TELEMETRY not in ways[0]:
        yield ForwardingNote(
            NoteCode.UNUSUAL_ENTRY,
            f"The rule chain {root.name!r} leads to {chain.name!r} by {ways[0]} instead of {POST_TELEMETRY!r} of its"
            " message type switch; that is left as it is.",
        )


def profile_note(profile: str, default: str, *, is_ours: bool) -> ForwardingNote:
    """The device profile names the chain `default`, which its devices' messages enter instead of the root chain."""
    begins = f"The device profile {profile!r} has a default rule chain, {default!r}"
    if is_ours:
        return ForwardingNote(
            NoteCode.PROFILE_BYPASSES,
            f"{begins} itself: its devices bypass the root rule chain, so that neither their telemetry nor the client"
            " attributes that the chain looks for are stored, and nothing reaches Kafka.",
            "Take the default rule chain out of the profile.",
        )
    return ForwardingNote(
        NoteCode.PROFILE_BYPASSES,
        f"{begins}: its devices bypass the root rule chain, so that nothing of theirs reaches Kafka.",
        f"Take the default rule chain out of the profile, or lead {POST_TELEMETRY!r} on from {default!r} to our chain"
        " in the web UI.",
    )
