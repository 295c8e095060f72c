"""What a person should know about existing rule chains: duplicates, unusual entries, profiles that bypass them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pacifictool.errors import InvalidRequest, NotFound
from pacifictool.rest.entities import RuleChain
from pacifictool.rest.forwarding.hook import POST_TELEMETRY, entries
from pacifictool.rest.forwarding.interface import ForwardingNote, NoteCode
from pacifictool.rest.http import Session, segment

_MAX_PROFILES = 100


def duplicate_notes(candidates: list[RuleChain], root_metadata: Mapping[str, Any]) -> Iterator[ForwardingNote]:
    """`candidates` are the chains of one name, the one that is used first."""
    if len(candidates) < 2:
        return
    ids = ", ".join(chain.id for chain in candidates)
    text = f"There are {len(candidates)} rule chains named {candidates[0].name!r} ({ids}); the first is used."
    hooked = [chain.id for chain in candidates[1:] if entries(root_metadata, chain.id)]
    if not hooked:
        yield ForwardingNote(NoteCode.DUPLICATES, text)
        return
    text += f" The root rule chain hands telemetry to {', '.join(hooked)}, too: each message is forwarded again."
    yield ForwardingNote(NoteCode.FORWARDED_TWICE, text, "Take those out in the web UI.")


def entry_notes(chain: RuleChain, root: RuleChain, root_metadata: Mapping[str, Any]) -> Iterator[ForwardingNote]:
    """Connections into our chain that setup would not have made: reported, and left as they are."""
    found = entries(root_metadata, chain.id)
    if len(found) > 1:
        yield ForwardingNote(
            NoteCode.FORWARDED_TWICE,
            f"The rule chain {root.name!r} leads to {chain.name!r} in {len(found)} ways ({'; '.join(found)}): a message"
            " may be forwarded more than once.",
            "Take the others out in the web UI.",
        )
    elif found and POST_TELEMETRY not in found[0]:
        yield ForwardingNote(
            NoteCode.UNUSUAL_ENTRY,
            f"The rule chain {root.name!r} leads to {chain.name!r} by {found[0]} instead of {POST_TELEMETRY!r} of its"
            " message type switch; that is left as it is.",
        )


def profile_chain_id(session: Session, name: str) -> str | None:
    """The id of the default rule chain of the device profile `name`; None without such a profile or chain.

    A device's type is the name of its profile (3.2 and later); older servers respond with an error, which means None.
    """
    params: dict[str, str | int] = {"pageSize": _MAX_PROFILES, "page": 0, "textSearch": name}
    try:
        page = session.request("GET", "/api/deviceProfileInfos", params=params, expect=dict)
        found = page.get("data")
        infos = found if isinstance(found, list) else []
        profile_id = next((_id_in(info, "id") for info in infos if _name_of(info) == name), None)
        if profile_id is None:
            return None
        profile = session.request("GET", f"/api/deviceProfile/{segment(profile_id)}", expect=dict)
    except (NotFound, InvalidRequest):
        return None
    return _id_in(profile, "defaultRuleChainId")


def profile_note(profile: str, default: str, *, is_ours: bool) -> ForwardingNote:
    """For a device profile with the default rule chain `default`, which its devices' messages enter first."""
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


def _name_of(info: object) -> object:
    return info.get("name") if isinstance(info, dict) else None


def _id_in(document: object, key: str) -> str | None:
    reference = document.get(key) if isinstance(document, dict) else None
    identifier = reference.get("id") if isinstance(reference, dict) else None
    return identifier if isinstance(identifier, str) else None
