"""`analytics`: write a function of one's own, and try it without any server."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pacifictool.cli.framework import group_app, session_of, subcommand
from pacifictool.cli.options import seconds_option
from pacifictool.errors import unknown_choice
from pacifictool.tools.times import duration_text, utc_text

if TYPE_CHECKING:
    from pacifictool.analytics.function_trial import TrialReport, TriedCall

_SHOWN_VALUES = 6

app = group_app("Write analytics of your own as Python functions, and try them without any server.")


@subcommand(app, "pacifictool analytics new anomaly", "pacifictool analytics new anomaly --folder analytics")
def new(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the Python file and of the analytics.")],
    folder: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the files, that of the scenario, say.")
    ] = Path(),
) -> None:
    """Write a function to start from (NAME.py) and its test (test_NAME.py), and print the lines for the scenario.

    docs/your-analytics.md goes on from there.
    """
    from pacifictool.analytics.function_template import create_function

    session = session_of(ctx)
    forwarding = None if session.settings.scenario_path is None else session.scenario.forwarding
    created = create_function(name, session.environment.folder / folder, forwarding)

    def render(console: Any) -> None:
        console.print(f"Written: {folder / created.module.name} and {folder / created.test.name}")
        console.print("Lines for the scenario, which must be in the same folder:")
        console.print("")
        for line in created.analytics.splitlines():
            console.print(line)

    session.output.emit({"ok": True, **created.as_document()}, render)


@subcommand(
    app,
    "pacifictool analytics test anomaly.py --csv readings.csv --window 10s --group-by site",
    "pacifictool analytics test examples/solar.py --csv readings.csv --scenario examples/solar.toml",
    name="test",
)
def try_on_readings(
    ctx: typer.Context,
    function: Annotated[
        str, typer.Argument(metavar="FILE[:FUNCTION]", help="Python file, and its function if it has several.")
    ],
    csv: Annotated[
        Path,
        typer.Option(metavar="FILE", help="Readings: of a data logger, or of `pacifictool simulate --csv`."),
    ],
    window: Annotated[
        str | None, typer.Option(metavar="TIME", help="Length of the windows. (default: the scenario's)")
    ] = None,
    slide: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="How far a window begins after the one before. (default: the scenario's)"),
    ] = None,
    group_by: Annotated[
        str | None,
        typer.Option(metavar="KEY,…", help="Columns to group by. (default: the scenario's, or deviceName)"),
    ] = None,
    history: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="How many earlier results it gets. (default: the scenario's)"),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The analytics of the scenario, if several call the function."),
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=0, help="Show at most N windows, the last ones.")] = 20,
    time_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Column of the times. (default: ts, time, timestamp, date)")
    ] = None,
    time_format: Annotated[
        str | None,
        typer.Option(metavar="FORM", help="iso, s, ms, or such as %d.%m.%Y %H:%M. (default: recognised)"),
    ] = None,
    decimal: Annotated[str, typer.Option(metavar=".|,", help="Decimal sign.")] = ".",
    separator: Annotated[
        str | None, typer.Option(metavar="SIGN", help="What is between cells. (default: recognised)")
    ] = None,
    missing: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="A cell that stands for no value; repeatable.")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(metavar="NAME", help="Encoding of the file. (default: recognised, or UTF-8)")
    ] = None,
) -> None:
    """Call a function window by window on the readings of a CSV file, in this process, without any server or Spark.

    With a scenario, the analytics that calls the function says window, groups, history and timeout. Exit code 1: a call
    failed.
    """
    from pacifictool.analytics.function_readings import read_csv, require_pandas
    from pacifictool.analytics.function_trial import choose_analytics, try_function
    from pacifictool.models.csv_file import CsvFormat

    session = session_of(ctx)
    require_pandas()
    if decimal not in (".", ","):
        raise unknown_choice("--decimal", decimal, (".", ","))
    text, _, name = function.partition(":")
    file = session.environment.folder / text
    scenario = None if session.settings.scenario_path is None else session.scenario
    if only is not None:
        scenario = session.scenario.only([only])
    analytics, forwarding = choose_analytics(
        file if file.suffix else file.with_suffix(".py"),
        name or None,
        scenario,
        window=None if window is None else seconds_option("--window", window),
        slide=None if slide is None else seconds_option("--slide", slide),
        group_by=None if group_by is None else [key.strip() for key in group_by.split(",") if key.strip()],
        history=history,
    )
    form = CsvFormat(
        separator=separator,
        decimal=decimal,
        encoding=encoding,
        missing=tuple(missing or ()),
        time_column=time_column,
        time_format=time_format,
    )
    readings = read_csv(session.environment.folder / csv, form, group_by=analytics.group_by, forwarding=forwarding)
    forwarded = () if forwarding is None else forwarding.telemetry
    report = try_function(analytics, readings, forwarded=forwarded, reporter=session.reporter)
    session.output.emit(
        {"ok": not report.failed, **report.as_document()}, lambda console: _render(console, report, limit)
    )
    if report.failed:
        raise typer.Exit(1)


def _render(console: Any, report: TrialReport, limit: int) -> None:
    from pacifictool.cli.render import table

    shown = report.calls[len(report.calls) - limit :] if limit < len(report.calls) else report.calls
    rows = [
        [utc_text(_ms(call.window.end)), " / ".join(call.window.group.values()) or "–", str(call.readings), each]
        for call in shown
        for each in _outcome(call)
    ]
    columns = {"Window until (UTC)": "left", "Group": "left", "Readings": "right", "Result": "left"}
    count = len(report.calls)
    console.print(table(f"{report.analytics.function}: {count} {'window' if count == 1 else 'windows'}", columns, rows))
    if len(shown) < len(report.calls):
        console.print(f"And {len(report.calls) - len(shown)} windows before, which --limit or -o json shows.")
    for call, alarm, is_raised in report.alarm_changes():
        what = f"raised ({alarm.severity})" if is_raised else "cleared"
        console.print(f"Alarm {what}: {alarm.type} on {alarm.entity}, window until {utc_text(_ms(call.window.end))}")
    for reason, count in report.readings.invalid.items():
        console.print(f"Invalid: {count} x {reason}")
    for failure, (call, count) in _failures(report).items():
        console.print(f"Failed: {count} x {failure}", style="bold red")
        for line in (call.traceback or "").splitlines():
            console.print(f"  {line}")
    console.print(_timing(report))


def _outcome(call: TriedCall) -> list[str]:
    """What became of a call, a line for each entity."""
    if call.failure is not None:
        return ["failed"]
    lines = []
    for result in call.results:
        values = [f"{key} {value:.6g}" for key, value in result.values.items()]
        more = f", {len(values) - _SHOWN_VALUES} more" if len(values) > _SHOWN_VALUES else ""
        name = "" if result.entity == call.window.entity else f"{result.entity}: "
        lines.append(name + ", ".join(values[:_SHOWN_VALUES]) + more)
    return lines or ["nothing"]


def _failures(report: TrialReport) -> dict[str, tuple[TriedCall, int]]:
    """By message: the first call that failed with it, and how many did."""
    found: dict[str, tuple[TriedCall, int]] = {}
    for call in report.failed:
        first, count = found.get(str(call.failure), (call, 0))
        found[str(call.failure)] = first, count + 1
    return found


def _timing(report: TrialReport) -> str:
    document = report.as_document()
    if document["median_ms"] is None:
        return "No window has readings."
    text = f"Time of a call: {document['median_ms']:.1f} ms (median), {document['max_ms']:.1f} ms (longest)"
    timeout = duration_text(report.analytics.timeout)
    return f"{text}; {len(report.slow)} took longer than the timeout of {timeout}" if report.slow else text


def _ms(time: datetime) -> int:
    return round(time.timestamp() * 1000)
