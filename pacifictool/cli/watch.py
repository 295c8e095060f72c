"""`watch`: results, devices and the data flow between them, live in the terminal or on a local page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from pacifictool.cli.framework import command_app, session_of
from pacifictool.cli.options import CheckpointOption, DurationOption, seconds_option
from pacifictool.errors import UsageError, unknown_choice
from pacifictool.watch.choice import EVERYTHING, SORTS, Choice

if TYPE_CHECKING:
    from pacifictool.cli.context import CliSession
    from pacifictool.watch.collector import Collector

app, command = command_app("pacifictool watch", "pacifictool watch --web", "pacifictool watch --once -o json")

_FIRST_VIEW_SECONDS = 2.0
"""How long the first view waits for slow responses."""
_LIMIT = 50
"""Groups of an analytics that a view for a person shows, at most."""
_ON_PAGE = "Choose on the page."


@command
def watch(
    ctx: typer.Context,
    web: Annotated[bool, typer.Option("--web", help="Show a local page instead of the terminal view.")] = False,
    once: Annotated[
        bool, typer.Option("--once", help="One snapshot; exit code 1 if the platform cannot be reached.")
    ] = (False),
    interval: Annotated[str, typer.Option(metavar="TIME", help="How often to refresh.")] = "1s",
    duration: DurationOption = None,
    analytics: Annotated[
        str | None, typer.Option("--analytics", metavar="NAME", help="Only the results of this analytics.")
    ] = None,
    entity: Annotated[
        list[str] | None,
        typer.Option("--entity", metavar="NAME", help="Only the group whose results this entity has; repeatable."),
    ] = None,
    search: Annotated[str, typer.Option("--search", metavar="TEXT", help="Only groups whose names contain this.")] = "",
    sort: Annotated[
        str,
        typer.Option(
            "--sort",
            metavar="|".join(SORTS),
            help="Order of the groups: value has the greatest first, age the oldest update.",
        ),
    ] = "scenario",
    key: Annotated[
        str | None,
        typer.Option("--key", metavar="KEY", help="With --sort value: the key of results. (default: the first)"),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", metavar="N", min=1, help="Groups to show, at most. (default: 50; all with -o json and --web)"
        ),
    ] = None,
    device: Annotated[
        list[str] | None, typer.Option("--device", "-d", metavar="NAME", help="Only this device; repeatable.")
    ] = None,
    checkpoint: CheckpointOption = None,
    port: Annotated[
        int, typer.Option(metavar="PORT", min=0, max=65535, help="With --web: port of the page; 0: any free port.")
    ] = 0,
    host: Annotated[
        str,
        typer.Option(
            metavar="HOST",
            help="With --web: address to listen on; others than 127.0.0.1 let other machines see the page.",
        ),
    ] = "127.0.0.1",
    no_open: Annotated[bool, typer.Option("--no-open", help="With --web: do not open a browser.")] = False,
) -> None:
    """Watch the data move from device to asset, live, and see where it stops; q or Ctrl-C ends it.

    Shows the groups of each analytics with their newest results, devices with their rates, the Kafka topic, and the job
    if it runs on this machine. What cannot be determined is shown as unknown, with the reason. Without a terminal,
    prints one line per interval; with -o json, one JSON document per line (--once: exactly one).
    """
    session = session_of(ctx)
    seconds = None if duration is None else seconds_option("--duration", duration)
    pause = seconds_option("--interval", interval)
    if pause < 0.1:
        raise UsageError("--interval must be at least 100ms.", hint="For example 1s.")
    if web and once:
        raise UsageError("--web and --once cannot be combined.", hint="Use one of them.")
    if not web and (port or no_open or host != "127.0.0.1"):
        raise UsageError("--port, --host and --no-open require --web.")
    choice = _choice(session, analytics, search, sort, key, limit)
    if web and choice != EVERYTHING:
        raise UsageError("--analytics, --search, --sort, --key and --limit do not go with --web.", hint=_ON_PAGE)
    with _collector(session, pause, entity or (), device or (), checkpoint) as collector:
        if once:
            _once(session, collector, choice)
            return
        with session.winding_down_on_interrupt():
            if web:
                _serve(session, collector, pause, seconds, host=host, port=port, opens=not no_open)
            else:
                _follow(session, collector, pause, seconds, choice)
    session.exit_if_interrupted()


@contextmanager
def _collector(
    session: CliSession,
    pause: float,
    entities: list[str] | tuple[()],
    devices: list[str] | tuple[()],
    checkpoint: Path | None,
) -> Iterator[Collector]:
    from pacifictool.rest import NO_RETRY
    from pacifictool.watch.collector import SESSION_TIMEOUTS, Collector, WatchTarget

    with session.connect(check=False, retry=NO_RETRY, timeout_seconds=SESSION_TIMEOUTS) as platform:
        target = WatchTarget(
            platform,
            session.settings.kafka,
            session.scenario,
            session.job_folders.of_topic if checkpoint is None else (lambda: [checkpoint.absolute()]),
            tuple(entities),
            tuple(devices),
            mqtt=session.settings.mqtt,
        )
        with Collector(target, interval_seconds=pause) as collector:
            yield collector


def _choice(
    session: CliSession, analytics: str | None, search: str, sort: str, key: str | None, limit: int | None
) -> Choice:
    if sort not in SORTS:
        raise unknown_choice("--sort", sort, SORTS)
    scenario = session.scenario
    if analytics is not None:
        scenario.find_analytics(analytics)
    shown = scenario.only([analytics]) if analytics is not None else scenario
    # Which keys a function returns is not known here.
    if key is not None and key not in shown.result_keys and not any(each.function for each in shown.analytics):
        raise unknown_choice("--key", key, shown.result_keys)
    return Choice(analytics, search, sort, key, limit)


def _once(session: CliSession, collector: Collector, choice: Choice) -> None:
    """One snapshot, after two polls: a rate needs two."""
    from pacifictool.watch.terminal import view

    with session.reporter.task("Collecting"):
        collector.wait_until_polled(session.stop, times=2)
    collector.raise_failure()
    snapshot = collector.snapshot()
    shown = _limited(choice)
    session.output.emit(
        snapshot.as_document(choice=choice),
        lambda console: console.print(view(snapshot, width=console.width, alarms=_LIMIT, choice=shown)),
    )
    if not snapshot.ok:
        raise typer.Exit(1)


def _limited(choice: Choice) -> Choice:
    return replace(choice, limit=_LIMIT) if choice.limit is None else choice


def _follow(session: CliSession, collector: Collector, pause: float, seconds: float | None, choice: Choice) -> None:
    """Until stopped: a live view, plain lines, or JSON documents, one per line."""
    from pacifictool.watch.screen import Screen
    from pacifictool.watch.terminal import line

    environment, output = session.environment, session.output
    deadline = None if seconds is None else monotonic() + seconds
    if not output.as_json and environment.stdout_is_terminal:
        screen = Screen(environment.stdout, environment.stdin, colour=output.colour, choice=_limited(choice))
        screen.run(collector, pause, session.stop, deadline)
        return
    collector.wait_until_polled(session.stop, seconds=_FIRST_VIEW_SECONDS)
    while True:
        collector.raise_failure()
        snapshot = collector.snapshot()
        if output.as_json:
            output.write_document(snapshot.as_document(history=1, choice=choice), indent=None)
        else:
            output.write_line(line(snapshot, choice))
        left = pause if deadline is None else min(pause, deadline - monotonic())
        if left <= 0 or session.stop.wait(left):
            return


def _serve(
    session: CliSession, collector: Collector, pause: float, seconds: float | None, *, host: str, port: int, opens: bool
) -> None:
    from pacifictool.settings import is_loopback
    from pacifictool.watch.web.app import page_application
    from pacifictool.watch.web.server import PageServer
    from pacifictool.watch.web.source import Running

    is_open = not is_loopback(host)
    application = page_application(Running(collector), interval_seconds=pause, any_host=is_open)
    with PageServer(application, host=host, port=port, warn=session.reporter.warning) as server:
        if is_open:
            session.reporter.warning(f"Everyone who can reach {host} can see the page; it has no password.")
        session.output.emit(
            {"ok": True, "url": server.url}, lambda console: console.print(f"Page: {server.url}", soft_wrap=True)
        )
        session.reporter.info("Press Ctrl-C to stop.")
        if opens and session.environment.has_browser:
            import webbrowser

            webbrowser.open(server.url)
        deadline = None if seconds is None else monotonic() + seconds
        while not session.stop.wait(0.2) and (deadline is None or monotonic() < deadline):
            collector.raise_failure()
            server.check()
