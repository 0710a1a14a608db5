"""The common part of admin commands."""

import errno
import json

import pytest

from thesan.cli.admin.answer import (
    ask,
    key_value,
    print_change,
    print_fields,
    print_records,
    with_default_verb,
)
from thesan.cli.context import Context, Output
from thesan.cli.render import Column
from thesan.core.control.messages import AdminReply
from thesan.core.model.errors import OperationError


def test_what_is_not_given_is_not_sent(recorder):
    ask(Context(), "fs", "ls", match=None, page=0)
    assert recorder.calls == [("fs", "ls", {"page": 0})]


@pytest.mark.parametrize(
    ("argv", "wanted"),
    [([], ["ls"]), (["-l"], ["ls", "-l"]), (["rm", "-l"], ["rm", "-l"]), (["-h"], ["-h"])],
)
def test_the_default_verb(argv, wanted):
    assert with_default_verb(argv, "ls") == wanted


def test_key_value():
    assert key_value("a=b=c") == ("a", "b=c")
    for wrong in ("a", "=b", ""):
        with pytest.raises(OperationError) as caught:
            key_value(wrong)
        assert caught.value.errno == errno.EINVAL


def test_a_change_is_a_sentence_for_people_and_records_for_programs(capsys):
    reply = AdminReply(records=[{"id": 3}], text="fs 3 added")
    for output, wanted in (
        (Output.TABLE, "fs 3 added\n"),
        (Output.MONITOR, "id=3\n"),
        (Output.JSON, '{"result": [{"id": 3}]}\n'),
    ):
        assert print_change(Context(output=output), reply) == 0
        assert capsys.readouterr().out == wanted


def test_nothing_is_no_empty_line(capsys):
    print_records(Context(output=Output.MONITOR), [], ())
    print_change(Context(), AdminReply(records=[]))
    assert capsys.readouterr().out == ""


def test_fields(capsys):
    record = {"id": 3, "longer": [1, 2], "none": ""}
    print_fields(Context(), record)
    assert capsys.readouterr().out == "id     := 3\nlonger := 1,2\nnone   :=\n"
    print_fields(Context(output=Output.JSON), record)
    assert json.loads(capsys.readouterr().out) == {"result": [record]}


def test_records_as_a_table(capsys):
    print_records(Context(header=False), [{"a": 1}], (Column("A", "a"),))
    assert capsys.readouterr().out.strip() == "1"
