"""The compiled load generator (load.c), where there is a C compiler; else load.run_frames."""

import ctypes
import functools
import itertools
import shutil
import socket
import subprocess
import tempfile
from array import array
from collections.abc import Iterator
from pathlib import Path

from benchmarks import load

_KEPT_MAX = 1 << 20
"""Latencies kept; later ones only count."""


class _Load(ctypes.Structure):
    """`struct Load` of load.c."""

    _fields_ = [  # type: ignore[mutable-override]
        ("fds", ctypes.c_void_p),
        ("connections", ctypes.c_int32),
        ("depth", ctypes.c_int32),
        ("frames", ctypes.c_char_p),
        ("ends", ctypes.c_void_p),
        ("frame_count", ctypes.c_uint32),
        ("repeats", ctypes.c_int32),
        ("seconds", ctypes.c_double),
        ("latencies_us", ctypes.c_void_p),
        ("latency_count", ctypes.c_uint64),
        ("count", ctypes.c_uint64),
        ("took", ctypes.c_double),
        ("refusal", ctypes.c_uint8 * 256),
    ]


@functools.cache
def library() -> ctypes.CDLL | None:
    """load.c, compiled; None where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as directory:
        target = Path(directory, "load.so")
        source = Path(__file__).with_name("load.c")
        argv = [compiler, "-O2", "-Wall", "-shared", "-fPIC", "-o", str(target), str(source)]
        subprocess.run(argv, check=True)
        return ctypes.CDLL(str(target))


def run_frames(
    connections: list[socket.socket],
    frames: Iterator[bytes],
    frame_count: int,
    repeats: bool,
    depth: int,
    seconds: float,
) -> load.Figures:
    """As `load.run_frames`, with the first `frame_count` of `frames`, again and again if `repeats`.

    Without `repeats` it ends when there are no more.
    """
    compiled = library()
    if compiled is None:
        return load.run_frames(connections, frames, depth, seconds)
    pieces = list(itertools.islice(frames, frame_count))
    ends = array("I", itertools.accumulate(map(len, pieces)))
    latencies = array("f", bytes(4 * _KEPT_MAX))
    numbers = array("i", [connection.fileno() for connection in connections])
    for connection in connections:
        connection.setblocking(False)
    order = _Load(
        fds=numbers.buffer_info()[0],
        connections=len(connections),
        depth=depth,
        frames=b"".join(pieces),
        ends=ends.buffer_info()[0],
        frame_count=len(pieces),
        repeats=repeats,
        seconds=seconds,
        latencies_us=latencies.buffer_info()[0],
        latency_count=_KEPT_MAX,
    )
    if compiled.run_load(ctypes.byref(order)):
        raise ConnectionError(f"answer, or a silent connection: {bytes(order.refusal)!r}")
    return load.Figures(order.count, order.took, latencies[: min(order.count, _KEPT_MAX)].tolist())
