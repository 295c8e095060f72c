"""What tests of several folders share besides fixtures."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pacifictool.local.stack import LocalStack


@dataclass(frozen=True)
class Outcome:
    """The result of a command line."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        """stdout, which must be one JSON document."""
        return json.loads(self.stdout)


CommandLine = Callable[..., Outcome]


def kept_variables() -> dict[str, str]:
    """The variables that a command with its own environment inherits: paths of programs and caches, Java's compiler options."""
    names = ("PATH", "HOME", "JAVA_HOME", "JDK_JAVA_OPTIONS", "PACIFICTOOL_CACHE", "LANG", "TMPDIR", "PYTHONPATH")
    return {name: os.environ[name] for name in names if name in os.environ}


def checkout_on_path() -> dict[str, str]:
    """The variable with which a command finds the package in another folder, and records what it prints."""
    path = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *([path] if path else [])])}


def variables_of(stack: LocalStack) -> dict[str, str]:
    """The environment variables with which commands find a stack."""
    return {
        "PACIFICTOOL_URL": stack.platform.url,
        "PACIFICTOOL_MQTT": f"127.0.0.1:{stack.platform.mqtt_port}",
        "PACIFICTOOL_KAFKA": stack.broker.bootstrap,
    }
