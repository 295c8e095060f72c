"""Device profiles (3.2 and later), as far as they lead devices past the root rule chain."""

from __future__ import annotations

from pacifictool.errors import InvalidRequest, NotFound
from pacifictool.rest.http import Session, segment

_LOOKED_AT = 100


def profile_chain_id(session: Session, name: str) -> str | None:
    """The id of the default rule chain of the device profile `name`; None without such a profile or chain.

    A device's type is the name of its profile. Servers before 3.2 have no profiles, and answer that.
    """
    params: dict[str, str | int] = {"pageSize": _LOOKED_AT, "page": 0, "textSearch": name}
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


def _name_of(info: object) -> object:
    return info.get("name") if isinstance(info, dict) else None


def _id_in(document: object, key: str) -> str | None:
    reference = document.get(key) if isinstance(document, dict) else None
    identifier = reference.get("id") if isinstance(reference, dict) else None
    return identifier if isinstance(identifier, str) else None
