"""Draws docs/pictures/model-*.svg from the examples in docs/models.md: python scripts/draw_models.py.

Each picture contains a digest of its input, so that a test detects an outdated one without drawing.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from pacifictool.models.generators import generator_for
from pacifictool.scenario import DeviceSpec, parse_scenario

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "models.md"
PICTURES = ROOT / "docs" / "pictures"
EXAMPLES = ROOT / "examples"
READINGS = 240
SEED = 1
DEVICES = ("Turbine 1", "Turbine 2")
KEY = "windSpeed"

_EXAMPLE = re.compile(
    r"```toml\n(?P<toml>(?:(?!```).)+)```\s+!\[[^\]]+\]\(pictures/model-(?P<name>\w+)\.svg\)", re.DOTALL
)


@dataclass(frozen=True)
class Example:
    """A model of the page and what two turbines measure with it."""

    name: str
    device: DeviceSpec
    series: tuple[tuple[int | float, ...], ...]

    @property
    def path(self) -> Path:
        return PICTURES / f"model-{self.name}.svg"

    @property
    def digest(self) -> str:
        """Of everything that can be seen in the picture."""
        return hashlib.sha256(repr((self.device.rate, DEVICES, self.series)).encode()).hexdigest()


def examples() -> list[Example]:
    """Those of the page, in its order."""
    found = []
    for match in _EXAMPLE.finditer(PAGE.read_text(encoding="utf-8")):
        scenario = parse_scenario(
            f'[forwarding]\ntopic = "t"\ntelemetry = ["{KEY}"]\n[[devices]]\nname = "Turbine 1"\n{match["toml"]}',
            source=str(PAGE),
            folder=EXAMPLES,
        )
        device = scenario.devices[0]
        series = []
        for name in DEVICES:
            generator = generator_for(device.telemetry[KEY], seed=SEED, device=name, key=KEY)
            values = [generator.value(number, number / device.rate) for number in range(READINGS)]
            series.append(tuple(value for value in values if value is not None))
        found.append(Example(match["name"], device, tuple(series)))
    return found


def draw(example: Example) -> None:
    """Writes the picture; the same values give the same bytes."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "model", "svg.fonttype": "none", "font.family": "sans-serif"})
    from matplotlib import pyplot as plt

    seconds = [number / example.device.rate for number in range(READINGS)]
    hours = seconds[-1] > 3600
    figure, axes = plt.subplots(figsize=(8, 2.4), layout="constrained")
    for device, values, color in zip(DEVICES, example.series, ("#1f77b4", "#e07b39"), strict=True):
        x = [second / 3600 for second in seconds] if hours else seconds
        axes.plot(x, values, label=device, color=color, linewidth=1.1, drawstyle="steps-post")
    axes.set_xlabel("hours" if hours else "seconds")
    axes.set_ylabel("wind speed")
    axes.margins(x=0.01)
    axes.grid(alpha=0.3)
    axes.legend(loc="upper right", fontsize="small")
    figure.savefig(
        example.path,
        metadata={"Date": None, "Creator": None, "Title": f"Model {example.name}", "Description": example.digest},
    )
    plt.close(figure)


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    for example in examples():
        draw(example)
        print(example.path.relative_to(ROOT), f"{example.path.stat().st_size / 1024:.0f} KB")


if __name__ == "__main__":
    main()
