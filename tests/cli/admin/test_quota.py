"""`thesan quota`."""

import errno

import pytest

from thesan.cli.main import main


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("quota", ("ls", {})),
        ("quota ls /d/", ("ls", {"path": "/d"})),
        ("quota -u 5 -p /d", ("ls", {"path": "/d", "uid": "5"})),
        (
            "quota set -u alice -v 10G -i 1M -p /d",
            ("set", {"path": "/d", "bytes": "10G", "files": "1M", "user": "alice"}),
        ),
        ("quota set --project -v 1 /d", ("set", {"path": "/d", "bytes": "1", "project": True})),
        ("quota rm -g 5 -v /d", ("rm", {"path": "/d", "bytes": True, "gid": "5"})),
        ("quota rmnode /d", ("rmnode", {"path": "/d"})),
    ],
)
def test_what_is_asked(sent, line, wanted):
    assert sent(*line.split(" ")) == ("quota", *wanted)


@pytest.mark.parametrize("line", ["quota set -u 1 -v 1", "quota set -v 1 /d", "quota rmnode"])
def test_wrong_usage(recorder, line):
    with pytest.raises(SystemExit) as caught:
        main(line.split())
    assert caught.value.code == 2


@pytest.mark.system
@pytest.mark.xdist_group("cli")
def test_on_an_instance(thesan, area):
    assert "not limited" in thesan("quota", "set", "-u", "4711", "-v", "10G", "-p", area)
    thesan("quota", "set", "--project", "-i", "1M", area)
    page = thesan("quota", "ls", area)
    assert page.startswith(f"==> quota node: {area}/\n")
    assert "10.00 GB" in page
    assert page.count("quota node:") == 2
    assert f"quota=node uid=4711 space={area}/ usedbytes=0" in thesan("quota", "ls", "-m", area)
    thesan("quota", "rm", "-u", "4711", area)
    thesan("quota", "rm", "-u", "4711", area, status=errno.ENOENT)
    thesan("quota", "rmnode", area)
    thesan("quota", "rmnode", area, status=errno.ENOENT)
