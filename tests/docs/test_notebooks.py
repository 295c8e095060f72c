"""The page "Notebooks" shows what the notebooks are; tests/e2e/test_notebooks.py runs them."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.documents import ROOT
from tests.support.notebooks import NAMES, NOTEBOOKS

PAGE = (ROOT / "docs" / "notebooks.md").read_text(encoding="utf-8")


def cells(name: str, kind: str = "code") -> list[str]:
    document = json.loads((NOTEBOOKS / name).read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in document["cells"] if cell["cell_type"] == kind]


def test_every_block_is_a_part_of_its_notebook() -> None:
    shown = re.findall(r"<!-- part of (\S+) -->\n```python\n(.*?)\n```", PAGE, re.DOTALL)
    assert len(shown) == PAGE.count("```python") == 2
    for name, text in shown:
        assert any(text in cell for cell in cells(name)), name


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_kept_without_what_a_run_adds(name: str) -> None:
    document = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))
    for cell in document["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
    for source in cells(f"{name}.ipynb"):
        compile(source, name, "exec")
    assert f"{name}.svg" in PAGE
