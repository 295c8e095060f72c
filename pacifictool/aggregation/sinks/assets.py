"""The REST sink's view of the platform: assets by name, and telemetry on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pacifictool.rest import EntityId, Platform


class PlatformAssets:
    """An `AssetWriter` on the shared REST client."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def asset_id(self, name: str, entity_type: str) -> str:
        """The id of the asset of that name, whatever its type; created with `entity_type` when there is none."""
        return self._platform.assets.get_or_create(name, entity_type).id

    def write(self, asset_id: str, points: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        """Stores the points in the order given; the last one becomes the asset's latest value on a 1.x server."""
        self._platform.telemetry.write(EntityId.asset(asset_id), points)
