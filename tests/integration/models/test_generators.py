from __future__ import annotations

import subprocess
import sys

from pacifictool.models.config import UniformModel
from pacifictool.models.generators import generator_for


def test_another_process_gives_the_same_values() -> None:
    code = (
        "from pacifictool.models.config import UniformModel\n"
        "from pacifictool.models.generators import generator_for\n"
        "g = generator_for(UniformModel(min=30, max=35), seed=42, device='Wind Turbine ü', key='windSpeed')\n"
        "print([g.value(n, 0.0) for n in range(20)])"
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
    generator = generator_for(UniformModel(min=30, max=35), seed=42, device="Wind Turbine ü", key="windSpeed")
    assert outputs == {f"{[generator.value(number, 0.0) for number in range(20)]}\n"}
