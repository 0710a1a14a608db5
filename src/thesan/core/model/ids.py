"""Identifiers shared by every room. Never a bare int where one of these is meant."""

from typing import NewType

Fid = NewType("Fid", int)
"""File or directory id (inode number). 1 is the root; ids are never reused."""

Fsid = NewType("Fsid", int)
"""Filesystem id, 1..65534, given by the MGM when the filesystem is added."""

Epoch = NewType("Epoch", int)
"""Number of the current mastership; grows by one at each takeover. The fencing token."""

Seq = NewType("Seq", int)
"""Position of a batch in the journal, contiguous from 1."""

NodeId = NewType("NodeId", str)
"""`host:port` of a daemon's XRootD address; the name EOS calls hostport."""

ROOT_FID = Fid(1)
FSID_MIN = Fsid(1)
FSID_MAX = Fsid(65534)
