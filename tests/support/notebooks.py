"""Runs the notebooks of `examples/` against a platform; as a program (`make notebooks`) it renews their pictures."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from pacifictool.local.stack import LocalStack
from pacifictool.runtime.cache import default_cache_dir
from tests.support.analytics_rig import AnalyticsRig
from tests.support.documents import ROOT

NOTEBOOKS = ROOT / "examples" / "notebooks"
NAMES = ("explore", "train_and_deploy")
METERS = 20
FASTER = {"speed = 3600": "speed = 36000"}
"""Two recorded days in five seconds instead of 48."""


def publish_meters(rig: AnalyticsRig) -> None:
    """What the notebooks expect on a platform: two days of twenty meters."""
    rig.run("setup", "--fleet", str(METERS))
    rig.run("simulate", "--fleet", str(METERS), "--seed", "1")


def run_notebook(name: str, rig: AnalyticsRig) -> Any:
    """The executed notebook. Its files, such as pictures, are in the rig's folder. Raises CellExecutionError."""
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(rig.folder)}}
    )
    return client.execute(env={**os.environ, **rig.environ, "MPLBACKEND": "agg", "SOURCE_DATE_EPOCH": "0"})


def printed(notebook: Any) -> str:
    """What its cells print and show as text."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return "\n".join(each.get("text") or each.get("data", {}).get("text/plain", "") for each in outputs)


def renew_pictures() -> None:
    """Writes docs/pictures from runs of the notebooks."""
    with tempfile.TemporaryDirectory() as folder:
        stack = LocalStack(
            Path(folder) / "stack", cache_dir=default_cache_dir(os.environ), environ=os.environ, shared=True
        )
        with stack:
            work = Path(folder) / "work"
            work.mkdir()
            with AnalyticsRig(work, stack.broker.bootstrap, "meters", "4", FASTER) as rig:
                publish_meters(rig)
                for name in NAMES:
                    print(printed(run_notebook(name, rig)))  # noqa: T201 - a program
                    shutil.copy(rig.folder / f"{name}.svg", ROOT / "docs" / "pictures" / f"{name}.svg")


if __name__ == "__main__":
    renew_pictures()
