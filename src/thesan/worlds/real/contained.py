"""A directory that nothing leads out of.

Every path is walked from the directory's own descriptor, one component at a time and without
following symbolic links, so that whatever somebody put below the directory, a path given by others
ends inside it or fails. All calls block and raise OSError: they are for worker threads.
"""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PASSAGE: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: a FIFO that somebody put there must not hang a worker; regular files ignore it.
_FILE: Final = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class ContainedDirectory:
    """The directory at `root`. Raises OSError when it is absent, no directory or not accessible."""

    def __init__(self, root: str) -> None:
        # The one path that may lead through links: it comes from the settings.
        self.fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def is_at(self, path: str) -> bool:
        """Whether `path` leads here; False when it leads elsewhere or nowhere."""
        try:
            return os.path.samestat(os.stat(path), os.fstat(self.fd))
        except OSError:
            return False

    def close(self) -> None:
        """Nothing may be called afterwards."""
        os.close(self.fd)

    def open_file(self, path: str, flags: int, *, create: bool = False) -> int:
        """Descriptor of a regular file; `create` makes it and its parent directories."""
        with self.parent(path, create=create) as (parent, name):
            how = _FILE | flags | (os.O_CREAT if create else 0)
            fd = os.open(name, how, 0o600, dir_fd=parent)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "not a regular file")
        return fd

    @contextmanager
    def opened(self, path: str, flags: int = os.O_RDONLY) -> Iterator[int]:
        """As `open_file`, closed at the end."""
        fd = self.open_file(path, flags)
        try:
            yield fd
        finally:
            os.close(fd)

    def replace(self, path: str, data: bytes, aside_number: int, *, durable: bool) -> None:
        """Write a file aside and rename it over `path`; makes the parent directories. Leaves
        nothing behind when it fails (a full disk takes the name, but not the bytes)."""
        with self.parent(path, create=True) as (parent, name):
            aside = f".{name}.{aside_number}.new"
            how = _FILE | os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            fd = os.open(aside, how, 0o600, dir_fd=parent)
            try:
                try:
                    rest = memoryview(data)
                    while rest:
                        rest = rest[os.write(fd, rest) :]
                    if durable:
                        os.fsync(fd)
                finally:
                    os.close(fd)
                os.rename(aside, name, src_dir_fd=parent, dst_dir_fd=parent)
            except BaseException:
                with suppress(OSError):  # The first error is the one to tell.
                    os.unlink(aside, dir_fd=parent)
                raise
            if durable:
                _sync_directory(parent)

    def rename(self, old: str, new: str) -> None:
        """Atomic and durable; makes the parent directories of `new`."""
        with (
            self.parent(old) as (old_parent, old_name),
            self.parent(new, create=True) as (new_parent, new_name),
        ):
            os.rename(old_name, new_name, src_dir_fd=old_parent, dst_dir_fd=new_parent)
            _sync_directory(new_parent)
            _sync_directory(old_parent)

    def remove(self, path: str) -> bool:
        """True when it was there."""
        try:
            with self.parent(path) as (parent, name):
                os.unlink(name, dir_fd=parent)
        except FileNotFoundError:
            return False
        return True

    def names(self, path: str) -> list[str]:
        """Sorted names in a directory (`""` is the root); empty when it is absent."""
        try:
            with self._directory(_components(path) if path else []) as fd:
                readable = os.open(".", _DIRECTORY, dir_fd=fd)
        except FileNotFoundError:
            return []
        try:
            return sorted(os.listdir(readable))
        finally:
            os.close(readable)

    @contextmanager
    def parent(self, path: str, *, create: bool = False) -> Iterator[tuple[int, str]]:
        """(descriptor of the directory that holds `path`, last component)."""
        *directories, name = _components(path)
        with self._directory(directories, create=create) as fd:
            yield fd, name

    @contextmanager
    def _directory(self, names: Sequence[str], *, create: bool = False) -> Iterator[int]:
        fd = os.dup(self.fd)
        try:
            for name in names:
                inner = _enter(fd, name, create=create)
                os.close(fd)
                fd = inner
            yield fd
        finally:
            os.close(fd)


def _components(path: str) -> list[str]:
    """Names of a relative path. Raises OSError EINVAL for one that could leave the root."""
    names = path.split("/")
    if any(name in ("", ".", "..") or "\0" in name for name in names):
        raise OSError(errno.EINVAL, "not a plain relative path")
    return names


def _enter(parent: int, name: str, *, create: bool) -> int:
    try:
        return os.open(name, _PASSAGE, dir_fd=parent)
    except FileNotFoundError:
        if not create:
            raise
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
    except FileExistsError:
        pass
    return os.open(name, _PASSAGE, dir_fd=parent)


def _sync_directory(fd: int) -> None:
    # An O_PATH descriptor can't be synced.
    readable = os.open(".", _DIRECTORY, dir_fd=fd)
    try:
        os.fsync(readable)
    finally:
        os.close(readable)
