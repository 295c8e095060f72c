from __future__ import annotations

from pacifictool.rest import Platform
from pacifictool.rest.paging import TextPaging


def test_more_than_one_page_of_a_sandbox(real: Platform, unique: str) -> None:
    names = [f"{unique} device {number}" for number in range(130)]
    for name in names:
        real.devices.create(name, f"type {unique}")
    paging = TextPaging(13)
    found = [item["name"] for item in paging.items(real.session, "/api/tenant/devices", {"type": f"type {unique}"})]
    assert found == names
    assert [device.name for device in real.devices.list(type=f"type {unique}")] == names
    assert len(list(real.devices.list(text_search=f"{unique} DEVICE 1"))) == 1 + 10 + 30
