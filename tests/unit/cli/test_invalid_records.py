"""What the job could not use: invalid records, and windows for which a function gave nothing."""

from __future__ import annotations

import io
from pathlib import Path

from pacifictool.analytics.engine.records import RecordRules
from pacifictool.analytics.state.checkpoint import Checkpoint
from pacifictool.analytics.state.outcome_store import WindowOutcome
from pacifictool.analytics.state.outcomes import KeptOutcome
from pacifictool.cli.rejects import render_invalid_records
from pacifictool.cli.render import Output
from pacifictool.scenario import parse_scenario
from tests.support.command_line import CommandLine
from tests.support.job_folders import job_identity

SCENARIO = parse_scenario(
    """
[forwarding]
topic = "rooms"
attributes = ["site", "room"]
telemetry = ["temperature"]
[[analytics]]
name = "scores"
group_by = ["site", "room"]
window = "10s"
function = "scoring:score"
""",
    source="test",
)


def test_failures_of_functions_are_shown_with_the_newest_traceback(command_line: CommandLine, tmp_path: Path) -> None:
    folder = tmp_path / "job"
    with Checkpoint(folder, "rooms", RecordRules.of_scenario(SCENARIO)) as checkpoint:
        checkpoint.check_identity(job_identity(SCENARIO))
        failure = KeptOutcome(3, failure="scoring:score raised ValueError: no")
        checkpoint.store.keep_outcomes(
            [
                WindowOutcome("scores", "North\x1f[1]", 10_000, failure, "Traceback:\n  in score"),
                WindowOutcome("scores", "South\x1f2", 20_000, KeptOutcome(3, {"score": 1.0})),
            ]
        )
    outcome = command_line("rejects", "--checkpoint", str(folder), "-o", "json")
    document = outcome.document
    assert (document["total"], document["function_failures_total"]) == (0, 1)
    (shown,) = document["function_failures"]
    at = shown.pop("at")
    assert isinstance(at, int)
    assert shown == {
        "analytics": "scores",
        "group": ["North", "[1]"],
        "window_end": 10_000,
        "records": 3,
        "failure": "scoring:score raised ValueError: no",
        "traceback": "Traceback:\n  in score",
    }
    table = command_line("rejects", "--checkpoint", str(folder)).stdout
    for text in (
        "1 windows whose function failed",
        "North / [1]",
        "1970-01-01T00:00:10Z",
        "ValueError: no",
        "  in score",
    ):
        assert text in table


def test_a_cut_list_says_so() -> None:
    record = {"topic": "t", "partition": 0, "offset": 1, "reason": "empty", "value": "", "value_base64": None}
    document = {"total": 25, "reasons": {"empty": 25}, "dropped": 3, "rejects": [record] * 20}

    def drawn(**changes: object) -> str:
        stream = io.StringIO()
        Output(stream, as_json=False, colour=False).emit(
            {}, lambda console: render_invalid_records(console, {**document, **changes})
        )
        return stream.getvalue()

    assert "And 2 more, which --all shows." in drawn()
    assert "more, which --all" not in drawn(rejects=[record] * 22)
