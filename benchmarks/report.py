"""The document as tables, as a plot, and as a part of docs/performance.md."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.rivals import COMMAND, LOOPS, OURS
from benchmarks.rounds import COLD, WARM
from benchmarks.targets import CPU, PEAK, RATE, TOTAL, measure_of, standing

BEGIN, END = "<!-- numbers: written by `make bench` -->", "<!-- end of numbers -->"
GROWING = ("records", "zones", "partitions", "devices")

MEASURES = (
    ("records per second, cold", OURS, COLD, RATE),
    ("records per second, warm", OURS, WARM, RATE),
    ("seconds from launch to last mean", COMMAND, COLD, TOTAL),
    ("processor seconds per million, warm", OURS, WARM, CPU),
    ("megabytes of memory", OURS, COLD, PEAK),
)
"""In words, by which engine of ours, in which pass, and the measure."""

Rows = Sequence[Sequence[str]]


def tables(document: Mapping[str, Any]) -> str:
    """Everything, as Markdown."""
    return "\n".join(_parts(document))


def write_page(document: Mapping[str, Any], page: Path) -> None:
    """Puts the numbers between the page's two marks; what people wrote around them stays."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise SystemExit(f"{page.name} lacks the marks between which the numbers go.")
    text = tables(document)
    if _growing(document["stages"]):
        text += f"\n![Rate against what grows]({page.stem}.svg)\n"
    page.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}", encoding="utf-8")


def plot(stages: Mapping[str, Any], path: Path) -> None:
    """Rate against records, zones, partitions and devices; PNG or SVG by the path's name."""
    import matplotlib as mpl

    mpl.use("agg")
    mpl.rcParams.update({"svg.hashsalt": "bench", "svg.fonttype": "none"})
    from matplotlib import pyplot as plt

    series = _growing(stages)
    if not series:
        return
    figure, axes = plt.subplots(1, len(series), figsize=(4 * len(series), 3.2), squeeze=False, layout="constrained")
    for axis, (name, points) in zip(axes[0], series.items(), strict=True):
        axis.plot([point[name] for point in points], [point["per_second"] / 1000 for point in points], marker="o")
        axis.set_xscale("log")
        axis.set_ylim(bottom=0)
        axis.set_xlabel(name)
        axis.set_ylabel("1,000 messages/s" if name == "devices" else "1,000 records/s")
        axis.grid(visible=True, alpha=0.3)
    figure.savefig(path, dpi=120, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)


def _parts(document: Mapping[str, Any]) -> Iterator[str]:
    machine, stages, settings = document["machine"], document["stages"], document["settings"]
    yield (
        f"Measured on {machine['processors']} processors ({machine['processor']}), {machine['memory_gb']} GB, "
        f"{machine['system']}; " + ", ".join(f"{name} {number}" for name, number in document["versions"].items()) + "."
    )
    loads = [f"{name} {stage['load_before']}" for name, stage in stages.items()]
    yield f"\nLoad average of the machine before each stage: {', '.join(loads)}.\n"
    for stage in ("peers", "groups", "functions"):
        for found in _comparisons(stages.get(stage, {})):
            share = f" (the Python loops: the first {found['slow_records']:,})" if _has_loops(found) else ""
            yield f"### {found['title']}: {found['records']:,} records{share}\n"
            yield _engine_table(found)
    if _ran(stages, "start"):
        yield "### Start\n"
        yield _start_table(stages)
    if _ran(stages, "simulation"):
        yield "### Simulation against Mosquitto\n"
        yield _simulation_tables(stages["simulation"])
    growing = _growing(stages)
    if growing:
        seconds = settings["window_ms"] // 1000
        yield f"### As work grows\n\nOurs, warm; windows of {seconds} s. Devices: `simulate`, QoS 1.\n"
        for name, points in growing.items():
            cpu = "CPU s per million" if "cpu_seconds_per_million" in points[0] else ""
            heads = (name.capitalize(), "messages/s" if name == "devices" else "records/s", *([cpu] if cpu else []))
            yield _table(
                heads,
                [
                    (
                        f"{point[name]:,}",
                        f"{point['per_second']:,.0f}",
                        *([f"{point['cpu_seconds_per_million']:.1f}"] if cpu else []),
                    )
                    for point in points
                ],
            )

    if _ran(stages, "delivery"):
        yield "### Delivery over REST to the sandbox\n"
        yield _delivery_table(stages["delivery"])
    for name, stage in stages.items():
        if not _ran(stages, name):
            yield f"**{name}** failed: {stage['failed']}\n"
    yield "### Targets\n"
    yield "Ratios are above 1 where pacifictool is ahead, whatever is measured.\n"
    yield _target_table(document["targets"])
    behind = list(where_behind(stages))
    if behind:
        yield "### Where pacifictool is behind\n"
        yield "\n".join(f"- {line}" for line in behind) + "\n"


def where_behind(stages: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each measure by which a peer is ahead of us, the worst first within each comparison."""
    for stage in ("peers", "groups", "functions"):
        for found in _comparisons(stages.get(stage, {})):
            lines = []
            for words, ours, phase, measure in MEASURES:
                with contextlib.suppress(KeyError):
                    place = standing(found, phase, measure, ours)
                    if place.to_best_peer is not None and place.to_best_peer < 1:
                        theirs = measure_of(found, place.best_peer, phase, measure)
                        line = f"{found['title']}: {place.best_peer} is ahead in {words}, {_figure(theirs)} against"
                        lines.append((place.to_best_peer, f"{line} {_figure(place.value)}."))
            yield from (line for _, line in sorted(lines))


def _ran(stages: Mapping[str, Any], name: str) -> bool:
    return name in stages and not isinstance(stages[name].get("failed"), str)


def _comparisons(stage: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for value in stage.values():
        if isinstance(value, Mapping) and "engines" in value:
            yield value


def _has_loops(found: Mapping[str, Any]) -> bool:
    return any(name in LOOPS for name in found["engines"])


def _growing(stages: Mapping[str, Any]) -> dict[str, list[dict[str, float]]]:
    found = {**stages.get("growth", {}), **stages.get("simulation", {})}
    return {name: found[name] for name in GROWING if name in found}


def _engine_table(found: Mapping[str, Any]) -> str:
    rows = [
        (
            name,
            _spread(phases[COLD]["per_second"], ",.0f"),
            _spread(phases[WARM]["per_second"], ",.0f") if WARM in phases else "",
            # Of a tenth of the stream this would say something else.
            "" if name in LOOPS else _spread(phases[COLD]["total_seconds"], ".1f"),
            "" if name in LOOPS else f"{phases[COLD]['total_cpu_seconds']['median']:.1f}",
            f"{(phases.get(WARM) or phases[COLD])['cpu_seconds_per_million']['median']:.2f}",
            f"{phases[COLD]['peak_mb']['median']:,.0f}",
            _ratios(found, name),
        )
        for name, phases in found["engines"].items()
    ]
    rows += [(name, f"failed: {reason}", *[""] * 6) for name, reason in found["failed"].items()]
    heads = ("Engine", "records/s, cold", "records/s, warm", "launch to last mean, s", "CPU s until then")
    return _table((*heads, "CPU s per million, warm", "peak MB", "pacifictool to it, cold / warm"), rows)


def _ratios(found: Mapping[str, Any], name: str) -> str:
    ratios = [found["ours_to"].get(phase, {}).get(name) for phase in (COLD, WARM)]
    return " / ".join(f"{ratio['median']:.2f}" for ratio in ratios if ratio)


def _target_table(rows: Sequence[Mapping[str, Any]]) -> str:
    return _table(
        ("Target", "Wanted", "Measured", "to best peer", "to the limit", "Result", "Reason"),
        [
            (
                f"{row['part']}: {row['name']}",
                f"{row['sense']} {row['bar']:,.6g}",
                "" if row["value"] is None else _figure(row["value"]),
                f"{row['to_best_peer']:.2f} ({row['best_peer']})" if row.get("to_best_peer") else "",
                f"{row['to_limit']:.2f}" if row.get("to_limit") else "",
                row["verdict"],
                row["reason"],
            )
            for row in rows
        ],
        texts=2,
    )


def _start_table(stages: Mapping[str, Any]) -> str:
    start = stages["start"]
    launches = start["launch_to_first_result_seconds"]
    rows = [(f"{engine}: launch to the means of 1,000 records", _spread(m, ".1f")) for engine, m in launches.items()]
    rows.append(("`aggregate`: command to first batch counted", _spread(start["first_batch_seconds"], ".1f")))
    rows.append(("a batch at the tutorial's load: trigger to done", _spread(start["batch_seconds"], ".2f")))
    if _ran(stages, "demo"):
        rows.append(("`demo`: command to first mean on screen", _spread(stages["demo"]["first_mean_seconds"], ".1f")))
    return _table(("", "seconds"), rows)


def _delivery_table(delivery: Mapping[str, Any]) -> str:
    return _table(
        (
            f"{delivery['means']:,} means",
            "means/s",
            "the server's ceiling",
            "to the ceiling",
            "first window after a start, means/s",
            "entities new, s",
        ),
        [
            (
                f"a {name} server",
                _spread(found["per_second"], ",.0f"),
                _spread(found["ceiling_per_second"], ",.0f"),
                _spread(found["to_ceiling"], ".2f"),
                _spread(found["after_start_per_second"], ",.0f"),
                f"{found['new_entities_seconds']:.1f}",
            )
            for name, found in delivery.items()
            if isinstance(found, Mapping)
        ],
    )


def _simulation_tables(simulation: Mapping[str, Any]) -> str:
    speeds = _table(
        ("Client, 10 connections", "messages/s", "messages/s of processor"),
        [
            (name, _spread(measures["per_second"], ",.0f"), _spread(measures["per_cpu_second"], ",.0f"))
            for name, measures in simulation["full_speed"].items()
        ],
    )
    steady = _table(
        ("Devices", "messages/s", "lag p50/p99 ms", "acknowledged p99 ms", "lost", "KB per device", "cores"),
        [
            (
                f"{run['devices']:,}",
                f"{run['per_second']:,.0f}",
                f"{run['lag_p50_ms']:.1f} / {run['lag_p99_ms']:.1f}",
                f"{run['acknowledged_p99_ms']:.1f}",
                f"{run['lost']}",
                f"{run['kb_per_device']:.1f}",
                f"{run['cpu_seconds_per_second']:.2f}",
            )
            for run in (*simulation["steady"], *filter(None, [simulation.get("crowd")]))
        ],
    )
    return f"{speeds}\n{steady}"


def _table(heads: Sequence[str], rows: Rows, *, texts: int = 0) -> str:
    """The first column and the last `texts` are texts, the others numbers."""
    numbers = len(heads) - 1 - texts
    lines = ["| " + " | ".join(heads) + " |", "| --- " + "| ---: " * numbers + "| --- " * texts + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _spread(measure: Mapping[str, float], form: str) -> str:
    return f"{measure['median']:{form}} ({measure['min']:{form}}–{measure['max']:{form}})"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
