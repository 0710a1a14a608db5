"""Nothing that is put below the directory leads out of it."""

import contextlib
import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thesan.worlds.real import contained
from thesan.worlds.real.contained import ContainedDirectory


@pytest.fixture
def place(tmp_path):
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("secret")
    root = tmp_path / "root"
    (root / "inner").mkdir(parents=True)
    (root / "inner" / "file").write_text("mine")
    (root / "link").symlink_to(tmp_path / "outside")
    (root / "inner" / "link").symlink_to(tmp_path / "secret")
    tree = ContainedDirectory(str(root))
    yield tree
    tree.close()


BAD = ["", "/", "/etc/passwd", "..", "../secret", "inner/../../secret", "a//b", "./a", "a/.", "\0"]


@pytest.mark.parametrize("path", BAD)
def test_bad_paths(place, path):
    for call in (
        lambda: place.open_file(path, os.O_RDONLY),
        lambda: place.open_file(path, os.O_RDWR, create=True),
        lambda: place.replace(path, b"x", 1, durable=False),
        lambda: place.remove(path),
        lambda: place.rename("inner/file", path),
        lambda: place.rename(path, "x"),
    ):
        with pytest.raises(OSError) as caught:
            call()
        assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize("path", ["link/file", "inner/link", "link", "link/new"])
def test_links_are_not_followed(place, path):
    for create in (False, True):
        with pytest.raises(OSError) as caught:
            place.open_file(path, os.O_RDWR, create=create)
        assert caught.value.errno in (errno.ELOOP, errno.ENOTDIR)


@given(st.text("./a\0b", max_size=12))
def test_whatever_is_asked_stays_inside(tmp_path_factory, path):
    outside = tmp_path_factory.mktemp("outside")
    root = outside / "root"
    root.mkdir()
    tree = ContainedDirectory(str(root))
    with contextlib.suppress(OSError):
        os.close(tree.open_file(path, os.O_RDWR, create=True))
    tree.close()
    assert [entry.name for entry in outside.iterdir()] == ["root"]


def test_remove_and_replace_touch_the_link_not_its_target(place, tmp_path):
    place.replace("inner/link", b"new", 1, durable=True)
    assert (tmp_path / "secret").read_text() == "secret"
    assert (tmp_path / "root" / "inner" / "link").read_bytes() == b"new"
    with pytest.raises(OSError):
        place.replace("link/file", b"new", 2, durable=True)
    assert place.remove("link") is True
    assert (tmp_path / "outside" / "file").exists()


@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
def test_a_replace_that_fails_leaves_nothing_behind(place, tmp_path, monkeypatch, call):
    def full(*_arguments, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    before = (tmp_path / "root" / "inner" / "file").read_bytes()
    monkeypatch.setattr(contained.os, call, full)
    for path in ("inner/file", "inner/new"):
        with pytest.raises(OSError) as caught:
            place.replace(path, b"data", 1, durable=True)
        assert caught.value.errno == errno.ENOSPC
    assert place.names("inner") == ["file", "link"]
    assert (tmp_path / "root" / "inner" / "file").read_bytes() == before


def test_only_regular_files_are_opened(place, tmp_path):
    os.mkfifo(tmp_path / "root" / "pipe")
    for path in ("pipe", "inner"):
        with pytest.raises(OSError) as caught:
            place.open_file(path, os.O_RDONLY)
        assert caught.value.errno == errno.EINVAL


def test_names(place):
    assert place.names("") == ["inner", "link"]
    assert place.names("inner") == ["file", "link"]
    assert place.names("absent/below") == []
    with pytest.raises(OSError):
        place.names("link")


def test_no_descriptor_is_left(place):
    before = len(os.listdir("/proc/self/fd"))
    for path in (*BAD, "link/file", "inner/file", "absent/x"):
        try:
            os.close(place.open_file(path, os.O_RDONLY))
        except OSError:
            pass
        try:
            place.names(path)
        except OSError:
            pass
    assert len(os.listdir("/proc/self/fd")) == before
