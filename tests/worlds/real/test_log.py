"""The three formats of a log line, rotation, and lines that must not break out."""

import json
import os
import re

import pytest

from thesan.core.model.errors import ConfigError
from thesan.core.model.limits import LOG_LINE_BYTES_MAX
from thesan.worlds.real.log import Format, Level, RealLog


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "log"
    opened = []

    def start(form, level=Level.INFO):
        log = RealLog(str(path), form, level)
        opened.append(log)
        return log

    start.lines = lambda: path.read_text().splitlines()
    start.path = path
    yield start
    for log in opened:
        log.close()


def test_eos_line(written):
    written(Format.EOS).warning("disk is full", fsid=3, path="/a b")
    (line,) = written.lines()
    assert re.fullmatch(
        r"\d{6} \d\d:\d\d:\d\d t=\d+\.\d{6} f=test_eos_line l=WARN tid=\d+ "
        r's=test_log\.py:\d+ disk is full fsid=3 path="/a b"',
        line,
    )


def test_logfmt_line(written):
    written(Format.LOGFMT).info("client logged in", user="x=y", empty="")
    (line,) = written.lines()
    assert re.fullmatch(r'ts=\S+Z level=info event="client logged in" user="x=y" empty=""', line)


def test_json_line(written):
    written(Format.JSON).error("bad thing", code=5, kind=Level.INFO)
    record = json.loads(written.lines()[0])
    assert record.pop("ts").endswith("Z")
    assert record == {"level": "error", "event": "bad thing", "code": 5, "kind": 6}


@pytest.mark.parametrize("form", list(Format))
def test_a_name_can_not_make_a_second_line(written, form):
    written(form).info("a\nb", path="/x\n260101 00:00:00 l=ERROR forged\x1b[0m")
    (line,) = written.lines()
    assert "\x1b" not in line


@pytest.mark.parametrize("level", list(Level))
def test_only_what_is_bad_enough_is_written(written, level):
    log = written(Format.LOGFMT, level)
    for name in ("error", "warning", "info", "debug"):
        getattr(log, name)(name)
    wanted = [one.name.lower() for one in Level if one <= level]
    assert [line.rpartition("event=")[2] for line in written.lines()] == wanted


def test_a_line_is_bounded(written):
    written(Format.EOS).info("long", value="x" * (4 * LOG_LINE_BYTES_MAX))
    assert len(written.lines()[0]) == LOG_LINE_BYTES_MAX


def test_reopen_after_a_rotation(written):
    log = written(Format.LOGFMT)
    log.info("before")
    os.rename(written.path, f"{written.path}.1")
    log.info("between")
    log.reopen()
    log.info("after")
    assert [line.rpartition("=")[2] for line in written.lines()] == ["after"]


def test_a_log_that_can_not_be_written_stops_nobody(capfd):
    log = RealLog()
    log.info("to stderr")
    log.reopen()
    log.close()
    log.info("dropped")
    assert capfd.readouterr().err.count("\n") == 1


def test_a_log_file_that_can_not_be_opened(tmp_path):
    with pytest.raises(ConfigError, match="log file"):
        RealLog(str(tmp_path / "absent" / "log"))
