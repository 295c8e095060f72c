"""`[[alarms]]`: when the results of an analytics raise an alarm, and how long the condition must hold."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, Self

from pydantic import AfterValidator, Field, model_validator

from pacifictool.functions import Severity
from pacifictool.scenario.names import Name, suggestion
from pacifictool.scenario.tables import Table, duplicated

if TYPE_CHECKING:
    from pacifictool.scenario.analytics import Analytics

VALUES: Final = "values"
"""All results by key, for keys that are not identifiers: `values["temp-celsius"] > 8`."""

_TOKEN: Final = re.compile(r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|\b(and|or|not)\b""")
_SIGNS: Final = {"and": "&&", "or": "||", "not": "!"}


def in_cel(expression: str) -> str:
    """The expression in CEL's own words: `and`, `or` and `not` are signs there."""
    return _TOKEN.sub(lambda token: token[1] or _SIGNS[token[2]], expression)


def compile_condition(expression: str) -> Any:
    """CEL's program. Raises ValueError with a sentence for the user."""
    import cel

    try:
        return cel.compile(in_cel(expression))
    except ValueError as error:
        raise ValueError(f"{expression!r} is not a condition: {str(error).splitlines()[0]}") from None


def is_met(program: Any, values: Mapping[str, float]) -> bool:
    """Whether the condition holds of these results; not when it needs a result that is missing.

    All values are floats: CEL compares them with whole numbers, but calculates only with `2.0`, not with `2`.
    """
    numbers = {key: float(value) for key, value in values.items()}
    if any(name != VALUES and name not in numbers for name in program.variables()):
        return False
    try:
        return program.execute({**numbers, VALUES: numbers}) is True
    except (TypeError, ValueError, RuntimeError, KeyError):
        return False


def _check_condition(expression: str) -> str:
    compile_condition(expression)
    return expression


class Holds(Table):
    """`holds`: of how many windows the condition must be true before the alarm is raised."""

    windows: Annotated[int, Field(ge=1, le=10_000)] = 1
    """The last windows that count, the newest among them. A window without records is one in which the condition is not
    true."""

    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Part of them in which the condition is true, at least: 0.8 are 10 of 12."""

    @property
    def needed(self) -> int:
        """How many of the windows that are."""
        return max(1, -(-round(self.share * self.windows * 1e9) // 10**9))


class AlarmSpec(Table):
    """`[[alarms]]`: raised on the entity of each group of an analytics; cleared when the condition has ended."""

    type: Name
    """Type of the alarm. Several with one type are one alarm of the entity, with the severity of the most urgent that
    holds, whichever analytics they are of."""

    analytics: str
    """Name of the analytics whose results are checked."""

    when: Annotated[str, AfterValidator(_check_condition)]
    """Condition on its results by key, in CEL: `"temperature > 8 and readings >= 10"`."""

    holds: Holds = Holds()
    """How long the condition must hold: `{ windows = 12, share = 0.8 }` is in at least 80 % of the last twelve windows.
    By default the newest window is enough."""

    severity: Severity = "MAJOR"
    """`"CRITICAL"`, `"MAJOR"`, `"MINOR"`, `"WARNING"` or `"INDETERMINATE"`."""

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.when.strip():
            raise ValueError("when must not be empty")
        return self


def check_alarms(alarms: Sequence[AlarmSpec], analytics: Sequence[Analytics]) -> None:
    """Every alarm is one of an analytics and of its results. Raises ValueError with a sentence for the user."""
    known = {each.name: each for each in analytics}
    if twice := duplicated(f"{each.type}: {each.analytics}, {each.severity}, {each.when}" for each in alarms):
        raise ValueError(f"alarms: {twice[0]!r} is there twice")
    for number, alarm in enumerate(alarms, start=1):
        place = f"alarms[{number}]"
        if alarm.analytics not in known:
            raise ValueError(f"{place}: there is no analytics {alarm.analytics!r}{suggestion(alarm.analytics, known)}")
        owner = known[alarm.analytics]
        program = compile_condition(alarm.when)
        names = set(program.variables()) - {VALUES}
        if owner.function is not None:
            continue  # Only its results tell which keys it gives.
        if unknown := sorted(names - owner.telemetry.keys()):
            raise ValueError(
                f"{place}.when: {unknown[0]!r} is not a result of {owner.name!r}"
                f"{suggestion(unknown[0], owner.telemetry)}"
            )
        try:
            found = program.execute({**dict.fromkeys(names, 1.0), VALUES: dict.fromkeys(owner.telemetry, 1.0)})
        except (TypeError, ValueError, RuntimeError, KeyError) as error:
            text = str(error).splitlines()[0]
            raise ValueError(f"{place}.when: {text} Numbers in calculations need a point: 2.0, not 2.") from None
        if not isinstance(found, bool):
            raise ValueError(f"{place}.when: {alarm.when!r} is {found!r} rather than true or false")  # noqa: TRY004
