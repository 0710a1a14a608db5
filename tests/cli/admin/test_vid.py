"""`thesan vid`."""

import errno

import pytest

from thesan.cli.main import main


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("vid", ("ls", {})),
        (
            "vid set map -unix alice@h vuid:5 vgid:6",
            ("set", {"what": "map", "prot": "unix", "pattern": "alice@h", "uid": "5", "gid": "6"}),
        ),
        (
            "vid set membership 5 -uids 5,6 +sudo",
            ("set", {"what": "membership", "id": "5", "uids": "5,6", "sudo": True}),
        ),
        (
            "vid set membership 5 -gids 7 -sudo",
            ("set", {"what": "membership", "id": "5", "gids": "7", "sudo": False}),
        ),
        (
            "vid set geotag 10.1. site::room",
            ("set", {"what": "geotag", "prefix": "10.1.", "geotag": "site::room"}),
        ),
        ("vid set rule key value", ("set", {"what": "rule", "key": "key", "value": "value"})),
        ("vid rm key", ("rm", {"key": "key"})),
        ("vid enable unix", ("enable", {"prot": "unix"})),
        ("vid disable unix", ("disable", {"prot": "unix"})),
        ("vid add gateway h", ("add", {"host": "h"})),
        ("vid remove gateway h unix", ("remove", {"host": "h", "prot": "unix"})),
    ],
)
def test_what_is_asked(sent, line, wanted):
    assert sent(*line.split(" ")) == ("vid", *wanted)


def test_a_map_needs_vuid_or_vgid(recorder, capsys):
    assert main(["vid", "set", "map", "-unix", "a", "uid:5"]) == errno.EINVAL
    assert "not vuid:UID or vgid:GID" in capsys.readouterr().err
    assert not recorder.calls


@pytest.mark.system
@pytest.mark.xdist_group("cli")
def test_on_an_instance(thesan):
    thesan("vid", "set", "map", "-unix", "nemo@10.*", "vuid:4711", "vgid:4712")
    assert 'unix:"nemo@10.*":uid => 4711' in thesan("vid", "ls")
    assert 'key="unix:\\"nemo@10.*\\":gid" value=4712' in thesan("vid", "ls", "-m")
    thesan("vid", "rm", 'unix:"nemo@10.*"')
    assert "nemo" not in thesan("vid")
    thesan("vid", "rm", "nothing", status=errno.ENOENT)
    thesan("vid", "enable", "grpc", status=errno.EINVAL)
    assert "may be" in thesan.errors
