from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pacifictool.errors
from pacifictool.local.launcher import SandboxProcess
from pacifictool.rest import Platform

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "rest-client.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "examples" / "rest_client.py"


def test_the_guide_is_a_program_that_runs(sandbox: SandboxProcess, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = [part.partition("```")[0] for part in PAGE.split("```python\n")[1:]]
    program = "\n".join(blocks).replace("http://localhost:8080", sandbox.url)
    names: dict[str, Any] = {}
    exec(compile(program, "docs/rest-client.md", "exec"), names)
    assert len(blocks) >= 6
    assert "1.x\nTENANT_ADMIN\n" in capsys.readouterr().out
    assert len(names["page"]["data"]) == 1


def test_every_error_of_the_platform_is_in_the_guide() -> None:
    kinds = [
        name
        for name, kind in vars(pacifictool.errors).items()
        if isinstance(kind, type) and issubclass(kind, pacifictool.errors.PlatformError) and name != "PlatformError"
    ]
    assert [kind for kind in kinds if f"| `{kind}` |" not in PAGE] == []


def run_example(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXAMPLE)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_example_runs_and_cleans_up(sandbox: SandboxProcess, real: Platform) -> None:
    done = run_example(PACIFICTOOL_URL=sandbox.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert "40.25 m/s" in done.stdout
    assert "latest temperature: None" in done.stdout
    assert real.assets.find("Example Zone") is None


def test_the_example_fails_in_words(free_port: int) -> None:
    done = run_example(PACIFICTOOL_URL=f"http://127.0.0.1:{free_port}")
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr
