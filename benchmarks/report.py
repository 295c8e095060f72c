"""The document as tables, as a plot, and as a part of docs/performance.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- numbers: written by `make bench` -->", "<!-- end of numbers -->"
GROWING = ("records", "zones", "partitions", "devices")

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
    if document["bars"]:
        yield _table(
            ("Bar", "Wanted", "Measured", ""),
            [
                (
                    bar["name"],
                    f"{bar['sense']} {bar['bar']:,.4g}",
                    _figure(bar["value"]),
                    "met" if bar["met"] else "missed",
                )
                for bar in document["bars"]
            ],
        )
    for stage in ("engines", "matrix"):
        for name, workload in _workloads(stages.get(stage, {})):
            share = workload.get("peer_records")
            peers = f" (peers: the first {share:,})" if share else ""
            yield f"### {name}: {workload['records']:,} records{peers}\n"
            yield _engine_table(workload["engines"])
    if "start" in stages:
        yield "### Start\n"
        yield _start_table(stages["start"])
    if "simulation" in stages:
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


def _workloads(stage: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, value in stage.items():
        if isinstance(value, Mapping):
            yield name, value


def _growing(stages: Mapping[str, Any]) -> dict[str, list[dict[str, float]]]:
    found = {**stages.get("growth", {}), **stages.get("simulation", {})}
    return {name: found[name] for name in GROWING if name in found}


def _engine_table(engines: Mapping[str, Any]) -> str:
    rows = [
        (
            name,
            _spread(measures["per_second"], ",.0f"),
            _spread(measures["cpu_seconds_per_million"], ".1f"),
            f"{measures['peak_mb']['median']:,.0f}",
            f"{measures['start_seconds']['median']:.1f}",
        )
        for name, measures in engines.items()
    ]
    return _table(("Engine", "records/s", "CPU s per million", "peak MB", "start s"), rows)


def _start_table(start: Mapping[str, Any]) -> str:
    launches = start["launch_to_first_result_seconds"]
    rows = [(f"{engine}: launch to the means of 1,000 records", _spread(m, ".1f")) for engine, m in launches.items()]
    rows.append(("`aggregate`: command to first batch counted", _spread(start["first_batch_seconds"], ".1f")))
    rows.append(("a batch at the tutorial's load: trigger to done", _spread(start["batch_seconds"], ".2f")))
    return _table(("", "seconds"), rows)


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
            for run in simulation["steady"]
        ],
    )
    return f"{speeds}\n{steady}"


def _table(heads: Sequence[str], rows: Rows) -> str:
    lines = ["| " + " | ".join(heads) + " |", "| --- " + "| ---: " * (len(heads) - 1) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _spread(measure: Mapping[str, float], form: str) -> str:
    return f"{measure['median']:{form}} ({measure['min']:{form}}–{measure['max']:{form}})"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
