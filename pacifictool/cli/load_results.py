"""How results of `simulate` look, and the commands that compare and join them."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pacifictool.cli.framework import session_of
from pacifictool.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pacifictool.scenario import Scenario
    from pacifictool.simulation.saved_summaries import Difference

_LISTED_INJECTIONS = 20
_PER_CENT = re.compile(r"(\d+(?:\.\d+)?)\s*%?")
_NAMES = {
    "achieved_rate": "Rate", "lost": "Readings lost", "missed": "Readings missed", "resent": "Readings resent",
}  # fmt: skip


def compare(
    ctx: typer.Context,
    first: Annotated[Path, typer.Argument(metavar="A", help="The summary to compare with.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="The summary that may be better or worse.")],
    fail_above: Annotated[
        str | None,
        typer.Option(metavar="PERCENT", help="Exit code 1 if a figure of B is worse by more, for example 10%."),
    ] = None,
) -> None:
    """Compare two summaries that `simulate -o json` printed: rate, readings lost, missed and resent, latencies.

    Readings are compared by their share of those that were due, so that the runs may differ in length.
    """
    from pacifictool.simulation.saved_summaries import compare as differences_of
    from pacifictool.simulation.saved_summaries import read_summary

    session = session_of(ctx)
    bound = None if fail_above is None else _share(fail_above)
    folder = session.environment.folder
    differences = differences_of(read_summary(folder / first), read_summary(folder / second))
    documents = [difference.as_document(bound) for difference in differences]
    failed = [document["name"] for document in documents if document["failed"]]
    document = {
        "ok": not failed,
        "first": str(first),
        "second": str(second),
        "fail_above": bound,
        "differences": documents,
        "failed": failed,
    }
    session.output.emit(document, lambda console: _render_comparison(console, document, differences))
    if failed:
        raise typer.Exit(1)


def join(
    ctx: typer.Context,
    summaries: Annotated[list[Path], typer.Argument(metavar="SUMMARY…", help="Files with summaries.")],
) -> None:
    """Join the summaries of fleets that ran at the same time, for example the parts of `simulate --shard`, to one.

    Counts and rates are added, latency histograms merged. Exit code 1 if a part is missing or was not complete.
    """
    from pacifictool.simulation.saved_summaries import join as joined_summary
    from pacifictool.simulation.saved_summaries import read_summary

    session = session_of(ctx)
    document = joined_summary([read_summary(session.environment.folder / file) for file in summaries])
    for shard in document["missing_shards"]:
        session.reporter.warning(f"The summary of part {shard} of the fleet is missing.")
    session.output.emit(document, lambda console: render_summary(console, document, session.scenario))
    if not document["ok"]:
        raise typer.Exit(1)


def render_summary(console: Any, document: Mapping[str, Any], scenario: Scenario) -> None:
    """The summary of a run, or of several, as a table."""
    from pacifictool.cli.render import table

    word = scenario.device_word()
    confirmed = document["qos"] != 0
    rows = [
        [scenario.device_word(2).capitalize(), f"{document['connected']} of {document['devices']} connected"],
        ["Readings generated", str(document["generated"])],
        [
            "Readings acknowledged" if confirmed else "Readings sent",
            str(document["acknowledged"] if confirmed else document["sent"]),
        ],
        ["Readings lost", str(document["lost"])],
    ]
    if document["missed"]:
        rows.append(["Readings missed", f"{document['missed']} were due while the {word} was offline or late"])
    if document["withheld"]:
        rows.append(["Readings withheld", f"{document['withheld']}: drop-outs, or missing values of a file"])
    rows += [
        ["Rate", f"{document['achieved_rate']:.1f} readings/s (target {document['target_rate']:.1f})"],
        ["Behind schedule", _quantiles(document["schedule_lag_ms"], "p50", "p99")],
    ]
    if confirmed:
        quantiles = _quantiles(document["acknowledgement_ms"], "p50", "p90", "p99", "p99_9", "max")
        rows.append(["Acknowledged after", quantiles])
    rows += [
        ["Resent, reconnects", f"{document['resent']}, {document['reconnects']}"],
        ["Time, seed", f"{document['seconds']:.1f} s, {'several' if document['seed'] is None else document['seed']}"],
    ]
    console.print(table("Simulation", {"What": "left", "": "left"}, rows))
    if document["limit"] is not None:
        console.print(document["limit"]["sentence"])
    render_injections(console, document["injections"], scenario)
    for refused in document["refused"]:
        console.print(f"Refused: {refused['device']}: {refused['reason']}")
    for interrupted in document["interrupted"]:
        console.print(f"Interrupted: {interrupted['reason']}")
    for reading in document["losses"]:
        console.print(f"Lost: {reading}")


def render_injections(console: Any, injections: Sequence[Mapping[str, Any]], scenario: Scenario) -> None:
    """Drop-outs and anomalies as a table; nothing without any."""
    from pacifictool.cli.render import table
    from pacifictool.tools.times import utc_clock

    rows = [
        [
            injection["device"],
            scenario.label(injection["key"]) if injection["key"] is not None else "all keys",
            injection["change"] or "nothing sent",
            utc_clock(injection["from_ts"]),
            utc_clock(injection["to_ts"]),
            str(injection["readings"]),
        ]
        for injection in injections[:_LISTED_INJECTIONS]
    ]
    if not rows:
        return
    columns = {scenario.device_word().capitalize(): "left", "Key": "left", "Change": "left"}
    columns |= {"First reading (UTC)": "left", "Last reading": "left", "Readings": "right"}
    console.print(table("Injected", columns, rows))
    if (unlisted := len(injections) - _LISTED_INJECTIONS) > 0:
        console.print(f"And {unlisted} more, which -o json lists.")


def render_limit(console: Any, document: Mapping[str, Any]) -> None:
    """The steps of `--find-limit` as a table, and the limit in a sentence."""
    from pacifictool.cli.render import table

    rows = [
        [
            f"{step['rate']:.0f}",
            f"{step['acknowledged_rate']:.0f}",
            *(_ms(step[key]) for key in ("p50_ms", "p99_ms", "max_ms")),
            str(step["resent"]),
            str(step["lost"]),
            f"{step['simulator_busy']:.0%}",
            step["reason"] or "held",
        ]
        for step in document["steps"]
    ]
    columns = dict.fromkeys(
        ("Readings/s", "Acknowledged/s", "p50", "p99", "Max", "Resent", "Lost", "Simulator busy"), "right"
    )
    console.print(table("Steps of load", {**columns, "Result": "left"}, rows))
    console.print(document["sentence"])


def limit_sentence(document: Mapping[str, Any]) -> str:
    """What `--find-limit` found, in one sentence."""
    limit, steps = document["limit"], document["steps"]
    unfinished = "" if document["complete"] else " The search was interrupted."
    if limit is None:
        if not steps:
            return f"No step of load was measured.{unfinished}"
        return f"No rate held, down to {steps[-1]['rate']:.0f} readings/s: {steps[-1]['reason']}.{unfinished}"
    found = f"Highest rate that held: {limit['rate']:.0f} readings/s ({limit['rate_per_device']:.3g} per device)"
    if limit["next_rate"] is None:
        return f"{found}; no step failed.{unfinished}"
    who = {"platform": "the platform", "machine": "this machine"}[limit["by"]]
    return f"{found}. At {limit['next_rate']:.0f}/s {who} was the limit: {limit['reason']}.{unfinished}"


def _render_comparison(console: Any, document: Mapping[str, Any], differences: Sequence[Difference]) -> None:
    from pacifictool.cli.render import table

    rows = [
        [
            _NAMES.get(each.name) or each.name.replace("acknowledgement_", "Acknowledged after, ").replace("_", "."),
            *("–" if value is None else f"{value:g} {each.unit}" for value in (each.first, each.second)),
            "–" if each.ratio is None else f"{each.ratio:.3g}",
            _worse(each.worse_by),
        ]
        for each in differences
    ]
    columns = {
        "": "left",
        document["first"]: "right",
        document["second"]: "right",
        "Ratio": "right",
        "Worse by": "right",
    }
    console.print(table("Comparison", columns, rows))
    if document["failed"]:
        count = len(document["failed"])
        figures = "1 figure is" if count == 1 else f"{count} figures are"
        console.print(f"{figures} worse by more than {document['fail_above'] * 100:g}%.")


def _worse(share: float) -> str:
    if math.isinf(share):
        return "from 0"
    return f"{share:.1%}" if share else ""


def _share(text: str) -> float:
    match = _PER_CENT.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"--fail-above: {text!r} is not a percentage.", hint="For example 10%.")
    return float(match[1]) / 100


def _quantiles(quantiles: Mapping[str, Any], *keys: str) -> str:
    return ", ".join(f"{key.replace('_', '.')} {_ms(quantiles[key])}" for key in keys)


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:g} ms"
