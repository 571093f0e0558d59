"""From measurements of speed to the table and the plot of `docs/performance.md`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from benchmarks.speed_case import CASES  # noqa: E402

BEGIN = "<!-- begin: written by benchmarks/speed.py -->"
END = "<!-- end -->"
COLUMNS = (
    *("network, batch", "precision", "library", "runs", "ms a step", "smallest to largest"),
    *("member-steps a second", "× eager PyTorch", "evaluation, ms", "peak memory, MiB"),
)


def row_of(record: dict[str, Any]) -> list[str]:
    """Writes the cells of a measurement.

    Args:
        record: From `speed.compare`.

    Returns:
        One text for each of `COLUMNS`, and the share of the accelerator's peak, if it is known.
    """
    milliseconds = [1000 * value for value in (record["seconds"], *record["spread"])]
    share = record.get("share_of_peak")
    return [
        CASES[record["case"]].title,
        record["precision"],
        record["library"],
        str(record["members"]),
        f"{milliseconds[0]:.3g}",
        f"{milliseconds[1]:.3g} to {milliseconds[2]:.3g}",
        f"{record['members'] / record['seconds']:.4g}",
        f"{record['ratio']:.2f}" if "ratio" in record else "PyTorch not measured",
        f"{1000 * record['evaluation']:.3g}",
        f"{record['peak_memory'] / 2**20:.0f}",
        *([f"{share:.0%}"] if share else []),
    ]


def say(records: list[dict[str, Any]]) -> None:
    """Prints measurements as they come."""
    for record in records:
        print(" | ".join(row_of(record)), flush=True)


def section(measured: dict[str, Any]) -> list[str]:
    """Writes what one machine measured.

    Args:
        measured: What `speed.py` writes.

    Returns:
        Lines of Markdown.
    """
    machine, records = measured["machine"], measured["records"]
    title = machine["name"] or machine["accelerator"] or machine["processor"]
    libraries = sorted({record["version"] for record in records})
    rounds = max((record["rounds"] for record in records), default=0)
    lines = [
        f"### {title}",
        "",
        f"{machine['processor']}, {machine['cores']} cores"
        + (f", {machine['accelerator']}" if machine["accelerator"] else "")
        + f"; Python {machine['python']}, {', '.join(libraries)}; {rounds} rounds in turns; load "
        f"of the machine {machine['load_before']:.1f} before and {machine['load_after']:.1f} after "
        "(its own processes count).",
        "",
    ]
    has_share = any(record.get("share_of_peak") for record in records)
    columns = [*COLUMNS, *(["of the device's peak"] if has_share else [])]
    lines += [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    for record in records:
        cells = row_of(record)
        cells += [""] * (len(columns) - len(cells))
        lines.append(f"| {' | '.join(cells)} |")
    missing = [CASES[name].title for name in measured["not_measured"]]
    lines += ["", *(f"Not measured here: {name}." for name in missing)]
    if whole := measured["whole"]:
        lines += [
            "",
            f"Whole runs of the embedded benchmark's DANN row ({whole['steps']} steps with "
            "evaluation, each in a fresh process from its start to its end, everything compiled "
            f"anew): {whole['alone']:.1f} s alone, {whole['together']:.1f} s for a population of "
            f"{whole['members']}: {whole['times_faster']:.1f} times faster than "
            f"{whole['members']} runs one after the other (taken as {whole['members']} times the "
            "one, of which two were timed).",
        ]
    return [*lines, ""]


def draw(all_measured: list[dict[str, Any]], path: Path) -> bool:
    """Draws member-steps a second as multiples of eager PyTorch's.

    Args:
        all_measured: What `speed.py` wrote, a machine each.
        path: The picture.

    Returns:
        Whether there was something to draw, and Matplotlib.
    """
    bars = [
        (
            f"{record['library']} ×{record['members']}, {record['case']}, {record['precision']}, "
            + (own["machine"]["accelerator"] or f"{own['machine']['cores']} cores"),
            record["ratio"],
        )
        for own in all_measured
        for record in own["records"]
        if record["library"] != "torch eager" and "ratio" in record
    ]
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    if not bars:
        return False
    figure = Figure(figsize=(8, 0.8 + 0.35 * len(bars)), layout="constrained")
    axes = figure.subplots()
    labels, ratios = zip(*reversed(bars), strict=True)
    colors = ["#0072b2" if label.startswith("adaptax") else "#999999" for label in labels]
    axes.bar_label(axes.barh(labels, ratios, color=colors), fmt="%.2f", padding=3)
    axes.axvline(1.0, color="black", linewidth=1)
    axes.margins(x=0.15)
    axes.set_xlabel("member-steps a second; eager PyTorch on the same machine = 1")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    return True


def write(page: Path, folder: Path) -> None:
    """Writes the part of the page between the marks, and the plot.

    Args:
        page: The page.
        folder: Where the measurements are, a file for each machine.
    """
    measured = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    lines = [line for own in measured for line in section(own)]
    if not any(own["machine"]["accelerator"] for own in measured):
        lines += ["No accelerator was at hand: not measured.", ""]
    if draw(measured, folder / "speed.png"):
        lines += ["![speed as a multiple of eager PyTorch's](performance/speed.png)", ""]
    text = page.read_text() if page.exists() else f"# Performance\n\n{BEGIN}\n{END}\n"
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text("\n".join([before + BEGIN, "", *lines, END]) + after)
    print(f"written: {page}")
