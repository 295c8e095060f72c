"""`doctor`: checks everything that a run needs, and says how to fix what is missing."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

import typer

from pacifictool.cli.framework import command_app, session_of
from pacifictool.cli.options import PluginOption, RuleChainOption, RuleOption
from pacifictool.errors import ChecksFailed, help_on

if TYPE_CHECKING:
    from pacifictool.doctor.report import DoctorReport
    from pacifictool.settings import Settings

app, command = command_app("pacifictool doctor", "pacifictool doctor --rule my_rule.json -o json")

_MARKS = {"ok": "✓", "warning": "!", "failed": "✗", "skipped": "–"}
_STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red", "skipped": "dim"}


@command
def doctor(
    ctx: typer.Context,
    plugin: PluginOption = None,
    rule: RuleOption = None,
    rule_chain: RuleChainOption = None,
) -> None:
    """Check everything that a run needs, and show how to fix what is missing; exit code 1 if a check failed.

    Checks this machine, the platform, Kafka, the forwarding, devices and assets at the same time. Changes nothing and
    takes at most ten seconds, even if nothing responds.
    """
    from pacifictool.doctor.checks import CheckContext
    from pacifictool.doctor.report import examine
    from pacifictool.provisioning.forwarding import forwarding_spec

    session = session_of(ctx)
    settings, scenario = session.settings, session.scenario
    context = CheckContext(
        settings=settings,
        scenario=scenario,
        spec=forwarding_spec(settings, scenario, plugin_file=plugin, rule_file=rule, rule_chain_file=rule_chain),
        environ=session.environment.environ,
        cache_dir=session.environment.cache_dir,
        state_dir=session.environment.state_dir,
        stop=session.stop,
    )
    report = examine(context, reporter=session.reporter)
    sources = [setting.as_document() for setting in settings.sources.values()]
    session.output.emit(
        report.as_document() | {"settings": sources}, lambda console: _render(console, report, settings)
    )
    if not report.ok:
        if session.output.as_json:
            raise typer.Exit(1)
        raise _failures(report)


def _failures(report: DoctorReport) -> ChecksFailed:
    """Repeats, below the table, what failed and what to do first."""
    failed = [result for result in report.results if result.status == "failed"]
    fixes = list(dict.fromkeys(str(result.fix) for result in failed))
    entries = ", ".join(dict.fromkeys(str(result.code) for result in failed[1:] if result.code != failed[0].code))
    failure = ChecksFailed(
        f"{len(failed)} of {len(report.results)} checks failed: {', '.join(result.title for result in failed)}.",
        hint=f"→ {fixes[0]}",
    )
    if len(fixes) > 1:
        failure.add_note(f"Then run doctor again: {len(fixes) - 1} more to fix.")
    failure.add_note(f"More: {help_on(str(failed[0].code))}{f', {entries}' if entries else ''}")
    return failure


def _render(console: Any, report: DoctorReport, settings: Settings) -> None:
    from rich import box
    from rich.table import Table

    from pacifictool.console import styled

    table = Table(box=box.SIMPLE_HEAD, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for group, results in groupby(report.results, key=lambda result: result.group):
        table.add_section()
        table.add_row("", styled((group, "bold")), "")
        for result in results:
            table.add_row(styled((_MARKS[result.status], _STYLES[result.status])), result.title, result.text)
            if result.fix is not None:
                table.add_row("", "", styled(("→", "bold"), f" {result.fix}"))
    table.add_section()
    table.add_row("", styled(("Settings", "bold")), "")
    for setting in settings.sources.values():
        value = "not shown" if setting.value is None else setting.value
        table.add_row("", setting.name, f"{value} (from {setting.origin})")
    console.print(table)
    counts = [f"{number} {status}" for status, number in report.as_document()["counts"].items() if number]
    console.print(f"{', '.join(counts)}, in {report.seconds:.1f} s")
