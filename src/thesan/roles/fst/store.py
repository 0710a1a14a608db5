"""One filesystem of this FST: its files, label, markers, state and figures.

The store knows where things are on its disk and what the disk said of itself. It does not know
clients, MGMs or other replicas.
"""

import asyncio
import errno
from collections.abc import Callable, Collection
from enum import Enum
from typing import Final, Protocol

import msgspec

from thesan.core.control.messages import FsConfig, FsReport
from thesan.core.model.errors import OperationError, StoreError
from thesan.core.model.limits import FMD_BYTES_MAX, LABEL_BYTES_MAX, MARKER_BYTES_MAX
from thesan.ports.disk import Disk, DiskUsage, Handle
from thesan.roles.fst import records
from thesan.roles.fst.records import Fmd, Marker, MarkerState


class BootState(Enum):
    """EOS' words, as `fs ls` shows them."""

    DOWN = "down"
    BOOTING = "booting"
    BOOTED = "booted"
    BOOTFAILURE = "bootfailure"
    OPSERROR = "opserror"
    """The disk gave an I/O error while it served: no new opens until it is booted again."""


class Sized(Protocol):
    """An open reader; its `size` is kept up to date while somebody writes the file."""

    size: int


_GOING_BACK_HELPS: Final = errno.ENODEV
"""kXR_FSError: a client that came by a redirect asks its MGM for another replica."""
_NO_USAGE: Final = DiskUsage(capacity_bytes=0, free_bytes=0, files=0, free_files=0)


