"""The three renderings of the same records."""

import json

from thesan.cli.context import Context, Output
from thesan.cli.render import Column, monitor_line, show, table

RECORDS = [
    {"id": 1, "path": "/data one", "stat.statfs.freebytes": 12_500_000_000, "load": 0.25},
    {"id": 12, "path": "/d2", "stat.statfs.freebytes": 5, "load": 0.0},
]
COLUMNS = [
    Column("id", "id"),
    Column("path", "path", "left"),
    Column("free", "stat.statfs.freebytes", "bytes"),
]


def test_table_aligns_and_humanises() -> None:
    assert table(RECORDS, COLUMNS).splitlines() == [
        "┌──┬─────────┬────────┐",
        "│id│     path│    free│",
        "├──┼─────────┼────────┤",
        "│ 1│/data one│12.50 GB│",
        "│12│/d2      │     5 B│",
        "└──┴─────────┴────────┘",
    ]


def test_table_without_header_has_no_lines_to_parse_around() -> None:
    assert table(RECORDS[1:], COLUMNS, header=False) == " 12 /d2 5 B"


def test_monitor_gives_raw_numbers_and_quotes_blanks() -> None:
    assert monitor_line(RECORDS[0]) == (
        'id=1 path="/data one" stat.statfs.freebytes=12500000000 load=0.25'
    )
    assert monitor_line({"a": "", "b": 'x"y z', "c": True, "d": [1, 2], "e": "l1\nl2"}) == (
        'a="" b="x\\"y z" c=true d=1,2 e="l1\\nl2"'
    )


def test_json_is_one_document_of_the_same_records() -> None:
    assert json.loads(show(Context(output=Output.JSON), RECORDS, COLUMNS)) == {"result": RECORDS}


def test_show_picks_by_context() -> None:
    assert show(Context(output=Output.MONITOR), RECORDS, COLUMNS).count("\n") == 1
    assert "free" in show(Context(), RECORDS, COLUMNS)


def test_missing_value_is_an_empty_cell() -> None:
    assert table([{"id": None}], COLUMNS[:2], header=False) == "  "
