"""Draw what `make bench` kept (docs/performance/measured.json) as docs/performance/*.svg: `make plots`.

One picture for light and dark: it is drawn in stand-in colours, which become variables of the picture's own style.
"""

from __future__ import annotations

import io
import json
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

HERE = Path(__file__).resolve().parent.parent / "docs" / "performance"
MEASURED = HERE / "measured.json"

# name: stand-in, light, dark
COLOURS = {
    "paper": ("#fefefe", "#ffffff", "#0d1117"),
    "ink": ("#010101", "#24292f", "#e6edf3"),
    "soft": ("#020202", "#57606a", "#8b949e"),
    "edge": ("#030303", "#d0d7de", "#30363d"),
    "first": ("#040404", "#0969da", "#58a6ff"),
    "second": ("#050505", "#bc4c00", "#f0883e"),
    "third": ("#060606", "#8250df", "#bc8cff"),
    "fourth": ("#070707", "#1a7f37", "#3fb950"),
}
PAPER, INK, SOFT, EDGE, *SERIES = (stand_in for stand_in, _, _ in COLOURS.values())
MARKERS = "osD^"
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "patrol",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": EDGE,
    "axes.facecolor": PAPER,
    "axes.labelcolor": SOFT,
    "axes.titlecolor": INK,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": PAPER,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "grid.color": EDGE,
    "legend.frameon": False,
}
Rows = list[dict[str, Any]]


def beside(rows: Rows) -> Figure:
    """One panel for each quantity, one bar for each program."""
    figure = Figure(figsize=(8.2, 2.1), layout="constrained")
    panels = (
        ("calls", "calls per PAT", "{:.1f}"),
        ("seconds", "seconds for 100 PATs", "{:.1f}"),
        ("processor", "processor per PAT, ms", "{:.0f}"),
        ("dead", "dead minutes", "{:.0f}"),
    )
    programs = [row["numbers"]["program"] for row in rows]
    axes = figure.subplots(1, len(panels), sharey=True)
    for panel, (quantity, title, form) in zip(axes, panels, strict=True):
        values = [row["numbers"][quantity] for row in rows]
        bars = panel.barh(programs, values, color=SERIES[: len(programs)], height=0.6)
        panel.bar_label(bars, labels=[form.format(value) for value in values], padding=3, color=INK)
        panel.set(title=title, xlim=(0, max(values) * 1.25 or 1), xticks=[])
        panel.spines["bottom"].set_visible(False)
        panel.tick_params(length=0)
    axes[0].invert_yaxis()
    return figure


def growth(rows: Rows) -> Figure:
    """Both scales logarithmic: what grows in line with the size is a slope of one."""
    figure = Figure(figsize=(8.2, 5.4), layout="constrained")
    panels = (("time", "seconds"), ("calls", "calls"), ("processor", "processor seconds"), ("memory", "memory, MB"))
    curves = [row for row in rows if row["numbers"]["curve"].endswith(" items")]
    for panel, (quantity, title) in zip(figure.subplots(2, 2).flat, panels, strict=True):
        chosen = [row["numbers"] for row in curves if row["numbers"]["quantity"] == quantity]
        for numbers, colour, marker in zip(chosen, SERIES, MARKERS, strict=True):
            points = {int(key): value for key, value in numbers.items() if key.isdigit()}
            name = numbers["curve"].partition(",")[0]
            panel.loglog(list(points), list(points.values()), color=colour, marker=marker, markersize=4, label=name)
        panel.set(title=title, xlabel="items")
        panel.grid(linewidth=0.5)
        panel.minorticks_off()
    figure.axes[0].legend()
    return figure


def instances(rows: Rows) -> Figure:
    figure = Figure(figsize=(4.6, 2.9), layout="constrained")
    points = {row["numbers"]["instances"]: row["numbers"]["faster"] for row in rows if "instances" in row["numbers"]}
    panel: Axes = figure.subplots()
    counts = list(points)
    panel.plot(counts, counts, color=SOFT, linestyle=":", label="in line")
    panel.plot(counts, list(points.values()), color=SERIES[0], marker="o", label="measured")
    panel.set(title="instances, times as fast as one", xlabel="instances", xticks=counts, yticks=counts)
    panel.grid(linewidth=0.5)
    panel.legend()
    return figure


PLOTS: dict[str, tuple[str, Callable[[Rows], Figure]]] = {
    "beside": ("beside", beside),
    "growth": ("growth", growth),
    "instances": ("queue", instances),
}


def stamp(rows: Rows) -> str:
    """What tells whether a picture was drawn of these rows."""
    return f"drawn of {zlib.crc32(json.dumps(rows, sort_keys=True).encode()):08x}"


def picture(name: str, rows: Rows, draw: Callable[[Rows], Figure]) -> str:
    with mpl.rc_context(STYLE):
        into = io.StringIO()
        draw(rows).savefig(into, format="svg", metadata={"Date": None, "Title": name, "Description": stamp(rows)})
    text = into.getvalue()
    for colour, (stand_in, _, _) in COLOURS.items():
        text = text.replace(stand_in, f"var(--{colour})")
    light, dark = ("".join(f"--{colour}:{values[theme]};" for colour, values in COLOURS.items()) for theme in (1, 2))
    themes = f"<style>svg{{{light}}}@media (prefers-color-scheme:dark){{svg{{{dark}}}}}</style>"
    head, sep, rest = text.partition("<defs>")
    return f"{head}{themes}{sep}{rest}"


def main() -> int:
    groups = json.loads(MEASURED.read_text(encoding="utf-8"))
    for name, (group, draw) in PLOTS.items():
        if group not in groups:
            print(f"docs/performance/{name}.svg was left alone: `make bench ARGS={group}` was not run.")
            continue
        rows = groups[group]["rows"]
        (HERE / f"{name}.svg").write_text(picture(name, rows, draw), encoding="utf-8")
        print(f"Wrote docs/performance/{name}.svg.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