class FsStore:
    """Made with the path alone; fsid and uuid come from the label or from the MGM at boot."""

    def __init__(
        self,
        path: str,
        make_disk: Callable[[str], Disk],
        headroom_bytes: int,
        machine_boot_id: str = "",
    ) -> None:
        self.path = path
        self.space = ""
        """Space to register in; empty when the filesystem was added at the MGM."""
        self.fsid = 0
        """0 until the label or the MGM gave it a number."""
        self.uuid = ""
        self.config: FsConfig | None = None
        """As the MGM has it; None until it said."""
        self.state = BootState.DOWN
        self.errc = 0
        self.errmsg = ""
        self.usage: DiskUsage = _NO_USAGE
        self.used_files = 0
        self.stored_meanwhile: set[int] | None = None
        """New fids since a count of the files began; None when it has ended."""
        self.open_read = 0
        self.open_write = 0
        self.booked_bytes = 0
        """Announced by open uploads and not yet written."""
        self.readers: dict[int, list[Sized]] = {}
        """Open readers by fid."""
        self.boot_lock = asyncio.Lock()
        """Held while the filesystem is booted."""
        self._make_disk = make_disk
        self._headroom_bytes = headroom_bytes
        self._machine_boot_id = machine_boot_id
        self._disk: Disk | None = None

    @property
    def disk(self) -> Disk:
        """Raises OperationError ENODEV before the first boot."""
        if self._disk is None:
            raise OperationError(_GOING_BACK_HELPS, f"{self.path} is not booted")
        return self._disk

    # -- state -------------------------------------------------------------------------------
    def begin_boot(self) -> None:
        """Open the disk. Raises OperationError when the directory can't be used."""
        self.state = BootState.BOOTING
        self.errc, self.errmsg = 0, ""
        if self._disk is None:
            self._disk = self._make_disk(self.path)

    def end_boot(self) -> None:
        """Ready to serve."""
        self.state = BootState.BOOTED

    def fail_boot(self, error: OperationError | StoreError) -> None:
        """Not ready; the text is shown by `fs ls`."""
        self.state = BootState.BOOTFAILURE
        self.errc, self.errmsg = error.errno, str(error)
        if not self.open_read and not self.open_write:
            # The next boot looks at the directory anew: another disk may be mounted there then.
            self._disk = None

    def note_error(self, error: OperationError) -> None:
        """A disk call failed while serving. An I/O error takes the filesystem out of service."""
        if error.errno == errno.EIO and self.state is BootState.BOOTED:
            self.state = BootState.OPSERROR
            self.errc, self.errmsg = error.errno, error.text

    def check_readable(self) -> None:
        """Raises OperationError: ENODEV (not booted), EIO (it gave an I/O error before)."""
        if self.state is BootState.BOOTED:
            return
        if self.state is BootState.OPSERROR:
            raise OperationError(errno.EIO, f"fs {self.fsid} is out of service: {self.errmsg}")
        raise OperationError(_GOING_BACK_HELPS, f"fs {self.fsid} is {self.state.value}")

    def check_writable(self, booking_bytes: int | None) -> None:
        """As `check_readable`, and EROFS (read-only disk), ENOSPC (less than the headroom left).

        `booking_bytes` of a new file; None for one that is there and may use up the headroom.
        """
        self.check_readable()
        if self.usage.read_only:
            raise OperationError(errno.EROFS, f"fs {self.fsid} is read-only")
        if booking_bytes is None:
            return
        free = self.usage.free_bytes - self.booked_bytes - booking_bytes
        if free < self.headroom_bytes:
            text = f"fs {self.fsid} has {self.usage.free_bytes} bytes free, too few for this file"
            raise OperationError(errno.ENOSPC, text)
        if self.usage.files and not self.usage.free_files:
            raise OperationError(errno.ENOSPC, f"fs {self.fsid} has no free inodes")

    @property
    def headroom_bytes(self) -> int:
        """Free bytes below which no new replica is taken."""
        configured = self.config.headroom_bytes if self.config is not None else 0
        return max(configured, self._headroom_bytes)

    async def refresh_usage(self) -> None:
        """Ask the disk how full it is. An error is noted, the old figures stay."""
        try:
            self.usage = await self.disk.usage()
        except OperationError as error:
            self.note_error(error)

    def count_new(self, fid: int) -> None:
        """A new file was stored."""
        self.used_files += 1
        if self.stored_meanwhile is not None:
            self.stored_meanwhile.add(fid)

    async def count_files(self, active: Callable[[], Collection[int]]) -> None:
        """How many replicas are there: one directory at a time, while files come. `active()`: fids
        that will be counted when they are stored. Raises OperationError."""
        meanwhile: set[int] = set()
        self.stored_meanwhile, self.used_files = meanwhile, 0
        try:
            for directory in await self.directories():
                found = await self.fids(directory)
                if self.stored_meanwhile is not meanwhile:
                    return  # Booted again: it is counted anew.
                apart = meanwhile.union(active())
                self.used_files += sum(fid not in apart for fid in found)
        finally:
            if self.stored_meanwhile is meanwhile:
                self.stored_meanwhile = None

    def report(self, disk_load: tuple[float, float, float]) -> FsReport:
        """For the next beat. `disk_load`: busy share, MB/s read, MB/s written."""
        fsid, uuid = self.fsid, self.uuid
        if not fsid and self.config is not None:
            # Its label can't be read: the reason must still arrive under the name it is known by.
            fsid, uuid = self.config.fsid, self.config.uuid
        return FsReport(
            fsid=fsid,
            uuid=uuid,
            path=self.path,
            boot=self.state.value,
            errc=self.errc,
            errmsg=self.errmsg,
            capacity_bytes=self.usage.capacity_bytes,
            free_bytes=self.usage.free_bytes,
            files=self.usage.files,
            free_files=self.usage.free_files,
            used_files=self.used_files,
            disk_load=disk_load[0],
            read_mb_per_s=disk_load[1],
            write_mb_per_s=disk_load[2],
            open_read=self.open_read,
            open_write=self.open_write,
            read_only=self.usage.read_only,
        )

    # -- label -------------------------------------------------------------------------------
    async def read_label(self) -> tuple[int, str] | None:
        """(fsid, uuid) written on the disk, None when there is no label.

        Raises OperationError; StoreError when only a half of it is there or it can't be read.
        """
        fsid = await self.disk.read_file(records.LABEL_FSID, LABEL_BYTES_MAX)
        uuid = await self.disk.read_file(records.LABEL_UUID, LABEL_BYTES_MAX)
        if fsid is None and uuid is None:
            return None
        try:
            number = int((fsid or b"").decode())
            text = (uuid or b"").decode().strip()
        except ValueError as error:
            raise StoreError(f"the label in {self.path}/.thesan is damaged") from error
        if number <= 0 or not text:
            raise StoreError(f"the label in {self.path}/.thesan is damaged")
        return number, text

    async def write_label(self, fsid: int, uuid: str) -> None:
        """Durably; the uuid first, since a label without fsid is seen to be incomplete."""
        await self.disk.write_file(records.LABEL_UUID, f"{uuid}\n".encode())
        await self.disk.write_file(records.LABEL_FSID, f"{fsid}\n".encode())

    # -- files -------------------------------------------------------------------------------
    async def open_data(self, fid: int, *, write: bool = False) -> Handle:
        """Open the replica of `fid`. Raises OperationError, ENOENT when there is none."""
        return await self.disk.open(records.data_path(fid), write=write)

    async def create_data(self, fid: int) -> Handle:
        """Make the replica of `fid`, or open what is there."""
        return await self.disk.open(records.data_path(fid), create=True, write=True)

    async def create_marked(self, marker: Marker) -> Handle:
        """Write the marker of a new file, then make the file.

        Raises OperationError; EEXIST when there is a replica, then without a trace. The marker
        need not be durable: journaling filesystems keep the order of names, so its name is there
        if the data file's is, and the name is all that a clean-up needs.
        """
        return await self.disk.create_marked(
            records.data_path(marker.fid),
            records.marker_path(marker.fid),
            self._encoded(marker),
        )

    async def remove_data(self, fid: int) -> bool:
        """Remove the replica of `fid`; True when it was there."""
        return await self.disk.remove(records.data_path(fid))

    async def make_removals_durable(self) -> None:
        """Return when everything removed before stays removed, also after a power cut.

        One fsync for many removals: journaling filesystems keep the order of changes to names.
        """
        await self.disk.write_file(records.BARRIER, b"")

    async def remove_orphan(self, fid: int) -> bool:
        """Remove data that were put aside; True when they were there."""
        return await self.disk.remove(records.orphan_path(fid))

    async def move_to_orphans(self, fid: int) -> None:
        """Put data that no MGM knows aside. Raises OperationError ENOENT when there are none."""
        await self.disk.rename(records.data_path(fid), records.orphan_path(fid))

    async def fmd(self, fid: int) -> Fmd | None:
        """The file's own record; None when it has none or it can't be read."""
        value = await self.disk.get_xattr(records.data_path(fid), records.FMD_ATTRIBUTE)
        if value is None or len(value) > FMD_BYTES_MAX:
            return None
        try:
            return records.decode_fmd(value)
        except StoreError:
            return None

    async def set_fmd(self, fmd: Fmd) -> None:
        """Durable with the next sync of the file."""
        await self.disk.set_xattr(
            records.data_path(fmd.fid), records.FMD_ATTRIBUTE, records.encode_fmd(fmd)
        )

    async def seal(self, handle: Handle, fmd: Fmd) -> None:
        """Give the open file its record and make both durable."""
        await self.disk.seal(handle, records.FMD_ATTRIBUTE, records.encode_fmd(fmd))

    # -- markers -----------------------------------------------------------------------------
    async def mark(self, marker: Marker) -> None:
        """Write the marker of an upload durably."""
        await self.disk.write_file(records.marker_path(marker.fid), self._encoded(marker))

    def _encoded(self, marker: Marker) -> bytes:
        marker = msgspec.structs.replace(marker, machine_boot_id=self._machine_boot_id)
        return records.encode_marker(marker)

    def can_go_on(self, marker: Marker) -> bool:
        """Whether everything that was written under this marker is still there."""
        return (
            marker.state == MarkerState.OPEN
            and marker.machine_boot_id != ""
            and marker.machine_boot_id == self._machine_boot_id
        )

    async def unmark(self, fid: int) -> None:
        """The upload is over. Not durable: a marker that comes back is resolved at boot."""
        await self.disk.remove(records.marker_path(fid))

    async def markers(self) -> list[tuple[int, Marker | None]]:
        """(fid, marker) of all unfinished uploads; None for a marker that can't be read.

        Half-written files that a crash left among them are removed.
        """
        found: list[tuple[int, Marker | None]] = []
        for name in await self.disk.list(records.PENDING):
            path = f"{records.PENDING}/{name}"
            fid = records.fid_of_name(name)
            if fid is None:
                if not self.usage.read_only:
                    await self.disk.remove(path)
                continue
            found.append((fid, await self.read_marker(fid)))
        return found

    async def read_marker(self, fid: int) -> Marker | None:
        """The marker of `fid`; None when there is none or it can't be read."""
        try:
            data = await self.disk.read_file(records.marker_path(fid), MARKER_BYTES_MAX)
            marker = records.decode_marker(data or b"")
        except StoreError:
            return None
        except OperationError as error:
            if error.errno == errno.EFBIG:
                return None
            raise
        return marker if marker.fid == fid else None

    async def directories(self) -> list[str]:
        """Directories that may hold data files."""
        return [name for name in await self.disk.list("") if records.fid_of_name(name) is not None]

    async def fids(self, directory: str) -> list[int]:
        """fids of the data files in one of `directories`, sorted."""
        names = await self.disk.list(directory)
        return sorted(fid for fid in map(records.fid_of_name, names) if fid is not None)

    # -- readers -----------------------------------------------------------------------------
    def add_reader(self, fid: int, reader: Sized) -> None:
        """Count a reader."""
        self.open_read += 1
        self.readers.setdefault(fid, []).append(reader)

    def drop_reader(self, fid: int, reader: Sized) -> None:
        """It was closed."""
        self.open_read -= 1
        readers = self.readers[fid]
        readers.remove(reader)
        if not readers:
            del self.readers[fid]

    def set_size(self, fid: int, size: int) -> None:
        """The file changed: tell the readers."""
        for reader in self.readers.get(fid, ()):
            reader.size = size
