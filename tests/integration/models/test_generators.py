from __future__ import annotations

import subprocess
import sys

from pacifictool.models.config import UniformModel, Wind
from pacifictool.models.generators import generator_for

SPEC = UniformModel(min=30, max=35)


def values(seed: int, device: str, count: int = 200, spec: Wind = SPEC) -> list[int | float]:
    generator = generator_for(spec, seed=seed, device=device, key="windSpeed")
    return [generator.value(number, number / 10) for number in range(count)]


def test_another_process_gives_the_same_values() -> None:
    code = (
        "from pacifictool.models.config import UniformModel\n"
        "from pacifictool.models.generators import generator_for\n"
        "s = generator_for(UniformModel(min=30, max=35), seed=42, device='Wind Turbine ü', key='windSpeed')\n"
        "print([s.value(n, 0.0) for n in range(20)])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert outputs == {f"{values(42, 'Wind Turbine ü', 20)}\n"}
