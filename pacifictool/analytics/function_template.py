"""`analytics new`: a function to start from, its test, and the lines for the scenario."""

from __future__ import annotations

import importlib.util
import keyword
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pacifictool.errors import FileNotWritten, UsageError, file_fault
from pacifictool.scenario import ForwardingConfig
from pacifictool.scenario.names import DEVICE_NAME

FUNCTION: Final = "compute"

_MODULE: Final = '''\
"""The analytics {name}: what is computed of the readings of each group and window."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from pacifictool.functions import Window


def {function}(readings: pd.DataFrame, window: Window, history: pd.DataFrame) -> Mapping[str, float]:
    """Mean and spread of every key, and how much the mean has changed since the window before.

    `readings`: ts, deviceName, attributes and keys of the window, in order of ts. `history`: the last results of the
    group, oldest first. The mapping is posted to the group's entity. Called again when a late reading arrives.
    """
    results = {{"readings": float(len(readings))}}
    for key in readings.select_dtypes("number"):
        values = readings[key].dropna()
        if values.empty:
            continue
        results[f"{{key}}_mean"] = values.mean()
        results[f"{{key}}_spread"] = values.std(ddof=0)
        if f"{{key}}_mean" in history:
            results[f"{{key}}_change"] = values.mean() - history[f"{{key}}_mean"].iloc[-1]
    return results
'''

_TEST: Final = '''\
"""Tests of {name}.py: run them with `pytest`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from {name} import {function}

from pacifictool.functions import Window

START = datetime(2026, 1, 1, tzinfo=UTC)
WINDOW = Window("{name}", {{"{group}": "A"}}, "A", START, START + timedelta(seconds=10))


def readings(*temperatures: float) -> pd.DataFrame:
    """One reading a second."""
    return pd.DataFrame(
        {{
            "ts": [START + timedelta(seconds=number) for number in range(len(temperatures))],
            "deviceName": "Sensor 1",
            "temperature": temperatures,
        }}
    )


def test_mean_and_spread_of_what_there_is() -> None:
    results = {function}(readings(18.0, 22.0, float("nan")), WINDOW, pd.DataFrame())
    assert results == {{"readings": 3, "temperature_mean": 20, "temperature_spread": 2}}


def test_the_change_since_the_window_before() -> None:
    before = {function}(readings(18.0), WINDOW, pd.DataFrame())
    results = {function}(readings(21.0), WINDOW, pd.DataFrame([before]))
    assert results["temperature_change"] == pytest.approx(3)
'''

_ANALYTICS: Final = """\
[[analytics]]
name = "{name}"
group_by = ["{group}"]{note}
window = "10s"
history = 1
function = "{name}:{function}"
"""


@dataclass(frozen=True, slots=True)
class NewFunction:
    """What `create_function` wrote."""

    module: Path
    test: Path
    analytics: str
    """Lines for the scenario."""

    def as_document(self) -> dict[str, Any]:
        """For JSON output."""
        return {"file": str(self.module), "test": str(self.test), "analytics": self.analytics}


def create_function(name: str, folder: Path, forwarding: ForwardingConfig | None = None) -> NewFunction:
    """Writes NAME.py and test_NAME.py. `forwarding`: of the scenario, which tells by what to group.

    Raises UsageError for a name that is not possible and for a file that exists, FileNotWritten.
    """
    _check_name(name, folder)
    keys = forwarding.attribute_keys if forwarding is not None else ()
    group = keys[0] if keys else DEVICE_NAME
    has_group = forwarding is None or bool(keys) or forwarding.device
    lines = _ANALYTICS.format(
        name=name, function=FUNCTION, group=group, note="" if has_group else " # needs device = true in [forwarding]"
    )
    module, test = folder / f"{name}.py", folder / f"test_{name}.py"
    for path in (module, test):
        if path.exists():
            raise UsageError(f"{path} already exists.", hint="Choose another name, or another --folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in ((module, _MODULE), (test, _TEST)):
            with path.open("x", encoding="utf-8") as stream:
                stream.write(text.format(name=name, function=FUNCTION, group=group))
    except OSError as error:
        raise FileNotWritten(
            f"{folder} cannot be written to: {file_fault(error)}.", hint="Name another --folder."
        ) from error
    return NewFunction(module, test, lines)


def _check_name(name: str, folder: Path) -> None:
    if not name.isidentifier() or not name.isascii() or keyword.iskeyword(name) or name.startswith("_"):
        raise UsageError(
            f"{name!r} cannot be the name of a Python file that is imported.",
            hint="It has letters, digits and underscores, and begins with a letter: anomaly.",
        )
    found = importlib.util.find_spec(name)
    own = found is not None and found.origin is not None and Path(found.origin).parent == folder.resolve()
    if name in sys.stdlib_module_names or (found is not None and not own):
        raise UsageError(
            f"There is a Python module {name!r} already, which {name}.py would hide.", hint="Choose another name."
        )
