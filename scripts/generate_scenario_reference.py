"""Writes docs/scenario.md from the scenario's model (`make docs-reference`); --check only compares.

The text is that of the template next to this script. Keys, defaults and limits come from the fields, meanings from the
docstrings below them in the source.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any, get_args, get_origin

from generated_page import keep
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from pacifictool.models.config import MODELS
from pacifictool.scenario import Scenario
from pacifictool.tools.times import parse_duration

TEMPLATE = Path(__file__).with_name("scenario_reference.md")
INSERT = re.compile(r"<!-- insert (\w+) -->")
OF_THE_USER = {"words": ("labels", "units"), "named": ("models",)}
"""By part of the page: tables of a scenario whose keys are the user's."""


def render() -> str:
    """The whole page: the template with the tables of keys."""
    return INSERT.sub(lambda found: _part(found[1]), TEMPLATE.read_text(encoding="utf-8"))


def _part(name: str) -> str:
    if name == "tutorial":
        example = (resources.files("pacifictool") / "resources" / "tutorial.toml").read_text(encoding="utf-8")
        return f"```toml\n{example}```"
    if name == "models":
        models = "\n".join(_model(key, model) for key, model in MODELS.items())
        return f"| `model` | Keys | Values |\n| --- | --- | --- |\n{models}"
    keys = _keys(Scenario, "", OF_THE_USER[name]) if name in OF_THE_USER else _table(name)
    rows = "\n".join(f"| `{key}` | {default} | {meaning} |" for key, default, meaning in keys)
    return f"| Key | Default | Meaning |\n| --- | --- | --- |\n{rows}"


def _table(name: str) -> Iterator[tuple[str, str, str]]:
    """The keys of one table of the scenario."""
    kind: Any = Scenario.model_fields[name].annotation
    model = next(item for item in (kind, *get_args(kind)) if isinstance(item, type) and issubclass(item, BaseModel))
    return _keys(model, f"{name}[]." if get_origin(kind) is tuple else f"{name}.", model.model_fields)


def _keys(model: type[BaseModel], prefix: str, names: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Key, default and meaning of fields."""
    meanings = _texts_beneath(model)
    for name in names:
        limits = _limits(model.model_fields[name].metadata)
        yield prefix + name, _default(model, name), _cell(meanings[name] + limits)


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
    if field.default is None or field.default in ((), {}):
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
    is_time = any(getattr(each, "func", None) is parse_duration for each in metadata)
    parts = []
    for limit in metadata:
        for attribute, words in (("ge", "at least"), ("gt", "more than"), ("le", "at most")):
            bound = getattr(limit, attribute, None)
            if bound is not None and (bound or not is_time):
                parts.append(f"{words} {_time(bound) if is_time else f'{bound:,}'}")
    return f" ({', '.join(parts)})" if parts else ""


def _time(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:g} ms"
    days, rest = divmod(seconds, 86_400)
    return f"{seconds:g} s" if rest else "1 day" if days == 1 else f"{days:g} days"


def _model(name: str, model: type[BaseModel]) -> str:
    keys = ", ".join(f"`{key}`" for key in model.model_fields if key != "model")
    meaning = " ".join((model.__doc__ or "").split())
    return f'| `"{name}"` | {keys} | {_cell(meaning)} |'


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(keep("scenario.md", render(), sys.argv[1:]))
