"""Draws docs/pictures/week.svg from what the test of a week prints:

WEEK_DAYS=7 pytest -s -m long tests/e2e/analytics/test_week.py 2>&1 | python scripts/draw_week.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "pictures" / "week.svg"
PANELS = {
    "Memory, MiB": {"java_mib": "Java", "python_mib": "Python"},
    "Open files and sockets": {"descriptors": ""},
    "Files of the job, MiB": {"files_mib": ""},
}


def main() -> None:
    samples = [json.loads(line) for line in sys.stdin if line.startswith("{")]
    days = [sample["day"] for sample in samples]
    mpl.rcParams |= {"svg.hashsalt": "week", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    figure, panels = plt.subplots(1, 3, figsize=(9.6, 2.6), layout="constrained")
    for panel, (title, keys) in zip(panels, PANELS.items(), strict=True):
        for key, label in keys.items():
            values = [sample[key] for sample in samples]
            panel.plot(days, values, marker=".", label=label)
            panel.set_ylim(0, max(1.15 * max(values), panel.get_ylim()[1]))
        panel.set_title(title)
        panel.set_xlabel("Days of event time")
        if len(keys) > 1:
            panel.legend(frameon=False)
    figure.savefig(PICTURE, metadata={"Date": None})
    print(f"{PICTURE.name}: {len(samples)} samples")


if __name__ == "__main__":
    main()
