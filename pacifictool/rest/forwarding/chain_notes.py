"""What a person should know about rule chains that are there: twins, odd ways in, profiles that lead devices astray."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pacifictool.rest.entities import RuleChain
from pacifictool.rest.forwarding.hook import POST_TELEMETRY, entries


def twin_notes(candidates: list[RuleChain], root_metadata: Mapping[str, Any]) -> Iterator[str]:
    """`candidates` have the same name, the one that is used first."""
    if len(candidates) < 2:
        return
    twins = ", ".join(chain.id for chain in candidates)
    note = f"There are {len(candidates)} rule chains named {candidates[0].name!r} ({twins}); the first is used."
    hooked = [chain.id for chain in candidates[1:] if entries(root_metadata, chain.id)]
    if hooked:
        note += (
            f" The root rule chain hands telemetry to {', '.join(hooked)}, too, so that each message is forwarded once"
            " more: take those out in the web UI."
        )
    yield note


def way_notes(chain: RuleChain, root: RuleChain, root_metadata: Mapping[str, Any]) -> Iterator[str]:
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


def profile_note(profile: str, default: str, *, is_ours: bool) -> str:
    """The device profile names the chain `default`, which its devices' messages enter instead of the root chain."""
    begins = f"The device profile {profile!r} has a default rule chain, {default!r}"
    if is_ours:
        return (
            f"{begins} itself: its devices bypass the root rule chain, so that neither their telemetry nor the client"
            " attributes that the chain looks for are stored, and nothing reaches Kafka. Take the default rule chain"
            " out of the profile."
        )
    return (
        f"{begins}: its devices bypass the root rule chain, so that nothing of theirs reaches Kafka. Take the default"
        f" rule chain out of the profile, or lead {POST_TELEMETRY!r} on from {default!r} to our chain in the web UI."
    )
