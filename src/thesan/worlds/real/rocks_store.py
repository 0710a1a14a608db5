"""ports.store on RocksDB (rocksdict 0.3.29).

The journal is the write-ahead log, so RocksDB's own is off: a crash loses the youngest writes but
always leaves a clean prefix (tried by SIGKILL), and the journal is replayed from the applied record
that is part of every write. That needs one column family, or flushes would tear the prefix.
Never iterate a rocksdict Snapshot: its iterators show later writes (tests/contract/test_store.py
tells when that is mended). A plain iterator is consistent as of its creation.
"""

from collections.abc import Sequence
from typing import Final

from rocksdict import (
    AccessType,
    BlockBasedIndexType,
    BlockBasedOptions,
    Cache,
    Checkpoint,
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
    WriteOptions,
)

from thesan.core.model.errors import StoreDamaged, StoreError
from thesan.core.model.limits import (
    STORE_CACHE_BYTES,
    STORE_INDEX_BLOCK_BYTES,
    STORE_LOG_FILES_MAX,
    STORE_OPEN_FILES_MAX,
    STORE_WRITE_BUFFER_BYTES,
)

_BLOOM_BITS_PER_KEY: Final = 10.0
"""1 % of the lookups of absent keys read a block in vain: RocksDB's usual choice."""
_MEMTABLE_BLOOM_SHARE: Final = 0.05
"""Share of the write buffer for its own bloom filter: absent keys cost 0.9 us, not 1.2."""


class RocksStore:
    """Ordered map of bytes to bytes in one directory; one process at a time.

    `wal` keeps RocksDB's own log, for use without a journal; `read_only` is for checkpoints, which
    any number of processes may read. Raises StoreError; StoreDamaged when the files can't be right.
    """

    def __init__(
        self,
        path: str,
        *,
        wal: bool = False,
        read_only: bool = False,
        cache_bytes: int = STORE_CACHE_BYTES,
    ) -> None:
        self.path = path
        self._read_only = read_only
        self._write_options = WriteOptions()
        self._write_options.disable_wal = not wal
        try:
            access = AccessType.read_only() if read_only else AccessType.read_write()
            self._db = Rdict(path, _options(cache_bytes), access_type=access)
        except Exception as error:  # rocksdict raises bare Exception
            kind = StoreDamaged if _is_damage(str(error)) else StoreError
            raise kind(f"can't open the store {path}: {error}") from error
        self._db.set_write_options(self._write_options)
        self._open = True

    def get(self, key: bytes) -> bytes | None:
        """The value, or None."""
        try:
            value: bytes | None = self._db.get(key)
        except Exception as error:
            raise self._failure("get", error) from error
        return value

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Values in the order of the keys; 2 us a key against 3 for single gets."""
        try:
            values: list[bytes | None] = self._db.get(list(keys))
        except Exception as error:
            raise self._failure("get", error) from error
        return values

    def scan(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """At most `limit` pairs with start <= key < end, in key order; 0.7 us a pair."""
        pairs: list[tuple[bytes, bytes]] = []
        try:
            rows = self._db.iter()
            rows.seek(start)
            while len(pairs) < limit and rows.valid():
                key = rows.key()
                if key >= end:
                    break
                pairs.append((key, rows.value()))
                rows.next()
            rows.status()
        except Exception as error:
            raise self._failure("scan", error) from error
        return pairs

    def write(self, changes: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Apply all changes atomically (None deletes); about 1 us a change, holding the GIL."""
        try:
            batch = WriteBatch(raw_mode=True)
            put, delete = batch.put, batch.delete
            for key, value in changes:
                if value is None:
                    delete(key)
                else:
                    put(key, value)
            self._db.write(batch, self._write_options)
        except Exception as error:
            raise self._failure("write", error) from error

    def flush(self) -> None:
        """Make every earlier write durable: writes an SST file and fsyncs it, without the GIL."""
        try:
            self._db.flush(True)
        except Exception as error:
            raise self._failure("flush", error) from error

    def checkpoint(self, path: str) -> None:
        """A consistent copy at `path`, which must not exist (hard links). It flushes first."""
        try:
            self._db.flush(True)
            Checkpoint(self._db).create_checkpoint(path)
        except Exception as error:
            raise self._failure("checkpoint", error) from error

    def close(self) -> None:
        """Flush and release, also when the flush fails. Safe to call twice."""
        if self._open:
            self._open = False
            try:
                if not self._read_only:
                    self._db.flush(True)
            except Exception as error:
                raise self._failure("close", error) from error
            finally:
                self._db.close()

    def _failure(self, what: str, error: Exception) -> StoreError:
        state = "" if self._open else " (closed)"
        return StoreError(f"{what} failed in the store {self.path}{state}: {error}")


def _is_damage(text: str) -> bool:
    """Of files, not of the disk below them, nor of another process that holds them: rocksdict has
    one exception for all. A missing file is damage too, and the store makes what it may lack."""
    return "Corruption" in text or ("No such file" in text and "MANIFEST" in text)


def _options(cache_bytes: int) -> Options:
    tables = BlockBasedOptions()
    tables.set_bloom_filter(_BLOOM_BITS_PER_KEY, False)
    tables.set_block_cache(Cache(cache_bytes))
    # Index and filter count in the cache, in pieces: whole, the filter of a table with 4 * 10^6
    # keys is longer than one of the cache's 64 shards and was read anew by each get (0.5 ms).
    tables.set_index_type(BlockBasedIndexType.two_level_index_search())
    tables.set_partition_filters(True)
    tables.set_metadata_block_size(STORE_INDEX_BLOCK_BYTES)
    tables.set_cache_index_and_filter_blocks(True)
    tables.set_pin_top_level_index_and_filter(True)
    tables.set_pin_l0_filter_and_index_blocks_in_cache(True)
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_block_based_table_factory(tables)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_bottommost_compression_type(DBCompressionType.zstd())
    options.set_write_buffer_size(STORE_WRITE_BUFFER_BYTES)
    options.set_memtable_prefix_bloom_ratio(_MEMTABLE_BLOOM_SHARE)
    options.set_memtable_whole_key_filtering(True)
    options.set_level_compaction_dynamic_level_bytes(True)
    options.set_max_open_files(STORE_OPEN_FILES_MAX)
    options.set_keep_log_file_num(STORE_LOG_FILES_MAX)
    return options
