"""Writes docs/scenario.md from the scenario's model (`make docs-reference`); --check only compares.

Keys, defaults and limits come from the fields, meanings from the docstrings below them in the source.
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
import textwrap
from collections.abc import Iterator
from importlib import resources
from typing import Any, get_args, get_origin

from generated_page import keep
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from pacifictool.models.config import MODELS
from pacifictool.scenario import Scenario

HEAD = """\
# Scenario

<!-- Made by scripts/generate_scenario_reference.py from pacifictool/scenario/ and pacifictool/models/config.py;
     change them, or the script, and run `make docs-reference`. -->

A scenario describes what to create on the platform, what to simulate and what to aggregate. It is a TOML file, given
with `--scenario FILE` or `PACIFICTOOL_SCENARIO`; the default is the tutorial's:
"""

AFTER_EXAMPLE = """\
Unknown keys, two devices of the same name, `min` greater than `max` or a rate that is not positive are errors; the
message names the key. [Fleets](fleets.md) describes thousands of devices.
"""

MODEL = """\
## Models

A key of `telemetry` has a table whose `model` selects how values are computed; the default is `uniform`. Values depend
only on the seed, the names of device and key, and the number of the reading, so that a run with `--seed` can be
reproduced.
[models.md](models.md) shows each model with its keys and a picture.
"""


def render() -> str:
    """The whole page."""
    example = (resources.files("pacifictool") / "resources" / "tutorial.toml").read_text(encoding="utf-8")
    rows = "\n".join(f"| `{key}` | {default} | {meaning} |" for key, default, meaning in _keys(Scenario, ""))
    models = "\n".join(_model(name, model) for name, model in MODELS.items())
    return "\n".join(
        [
            HEAD,
            f"```toml\n{example}```\n",
            AFTER_EXAMPLE,
            f"| Key | Default | Meaning |\n| --- | --- | --- |\n{rows}\n",
            MODEL,
            f"| `model` | Keys | Values |\n| --- | --- | --- |\n{models}\n",
        ]
    )


def _keys(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, str]]:
    """Key, default and meaning of every field; nested tables are expanded one level deep."""
    meanings = _texts_beneath(model)
    for name, field in model.model_fields.items():
        kind: Any = field.annotation
        item = get_args(kind)[0] if get_args(kind) else kind
        if not prefix and isinstance(item, type) and issubclass(item, BaseModel):
            yield from _keys(item, f"{name}[]." if get_origin(kind) is tuple else f"{name}.")
        else:
            yield prefix + name, _default(model, name), _cell(meanings[name] + _limits(field.metadata))


def _texts_beneath(model: type[BaseModel]) -> dict[str, str]:
    """The docstring below each field in the source. `_keys` raises KeyError for a field without one."""
    found = {}
    source = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]
    assert isinstance(source, ast.ClassDef)
    for statement, beneath in zip(source.body, source.body[1:], strict=False):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            match beneath:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    found[statement.target.id] = " ".join(text.split())
    return found


def _default(model: type[BaseModel], name: str) -> str:
    """The default as it is written in the file."""
    field = model.model_fields[name]
    if field.default is PydanticUndefined:
        return "required"
    if not field.default:
        return "none"
    value = model.model_construct().model_dump(mode="json", include={name})[name]
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return f"`{_toml(value)}`"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        # Without a model, values are uniform.
        pairs = [f"{key} = {_toml(item)}" for key, item in value.items() if (key, item) != ("model", "uniform")]
        return f"{{ {', '.join(pairs)} }}"
    if isinstance(value, float):
        return f"{value:g}".replace("e+0", "e")
    return json.dumps(value, ensure_ascii=False)


def _limits(metadata: list[Any]) -> str:
    parts = []
    for limit in metadata:
        for attribute, words in (("ge", "at least"), ("gt", "more than"), ("le", "at most")):
            bound = getattr(limit, attribute, None)
            if bound is not None:
                parts.append(f"{words} {bound:,}")
    return f" ({', '.join(parts)})" if parts else ""


def _model(name: str, model: type[BaseModel]) -> str:
    keys = ", ".join(f"`{key}`" for key in model.model_fields if key != "model")
    meaning = " ".join((model.__doc__ or "").split())
    return f'| `"{name}"` | {keys} | {_cell(meaning)} |'


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(keep("scenario.md", render(), sys.argv[1:]))
