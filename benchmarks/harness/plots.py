"""Pictures of the newest results, as SVG files for the documents."""

from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

GREY, BLUE, RED = "#9a9a9a", "#2f6db3", "#c0392b"

mpl.use("svg")
mpl.rcParams.update({
    "svg.fonttype": "none", "svg.hashsalt": "benchmarks", "font.family": "sans-serif",
    "axes.spines.top": False, "axes.spines.right": False, "figure.figsize": (7, 3),
})  # fmt: skip


def draw(results: list[dict[str, Any]], folder: Path) -> list[Path]:
    """Draw what there are results for into a folder; the files that were written."""
    by_case = {result["case"]: result["raw"] for result in results}
    pictures: dict[str, tuple[tuple[str, ...], Callable[[Axes, dict[str, Any]], None]]] = {
        "cpu-per-job": (("1-small", "2-large"), _cpu),
        "latency": (("3-latency",), _latency),
        "scale": (("4-engine",), _scale),
        "memory": (("5-idle",), _memory),
        "failover": (("6-failover",), _failover),
        "journal": (("7-journal",), _journal),
        "peers": (("10-peers",), _peers),
    }
    written = []
    folder.mkdir(parents=True, exist_ok=True)
    for name, (cases, paint) in pictures.items():
        if not all(case in by_case for case in cases):
            continue
        figure, axes = plt.subplots()
        paint(axes, by_case)
        figure.tight_layout()
        path = folder / f"{name}.svg"
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)
        written.append(path)
    return written


def _cpu(axes: Axes, raw: dict[str, Any]) -> None:
    labels, values, colours, whiskers = [], [], [], []
    for case, size in (("1-small", "200 B"), ("2-large", "100 kB")):
        for name, samples in raw[case]["contenders"].items():
            cpu = [sample["cpu_ms"] for sample in samples]
            labels.append(f"{size}: {name}")
            values.append(median(cpu))
            whiskers.append((median(cpu) - min(cpu), max(cpu) - median(cpu)))
            colours.append(GREY if "relay" in name else BLUE)
    places = range(len(labels))
    axes.barh(places, values, color=colours, xerr=list(zip(*whiskers, strict=True)), height=0.7)
    axes.set_yticks(places, labels)
    axes.invert_yaxis()
    axes.set_xlabel("CPU per job of the server process, ms (median, range of the rounds)")


def _latency(axes: Axes, raw: dict[str, Any]) -> None:
    found = raw["3-latency"]
    for name, curve in found["curves_ms"].items():
        colour = GREY if name == "relay" else BLUE
        axes.plot(curve, found["parts"], label=name, color=colour)
    axes.set_xscale("log")
    axes.set_xlabel(f"utterance to outcome, ms, at {found['rate']} jobs/s (20 ms of it work)")
    axes.set_ylabel("part of the jobs")
    axes.legend()


def _scale(axes: Axes, raw: dict[str, Any]) -> None:
    for (way, sizes), colour in zip(raw["4-engine"].items(), (BLUE, RED), strict=True):
        every = [cpu[1:] for cpu in sizes.values()]
        middle = [median(cpu) for cpu in every]
        spans = [
            [m - min(cpu) for m, cpu in zip(middle, every, strict=True)],
            [max(cpu) - m for m, cpu in zip(middle, every, strict=True)],
        ]
        axes.errorbar(list(sizes), middle, yerr=spans, label=way, color=colour, capsize=3)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("jobs waiting / nodes")
    axes.set_ylabel("engine, µs per job")
    axes.legend()


def _memory(axes: Axes, raw: dict[str, Any]) -> None:
    for name, colour in (("ours", BLUE), ("relay", GREY)):
        for number, found in enumerate(raw["5-idle"][name]):
            sessions, kib = zip(*found["steps"], strict=True)
            mib = [value / 1024 for value in kib]
            axes.plot(sessions, mib, color=colour, marker=".", label=None if number else name)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("idle sessions")
    axes.set_ylabel("private memory, MiB")
    axes.legend()


def _failover(axes: Axes, raw: dict[str, Any]) -> None:
    for (how, found), colour in zip(raw["6-failover"].items(), (BLUE, RED), strict=True):
        gaps = sorted(found["gap_ms"])
        axes.plot(gaps, [(i + 1) / len(gaps) for i in range(len(gaps))], label=how, color=colour)
    axes.set_xscale("log")
    axes.set_xlabel("reset of the node's socket to the next attempt at another node, ms")
    axes.set_ylabel("part of the trials")
    axes.legend()


def _journal(axes: Axes, raw: dict[str, Any]) -> None:
    names = [name for name in raw["7-journal"] if not name.startswith("memory")]
    for part, colour in (("commit_p50", BLUE), ("commit_p99", RED)):
        values = [median(found[part] for found in raw["7-journal"][name]) for name in names]
        axes.plot(names, values, marker="o", linestyle="", color=colour, label=part[-3:])
    axes.set_ylim(bottom=0)
    axes.set_ylabel("record to its commit, ms")
    axes.legend()


def _peers(axes: Axes, raw: dict[str, Any]) -> None:
    found = raw["10-peers"]["contenders"]
    cpu = {name: [sample["cpu_ms"] for sample in samples] for name, samples in found.items()}
    workers = {
        name: [sample["workers_ms"] for sample in samples] for name, samples in found.items()
    }
    middle = [median(values) for values in cpu.values()]
    spans = [
        [m - min(values) for m, values in zip(middle, cpu.values(), strict=True)],
        [max(values) - m for m, values in zip(middle, cpu.values(), strict=True)],
    ]
    places = range(len(cpu))
    colours = [BLUE if name == "ours" else GREY for name in cpu]
    axes.barh(places, middle, xerr=spans, color=colours, height=0.7, label="server and broker")
    behind = [median(values) for values in workers.values()]
    axes.barh(
        places, behind, left=middle, color="none", edgecolor=RED, height=0.7, hatch="//",
        label="workers of its own",
    )  # fmt: skip
    axes.set_yticks(places, list(cpu))
    axes.invert_yaxis()
    axes.set_xlabel(f"CPU per job, ms, at {raw['10-peers']['rate']} jobs/s (median, range)")
    axes.legend()
