"""The notebooks of `examples/notebooks`, executed against a platform; their numbers against the file of readings."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacifictool.local.stack import LocalStack
from tests.support.analytics_rig import EXAMPLES, AnalyticsRig
from tests.support.notebooks import FASTER, METERS, printed, publish_meters, run_notebook

pytestmark = [pytest.mark.long, pytest.mark.spark, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def rig(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnalyticsRig]:
    folder = tmp_path_factory.mktemp("notebooks")
    with AnalyticsRig(folder, stack.broker.bootstrap, "meters", "4", FASTER) as rig:
        publish_meters(rig)
        yield rig


def used_by_flat() -> list[list[float]]:
    """Of every simulated flat: what it used in each quarter of an hour."""
    lines = (EXAMPLES / "meters.csv").read_text(encoding="utf-8").splitlines()
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    return [[float(row[f"used_{('single', 'family', 'away')[flat % 3]}"]) for row in rows] for flat in range(METERS)]


def test_explore(rig: AnalyticsRig) -> None:
    text = printed(run_notebook("explore", rig))
    found = re.search(r"(\d+) meters used ([\d.]+) kWh in (\d+) days", text)
    assert found is not None, text
    total = sum(map(sum, used_by_flat()))
    assert (int(found[1]), int(found[3])) == (METERS, 2)
    assert float(found[2]) == pytest.approx(total, abs=0.06)
    assert "What twenty flats used" in (rig.folder / "explore.svg").read_text(encoding="utf-8")


def test_train_and_deploy(rig: AnalyticsRig) -> None:
    text = printed(run_notebook("train_and_deploy", rig))
    found = re.search(r"model ([\d.]+), persistence ([\d.]+)", text)
    assert found is not None, text
    changes = [abs(b - a) for flat in used_by_flat() for a, b in itertools.pairwise(flat[96:])]
    assert float(found[2]) == pytest.approx(sum(changes) / len(changes), abs=1e-4)
    assert float(found[1]) < 0.8 * float(found[2])
    assert "192 of 192 readings have what was expected of them" in text
    assert (rig.folder / "train_and_deploy.svg").is_file()


def test_the_pictures_of_the_page_are_the_notebooks_own() -> None:
    pictures: Path = EXAMPLES.parent / "docs" / "pictures"
    for name, title in (("explore", "What twenty flats used"), ("train_and_deploy", "Flat 002: the model")):
        assert title in (pictures / f"{name}.svg").read_text(encoding="utf-8")
