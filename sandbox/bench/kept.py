"""What `make bench` measured last, in docs/performance/measured.json: group by group, each with its machine and day.

docs/performance.md has its table, `make plots` draws it. A group that is measured again replaces its rows alone.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from sandbox.bench.rows import Row
from sandbox.process.running import ROOT

MEASURED = ROOT / "docs" / "performance" / "measured.json"
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- measured: make bench -->", "<!-- /measured -->"


def machine() -> str:
    return f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}"


def read(path: Path = MEASURED) -> dict[str, Any]:
    """Every group by its name: `{machine, on, load, rows: [{what, measured, to_reach, holds, numbers}]}`."""
    if not path.exists():
        return {}
    groups: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return groups


def keep(
    group: str,
    rows: Iterable[Row],
    order: Iterable[str],
    path: Path = MEASURED,
    *,
    day: date | None = None,
    load: float | None = None,
) -> None:
    """Write the group into the file. `load`: how many programs of others wanted a core when it began."""
    on = (day or datetime.now(UTC).date()).isoformat()
    measured = {"machine": machine(), "on": on, "load": load, "rows": [asdict(row) for row in rows]}
    kept = {**read(path), group: measured}
    ordered = {name: kept[name] for name in order if name in kept}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def table(groups: Mapping[str, Any]) -> str:
    """The table of docs/performance.md."""
    lines = []
    for name, group in groups.items():
        lines += [
            "",
            f"**{name}**: {group['machine']}, {group['on']}{_besides(group['load'])}",
            "",
            "| | What | Measured | To reach |",
            "|---|---|---|---|",
        ]
        for row in group["rows"]:
            mark = "✓" if row["holds"] else "miss"
            lines.append(f"| {mark} | {row['what'].strip()} | {row['measured']} | {row['to_reach']} |")
    return "\n".join([*lines, ""])


def _besides(load: float | None) -> str:
    return "" if load is None else f", load {load:.1f} before it began"


def write_page(groups: Mapping[str, Any], page: Path = PAGE) -> None:
    """Put the table between the page's two marks."""
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{table(groups)}\n{END}{after}", encoding="utf-8")
