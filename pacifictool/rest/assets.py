"""Assets: what the means of the zones are posted to."""

from __future__ import annotations

from pacifictool.rest.entities import Asset
from pacifictool.rest.named import NamedEntities


class Assets(NamedEntities[Asset]):
    """The tenant's assets."""

    _entity = Asset
    _path = "/api/asset"
    _tenant_path = "/api/tenant/assets"
    _name_parameter = "assetName"
