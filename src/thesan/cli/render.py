"""Records to text: a table for people, key=value for exporters, JSON for programs.

The same record feeds all three, so none of them can tell another story. Tables use EOS' box
lines; `-m` quotes values with blanks, as EOS does.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from thesan.cli.context import Context, Output
from thesan.core.model.units import human_count

Record = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    title: str
    key: str
    """Key in the record."""
    kind: str = "text"
    """text, left (left-aligned text), bytes, count, percent or float."""


def show(context: Context, records: Sequence[Record], columns: Sequence[Column]) -> str:
    """Render records in the form that the caller asked for."""
    match context.output:
        case Output.JSON:
            return json.dumps({"result": list(records)}, default=str)
        case Output.MONITOR:
            return "\n".join(monitor_line(record) for record in records)
        case Output.TABLE:
            return table(records, columns, header=context.header)


def monitor_line(record: Record) -> str:
    """`key=value key="a value"`: one object a line, raw numbers, nested records flattened."""
    return " ".join(f"{key}={_monitor_value(value)}" for key, value in record.items())


def _monitor_value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        value = ",".join(str(item) for item in value)
    text = str(value)
    if not text or any(char in text for char in ' "\t\n'):
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    return text


def table(records: Sequence[Record], columns: Sequence[Column], *, header: bool = True) -> str:
    """EOS' box table."""
    rows = [
        [_cell(record.get(column.key, ""), column.kind) for column in columns] for record in records
    ]
    titles = [column.title for column in columns]
    widths = [
        max([len(title) if header else 0, *(len(row[index]) for row in rows)])
        for index, title in enumerate(titles)
    ]
    lines = []
    if header:
        lines.append("┌" + "┬".join("─" * width for width in widths) + "┐")
        lines.append(
            "│"
            + "│".join(title.rjust(width) for title, width in zip(titles, widths, strict=True))
            + "│"
        )
        lines.append("├" + "┼".join("─" * width for width in widths) + "┤")
    for row in rows:
        cells = [
            cell.ljust(width) if column.kind == "left" else cell.rjust(width)
            for cell, width, column in zip(row, widths, columns, strict=True)
        ]
        lines.append(
            ("│" if header else " ")
            + ("│" if header else " ").join(cells)
            + ("│" if header else "")
        )
    if header:
        lines.append("└" + "┴".join("─" * width for width in widths) + "┘")
    return "\n".join(lines)


def _cell(value: object, kind: str) -> str:
    if value is None:
        return ""
    if kind == "bytes" and isinstance(value, int | float):
        return human_count(int(value))
    if kind == "count" and isinstance(value, int | float):
        return human_count(int(value), "")
    if kind == "percent" and isinstance(value, int | float):
        return f"{value:.2f}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.2f}"
    if isinstance(value, list | tuple):
        return ",".join(str(item) for item in value)
    return str(value)
