"""Every bound and knob: its value and its reason. Nothing else in thesan invents a number.

Names are noun first, unit and bound last.
"""

from typing import Final

from thesan.core.model.units import KIB, MIB

# -- names and paths ---------------------------------------------------------------------------
NAME_BYTES_MAX: Final = 255
"""POSIX NAME_MAX on every Linux filesystem; a longer name can't be mounted or exported."""
PATH_BYTES_MAX: Final = 4096
"""POSIX PATH_MAX, with the CGI cut off."""
PATH_DEPTH_MAX: Final = 256
"""Bounds the walk of one path: about 30 us."""
SYMLINK_FOLLOW_MAX: Final = 40
"""Linux' MAXSYMLINKS; a loop ends with ELOOP."""
CGI_BYTES_MAX: Final = 16 * KIB
"""A capability with three replicas is about 1.5 KiB; the rest is for the client's own keys."""
LINK_COUNT_MAX: Final = 65000
"""ext4's bound on hard links of one inode."""
XATTR_NAME_BYTES_MAX: Final = 248
"""kXR_faMaxNlen of XProtocol.hh."""
XATTR_VALUE_BYTES_MAX: Final = 65536
"""kXR_faMaxVlen of XProtocol.hh."""
XATTR_COUNT_MAX: Final = 256
"""Keeps an inode record under the journal's batch bound in practice."""
XATTR_TOTAL_BYTES_MAX: Final = 128 * KIB
"""All attributes of one inode: half a journal batch."""

# -- wire --------------------------------------------------------------------------------------
REQUEST_BODY_BYTES_MAX: Final = 1 * MIB
"""Body of any request but data writes: the longest legal one is a control message."""
WRITE_BODY_BYTES_MAX: Final = 64 * MIB
"""Body of kXR_write and kXR_pgwrite; XrdCl sends 8 MiB, bindings up to 32 MiB and page CRCs."""
READ_BYTES_MAX: Final = 64 * MIB
"""Answer to one kXR_read or kXR_pgread; longer reads are cut, which the protocol allows."""
READV_ITEMS_MAX: Final = 1024
"""READV_MAXCHUNKS of XProtocol.hh."""
READV_ITEM_BYTES_MAX: Final = 2 * MIB - 16
"""maxRvecsz of XProtocol.hh."""
READV_TOTAL_BYTES_MAX: Final = 64 * MIB
"""Memory that one kXR_readv may take."""
WRITEV_ITEMS_MAX: Final = 1024
"""WRITEV_MAXCHUNKS of XProtocol.hh."""
FATTR_NAMES_MAX: Final = 16
"""kXR_faMaxVars of XProtocol.hh."""
PREPARE_PATHS_MAX: Final = 4096
"""Paths in one kXR_prepare or kXR_statx body."""
SESSION_REQUESTS_MAX: Final = 4096
"""Requests of one connection that may wait for an answer; then reading from it pauses."""
SESSION_HANDLES_MAX: Final = 16384
"""Open file handles of one session."""
CONNECTION_COUNT_MAX: Final = 16000
"""Connections of one daemon; above, a login is answered with kXR_Overloaded."""
OUTPUT_BYTES_HIGH: Final = 8 * MIB
"""Unsent answers of one connection above which we stop reading requests from it."""
LOGIN_SECONDS_MAX: Final = 30.0
"""A connection that has not logged in by then is closed: half-open peers hold no memory."""
BIND_STREAMS_MAX: Final = 16
"""kXR_bind substreams of one session; xrdcp -S asks for at most 15."""
DIRLIST_CHUNK_ENTRIES: Final = 500
"""Entries in one kXR_oksofar of a listing: about 3 ms of the loop."""
DIRLIST_CHUNK_NAMES: Final = 4000
"""Entries in one kXR_oksofar of a listing of names alone: about 2 ms of the loop."""
HANDSHAKE_BODY_BYTES_MAX: Final = 64 * KIB
"""Body of a request before login is complete: a stranger makes us hold no more."""
SKIP_BYTES_MAX: Final = 256 * MIB
"""Body that is too long is skipped after its error answer; a longer one closes the connection."""
WINDOW_BYTES_MIN: Final = 64 * KIB
"""Body with that much still to come gets its own buffer, received into without another copy."""
BODY_BYTES_FIRST: Final = 16 * MIB
"""Buffer made on the word of a header alone: all of an XrdCl chunk; more is doubled as it comes."""
HELD_BYTES_MAX: Final = 1 * MIB
"""Input kept while a login waits for its verdict; nobody sends that much before the answer."""
AUTH_ROUNDS_MAX: Final = 16
"""Logins, binds and rounds of authentication that one connection may try."""
LISTING_ENTRIES_MAX: Final = 2_000_000
"""Entries of one directory listing that the client library reads."""
ANSWER_BYTES_MAX: Final = 1 * MIB
"""Answer that the client takes to a request whose result is short text."""
LISTING_BYTES_MAX: Final = 512 * MIB
"""Answer that the client takes to a listing or an admin query: 2 million entries with stat."""
SCRATCH_BYTES: Final = 256 * KIB
"""Receive buffer, one for all connections of a loop."""
ERROR_TEXT_BYTES_MAX: Final = 2048
"""Error text that we send; XrdCl logs it whole."""

# -- data path ---------------------------------------------------------------------------------
INLINE_READ_BYTES_MAX: Final = 256 * KIB
"""Reads up to this are served in the event loop; larger ones in a worker thread."""
PAGE_BYTES: Final = 4096
"""kXR_pgPageSZ: unit of pgread and pgwrite checksums."""
PGREAD_PART_BYTES: Final = 2 * MIB
"""Data of one kXR_status frame of a pgread answer, as native sends them."""
PGWRITE_ERRORS_MAX: Final = 128
"""kXR_pgMaxEpr: bad pages reported for one request."""
PGWRITE_ERRORS_TOTAL_MAX: Final = 256
"""kXR_pgMaxEos: bad pages of one file that may wait for their retransmission."""
WRITE_WINDOW_BYTES: Final = 32 * MIB
"""Unwritten data of one connection above which reading from it pauses."""
CLIENT_CHUNK_BYTES: Final = 4 * MIB
"""One read or write of the client library."""
CLIENT_CHUNKS_IN_FLIGHT: Final = 4
"""Chunks of one file that the client library keeps in flight."""
FS_HEADROOM_BYTES: Final = 64 * MIB
"""A filesystem with less free space takes no new replica."""
PARTIAL_FILE_SECONDS_MAX: Final = 120.0
"""An upload whose client vanished is kept this long for a reconnect, then removed."""
COMMIT_RETRY_SECONDS: Final = 0.1
"""Pause between tries of a commit, doubled up to COMMIT_RETRY_SECONDS_MAX."""
COMMIT_RETRY_SECONDS_MAX: Final = 5.0
"""Longest pause between tries of a commit: a returning MGM is found within it."""
COMMIT_SETTLE_SECONDS: Final = 60.0
"""A sealed replica that the MGM does not know is kept so long: more than a head needs to notice
that it has lost it (2 x PEER_ALIVE_SECONDS) and to send a commit (CONTROL_CALL_SECONDS_MAX)."""
COMMITS_IN_FLIGHT_MAX: Final = 256
"""Commits of one FST on their way to the MGM: a few batches of its journal."""
WAITRESP_SECONDS: Final = 10.0
"""A close that takes longer is announced with kXR_waitresp so that no stream times out."""

DISK_WORKERS_MAX: Final = 16
"""Threads of one disk. Per disk, so that a hung one starves only itself."""
DISK_INLINE_WRITE_BYTES_MAX: Final = 64 * KIB
"""Writes up to this are done in the event loop: a page-cache copy of 10 us, a thread hop of 50."""
DISK_INLINE_SECONDS_MAX: Final = 0.02
"""A call in the event loop that took longer sends this disk's small writes to threads for long."""
DISK_INLINE_PAUSE_SECONDS: Final = 10.0
"""How long a disk that was slow in the event loop is kept off it."""
ALLOCATOR_BUFFER_BYTES_MAX: Final = 32 * MIB
"""Buffers up to this are kept by the allocator when they are freed; glibc's own upper bound."""
ALLOCATOR_KEPT_BYTES_MAX: Final = 256 * MIB
"""Freed memory that a process keeps: some uploads' write windows."""
CHECKSUM_SLICE_BYTES: Final = 256 * KIB
"""Slice that a file is checksummed in: stays in the processor's cache."""
BULK_SLICE_BYTES: Final = 2 * MIB
"""One partial answer of a pgread, as native (512 pages = IOV_MAX with their checksums)."""
BULK_SLICES_MAX: Final = 32
"""Slices of that size at a time; further pgread answers go in small ones, so that a crowd of slow
readers costs little memory."""
BULK_SLICE_SMALL_BYTES: Final = 64 * KIB
"""Partial answer of a pgread in a crowd."""
BULK_POLL_SECONDS: Final = 0.05
"""How long a worker waits for a peer that does not drain before it gives its thread back."""
BULK_STALL_SECONDS_MAX: Final = 60.0
"""A peer that takes no byte of a bulk answer for this long is gone: its connection is aborted."""

MARKER_BYTES_MAX: Final = 64 * KIB
"""A marker of an unfinished upload: a path, a grant, and a commit that repeats the grant."""
FMD_BYTES_MAX: Final = 16 * KIB
"""A data file's own record: its path and a few numbers."""
LABEL_BYTES_MAX: Final = 256
"""A filesystem's label: a number or a uuid."""
WAITRESP_SECONDS_MAX: Final = 1800
"""Time that a kXR_waitresp asks a client to be patient, as native does for long answers."""
REPLICA_CALL_SECONDS_MAX: Final = 60.0
"""A replica's FST that does not answer a write or an order in this time is given up."""
REPLICA_OPEN_SECONDS_MAX: Final = 15.0
"""Time for a replica's FST to open its part of an upload."""
TPC_KEY_SECONDS_MAX: Final = 120.0
"""Life of a third-party copy's key at the source, and how long the destination waits for it."""
TPC_KEYS_MAX: Final = 4096
"""Keys of third-party copies known or awaited at one source."""
TPC_KEY_BYTES_MAX: Final = 256
"""XrdCl's keys have 27 characters."""
TPC_CHUNK_BYTES: Final = 4 * MIB
"""One read of a third-party copy."""
TPC_CHUNKS_IN_FLIGHT: Final = 4
"""Chunks of one third-party copy that are read or being written."""
TPC_CALL_SECONDS_MAX: Final = 150.0
"""Deadline of one call to the source: longer than it waits for the key."""
TPC_REDIRECTS_MAX: Final = 16
"""As XrdCl's RedirectLimit."""
FST_DRAIN_SECONDS_MAX: Final = 10.0
"""A stopping FST waits so long for the commits under way; what is left is resolved at its start."""
FST_BOOT_SECONDS_MAX: Final = 5.0
"""A starting FST waits so long for its disks; one that hangs must not keep the others away."""
UPLOAD_SWEEP_SECONDS: Final = 60.0
"""How often an FST looks for uploads that nobody has written to for UPLOAD_SECONDS_MAX."""
PEER_ALIVE_SECONDS: Final = 5.0
"""How often an FST says on its connections to others that it is there."""
PEER_SILENCE_SECONDS_MAX: Final = 30.0
"""An FST silent for longer is gone: the replicas that it was writing are resolved without it. Its
machine may have vanished without a word, and TCP alone would wait for ever."""
INQUIRE_FIDS_MAX: Final = 1000
"""fids of one question to the MGM whether replicas are registered."""

# -- capabilities ------------------------------------------------------------------------------
CAPABILITY_SECONDS_MAX: Final = 300
"""Time in which a capability may be used to open."""
CAPABILITY_BYTES_MAX: Final = 8 * KIB
"""Text of one capability; bounds what an unauthenticated peer makes us decode."""
GRANT_BYTES_MAX: Final = 5 * KIB
"""A sealed grant: a path and a name at their bounds; base64 of it still fits a capability."""
CAPABILITY_KEY_SECONDS: Final = 21600
"""Life of a signing-key generation; the current and the previous one are honoured."""
CAPABILITY_CLOCK_SKEW_SECONDS: Final = 30
"""Tolerated difference between the clocks of MGM and FST."""
NONCE_COUNT_MAX: Final = 200_000
"""Nonces an FST remembers: 300 s of 600 opens/s."""

JOIN_TOKEN_SECONDS: Final = 3600
"""Life of an invitation: long enough to install a machine, short enough to be forgotten."""
JOIN_TOKEN_SECONDS_MAX: Final = 7 * 86400
"""Longest life of an invitation: over a weekend."""
JOIN_TOKEN_BYTES_MAX: Final = 8 * KIB
"""Text of a token: a secret and some addresses, some 200 bytes."""
JOIN_BOX_BYTES_MAX: Final = 32 * KIB
"""A sealed invitation: a keytab of many keys, within CONFIG_VALUE_BYTES_MAX."""
JOIN_COUNT_MAX: Final = 16
"""Invitations that wait at a time: more than an instance has MGMs."""

# -- control -----------------------------------------------------------------------------------
BEAT_SECONDS: Final = 1.0
"""Interval of an FST's beat to every MGM."""
MGM_COUNT_MAX: Final = 64
"""MGMs of one instance that a daemon keeps a connection to."""
MGM_REDIAL_SECONDS: Final = 0.2
"""First pause before an MGM is dialled again, doubled up to MGM_REDIAL_SECONDS_MAX."""
MGM_REDIAL_SECONDS_MAX: Final = 2.0
"""A returning MGM knows its FSTs again within it."""
TWIN_WARNING_SECONDS: Final = 300.0
"""Pause between two warnings that two FSTs run under one name; they change places each second."""
BEAT_SECONDS_MIN: Final = 0.05
"""Least time between two beats, whatever happens on the node."""
BEAT_LATE_SECONDS: Final = 0.7
"""A beat that is later than this is missed, and its FST left out while others will do: after the
loss of a host with a master, the new one (after about 2 s) sends nobody to the FST that died with
it."""
BEAT_SILENCE_SECONDS_MAX: Final = 4.0
"""An FST silent for longer is offline: no client is sent there (a dead one costs it 480 s)."""
BEAT_ANSWER_SECONDS_MAX: Final = 2.0
"""A master that waits longer for the journal lets an FST beat again, without news: half of
BEAT_SILENCE_SECONDS_MAX. Longer than a busy engine takes, or nobody would be told to delete."""
CONTROL_CALL_SECONDS_MAX: Final = 10.0
"""Deadline of one control call between daemons."""
LOG_LINE_BYTES_MAX: Final = 16 * KIB
"""One log line: names and texts from clients are bounded, their sum is not."""
VID_RULE_BYTES_MAX: Final = 4096
"""Key and value of one vid rule; a membership list of some hundred ids."""
VID_RULES_MAX: Final = 10_000
"""Rules of an instance: parsed anew at each change, in some 50 ms."""
KEYTAB_BYTES_MAX: Final = 64 * KIB
"""A keytab file."""
KEYTAB_KEYS_MAX: Final = 64
"""Keys in a keytab; bounds the tries of a verification."""
DELETIONS_BATCH_MAX: Final = 1000
"""Deletions handed to an FST in one beat reply."""
ADMIN_TEXT_BYTES_MAX: Final = 8192
"""One text argument of an admin command: a path, or a list of ids."""
FORGET_DELETIONS_MAX: Final = 20_000
"""Deletions that one `fs dropdeletion` forgets: one batch of the journal at most (13 bytes each),
applied in one turn of the loop."""
SPACE_NAME_BYTES_MAX: Final = 32
"""A space name; `space.N` is a column of most listings."""
ADMIN_PAGE_RECORDS: Final = 1000
"""Records of a long listing in one admin answer: about 30 ms of the loop."""
DELETED_REPORTED_MAX: Final = 10_000
"""Removed replicas reported in one beat; the rest follows in the next."""
DELETIONS_AT_ONCE_MAX: Final = 4
"""Replicas of one FST that are removed at the same time: clients come first."""
DISK_HANG_SECONDS_MAX: Final = 30.0
"""A disk that owes its statvfs for so long is taken out of service."""
ADMIN_RECORDS_MAX: Final = 100_000
"""Records in one admin answer; a longer listing is paged."""
FSID_COUNT_MAX: Final = 65534
"""Filesystems of an instance, as in EOS."""

NODE_COUNT_MAX: Final = 16384
"""FSTs that an MGM keeps figures of; more than filesystems on full nodes would need."""
TOPOLOGY_REFRESH_SECONDS: Final = 1.0
"""Age of free space and load in placement: FSTs report once a second anyway."""
GROUP_COUNT_MAX: Final = 4096
"""Groups of one space (`groupmod`); a new filesystem looks at all of them."""
GEOTAG_TOKEN_BYTES_MAX: Final = 8
"""One token of a geotag, as EOS documents."""
GEOTAG_BYTES_MAX: Final = 64
"""A whole geotag: six tokens."""

# -- journal -----------------------------------------------------------------------------------
BATCH_BYTES_MAX: Final = 256 * KIB
"""Knee of the append curve on etcd (reference figures: 256 KiB gives 43 MiB/s)."""
BATCH_OPS_MAX: Final = 1500
"""Bounds the apply of one batch, which a standby does in one turn of the loop, to about 40 ms."""
PENDING_OPS_MAX: Final = 65536
"""Ops waiting for commit; above, mutations are answered with kXR_wait."""
PENDING_BYTES_MAX: Final = 64 * MIB
"""Bytes of the ops that wait for commit: 256 full batches, some seconds of a slow engine."""
ENTRY_COMPRESS_BYTES_MIN: Final = 1 * KIB
"""Shorter payloads stay raw: 5 us of deflate would save less than 300 bytes."""
JOURNAL_KEEP_ENTRIES: Final = 4096
"""Entries kept behind the durable applied position so that a peer can follow."""
JOURNAL_TRIM_ENTRIES: Final = 512
"""A trim drops at least this many, so that most checkpoints cost the engine nothing."""
JOURNAL_PAGE_BYTES: Final = 1 * MIB
"""Entries read from the engine at once at replay: four full batches."""
JOURNAL_RETRY_SECONDS: Final = 0.02
"""Pause after the engine did not answer, doubled up to JOURNAL_RETRY_SECONDS_MAX."""
JOURNAL_RETRY_SECONDS_MAX: Final = 1.0
"""Longest pause: a returning engine is found within it."""
SQLITE_BUSY_SECONDS_MAX: Final = 2.0
"""Wait for another process' lock on the journal file; below APPEND_SECONDS_MAX."""
SQLITE_POLL_SECONDS: Final = 0.05
"""How often a follower looks for entries of another process: about 1 % of a core when idle."""
SQLITE_WAL_BYTES: Final = 4 * MIB
"""Write-ahead log after which pages move to the journal file: a pause of about 10 ms."""
SQLITE_TRIM_ENTRIES: Final = 64
"""Entries dropped in one transaction: at most 16 MiB, so that appends pass between them."""
QUOTA_ESSENTIAL_PERCENT: Final = 50
"""Share of an engine's quota in use from which a master takes no bulk any more."""
QUOTA_TRIM_PERCENT: Final = 75
"""Share from which it only trims: at 100 nothing but removals works, and takeovers do not."""
APPEND_SECONDS_MAX: Final = 5.0
"""Deadline of one append; then its outcome is unknown and is read back."""
RESULTS_KEPT_MAX: Final = 65536
"""Results of client operations kept in the state, so that a resend gets the first answer."""

JOURNAL_ENGINE_BYTES_MAX: Final = 256 * MIB
"""What the engine may hold for MGMs that are away; above, it is trimmed without them. Standbys
that come back within it just follow; the others are seeded by a peer."""

# -- namespace ---------------------------------------------------------------------------------
CACHE_ENTRIES_MAX: Final = 4_000_000
"""Inodes kept in memory: about 2 GB."""
LIST_PAGE_ENTRIES: Final = 1000
"""Entries read from the store at once: about 2 ms."""
FIND_ENTRIES_MAX: Final = 1_000_000
"""Entries that one find may return."""
FID_RANGE: Final = 1 << 20
"""File ids reserved by one journal record; a crash skips at most this many."""
REPLICA_COUNT_MAX: Final = 16
"""Replicas of one file."""

# -- mgm ---------------------------------------------------------------------------------------
UPLOADS_KEPT_MAX: Final = 100_000
"""Uploads under way that an MGM remembers for reconnecting writers: about 40 MB."""
UPLOAD_SECONDS_MAX: Final = 86400.0
"""After a day nobody goes on with a broken upload."""
UPLOADS_SUPERSEDED_MAX: Final = 16
"""Earlier uploads of one path that a later one shuts out when it is committed: a client's tries."""
DICE_POOL_BYTES: Final = 4096
"""Entropy fetched at once for nonces and draws: 200 opens."""
FST_RETURN_SECONDS_MAX: Final = 60.0
"""While a silent FST may still come back (a restart), opens that need it wait rather than fail."""
EMPTY_HANDLES_MAX: Final = 1024
"""Files without content that one session may have open at the MGM."""
ACCOUNT_SECONDS_MAX: Final = 300.0
"""A change of the host's accounts is seen after this time."""
NAMES_CACHED_MAX: Final = 10_000
"""User and group names kept for stat texts; a lookup may ask LDAP."""
FIGURES_SAMPLE_SECONDS: Final = 5.0
"""How often the counters of an MGM are sampled for rates: the shortest window."""
FIGURES_SAMPLE_EVERY: Final = 64
"""One request of so many is timed: two looks at the clock cost a tenth of a stat."""
FIGURES_DURATIONS_KEPT: Final = 100
"""Durations of a counter from which mean and percentiles are made, as EOS does."""
WATCH_SECONDS: Final = 1.0
"""How often an MGM looks which FSTs have come and gone, for the log and stat texts."""
MGM_DRAIN_SECONDS_MAX: Final = 5.0
"""Time for pending changes to become durable when an MGM is stopped."""
ROLE_RETRY_SECONDS_MAX: Final = 5.0
"""Longest pause before an MGM whose role ended by a fault begins anew; the first is 20 ms."""
LISTING_POLL_SECONDS: Final = 0.05
"""How often a long listing looks whether its slow reader has room for the next chunk."""
CHECKPOINT_SECONDS: Final = 5.0
"""Interval of store flush and journal trim: bounds what is replayed after a crash."""

# -- transport ---------------------------------------------------------------------------------
REQUESTS_PER_TURN_MAX: Final = 1024
"""Requests of one connection handled before others get the loop: about 5 ms of stats."""
CONNECTION_SPARE_COUNT: Final = 256
"""Connections above CONNECTION_COUNT_MAX that are still accepted, to be told kXR_Overloaded."""
SESSION_IDLE_SECONDS_MAX: Final = 5400.0
"""A session without a request for so long is closed (`xrd.timeout idle` of xrootd: 90 min)."""
OUTPUT_STALL_SECONDS_MAX: Final = 120.0
"""A peer that takes no byte of its answers for so long is dropped: half-open, or stopped."""
SWEEP_SECONDS: Final = 5.0
"""Interval in which a listener looks for idle and stalled connections: 16000 take about 5 ms."""
LISTENER_CLOSE_SECONDS_MAX: Final = 2.0
"""Time that connections get to flush when a listener closes; then they are dropped."""
LISTEN_BACKLOG: Final = 1024
"""Connections that the kernel holds while the loop is busy: a refused one costs XrdCl 120 s."""

# -- client ------------------------------------------------------------------------------------
ENDPOINTS_MAX: Final = 16
"""MGMs in one URL."""
REDIRECTS_MAX: Final = 16
"""RedirectLimit of XrdCl; per request, not reset by a wait."""
CLIENT_REQUESTS_MAX: Final = 1024
"""Requests of one client connection that may wait for an answer; a further one waits its turn."""
CLIENT_OUTPUT_BYTES_HIGH: Final = 16 * MIB
"""Unsent requests of one client connection above which a further one waits."""
CLIENT_DIAL_SECONDS_MAX: Final = 5.0
"""Connect, handshake and login of one address; then the next one is tried."""
CLIENT_PATIENCE_SECONDS: Final = 1800.0
"""Time in which one operation may be retried: RequestTimeout of XrdCl."""
CLIENT_STAGGER_SECONDS: Final = 0.25
"""Silence of one address of a name after which the next is tried as well (RFC 8305)."""
CLIENT_PROBE_SECONDS: Final = 0.5
"""Silence of a connection with requests in flight after which a ping is sent; of a ping, after
which its host is asked by a second connection; and of that one: a dead host is left after 1.5 s,
before there is a new master if it was the old one's."""
CLIENT_MGM_DIAL_SECONDS: Final = 1.0
"""First bound of a dial to an MGM, doubled up to the dial's own: an MGM is one of several."""
CLIENT_FST_DIAL_SECONDS: Final = 1.5
"""The same of a dial to an FST: the MGM knows another one, or none, and then it gets more time."""
CLIENT_MASTER_WAITS_MAX: Final = 5
"""Waits of one request at the same master after which another MGM is asked who it is."""
CLIENT_SLOW_SECONDS: Final = 0.2
"""A request that waits longer makes the client watch all MGMs: many times a usual answer."""
CLIENT_WATCH_AFTER_SECONDS: Final = 5.0
"""A client that asks something when it is so old watches all MGMs from then on."""
CLIENT_WATCH_SECONDS: Final = 20.0
"""A long poll for news of a master: short enough that no middle box forgets the connection."""
CLIENT_WATCH_GRACE_SECONDS: Final = 5.0
"""A long poll that is so late is a sign of a dead connection."""
CLIENT_WATCH_PAUSE_SECONDS: Final = 0.2
"""Pause after a long poll that was answered at once and brought no news."""
REPLAY_BYTES_MAX: Final = 8 * MIB
"""What a client keeps of an open upload, to begin it anew when its FST is lost: logs, tables and
what people write by hand; a program with a hundred such files can spare the memory."""
CHEAP_UPLOAD_BYTES_MAX: Final = 64 * MIB
"""An upload that can be begun again costs about a second of a disk up to this size: less than the
wait for a host that may not come back."""
CLIENT_DARK_UPLOAD_SECONDS: Final = 10.0
"""A host that does not even take connections is given so long before an upload to it is lost: a
switch that restarts is longer away than most, and the upload would begin from its start."""
CLIENT_SILENCE_SECONDS_MAX: Final = 30.0
"""Silence after which a peer that owes answers, a ping's too, is taken for dead; a disk that
stalls for 10 s while it flushes is common, for 30 s it is not."""
CLIENT_BACKOFF_SECONDS: Final = 0.1
"""Pause after every MGM was tried in vain, doubled up to CLIENT_BACKOFF_SECONDS_MAX."""
CLIENT_BACKOFF_SECONDS_MAX: Final = 2.0
"""Longest pause between rounds over the MGMs: a new master is found within it."""
CLIENT_WAIT_SECONDS_MAX: Final = 600.0
"""Longest kXR_wait that is obeyed as it stands; a longer one is a mistake and is cut."""
CLIENT_IDLE_SECONDS: Final = 60.0
"""An unused client connection is closed after this time."""
CLIENT_TRIED_MAX: Final = 16
"""Hosts in `tried=`: more do not fit the CGI of real managers."""
COPY_FILES_PARALLEL: Final = 4
"""Files that a tree copy keeps in flight: hides the round trips of small files."""
COPY_TRIES_MAX: Final = 8
"""Tries of one file before its error is reported; each upload is atomic at commit."""
COPY_TREE_ENTRIES_MAX: Final = 10_000_000
"""Entries that one tree copy walks: ends a walk that never would."""
LOCAL_FILE_THREADS: Final = 8
"""Worker threads for the caller's own files: two for each file copied in parallel."""

# -- store -------------------------------------------------------------------------------------
STORE_CACHE_BYTES: Final = 256 * MIB
"""Block cache of the namespace store: holds the index and filters of about 10^8 files."""
STORE_INDEX_BLOCK_BYTES: Final = 16 * KIB
"""Piece of an index or filter: one is read for a cold key, far below a cache shard's 4 MiB."""
STORE_WRITE_BUFFER_BYTES: Final = 64 * MIB
"""One memtable; what a crash may lose and the journal must replay: about 300 000 changes."""
STORE_OPEN_FILES_MAX: Final = 1024
"""Descriptors that the store may hold; 64 MiB tables: 64 GiB without reopening."""
STORE_LOG_FILES_MAX: Final = 4
"""RocksDB's own text logs kept."""
COUNTERS_CACHED_MAX: Final = 100_000
"""Counter records (filesystems, quota accounts) kept in memory: about 20 MB."""
QUOTA_RECOUNT_ENTRIES_MAX: Final = 5000
"""Entries below a directory that becomes a quota node, counted in that one op: about 40 ms."""
QUOTA_ACCOUNTS_MAX: Final = 10_000
"""Accounts with limits in one quota node: its record stays under a journal batch."""
DIRECTORY_CACHED_MAX: Final = 340_000
"""Entries of one directory kept in memory. Growing its dict stops the loop: for up to 17 ms at
349 525 entries, 38 to 54 ms at 699 050, 65 ms and more at 1.4 * 10^6 (measured). Below a third of
2^20 the dict that eviction and new entries keep turning over never passes 2^20 slots."""
EVICTION_ENTRIES_MIN: Final = 64
"""Cached inodes dropped beyond need, so that not every op has to."""
EVICTION_ENTRIES_MAX: Final = 2048
"""Cached inodes dropped at once: about 1 ms, and more than one listing page brings in."""
LIST_SORTED_ENTRIES_MAX: Final = 20_000
"""Directories up to this size are listed from memory, sorted once: about 5 ms."""
OP_ID_BYTES_MAX: Final = 64
"""Client's id of an operation; a UUID is 16 bytes or 36 in text."""
SYMLINK_TARGET_BYTES_MAX: Final = 4095
"""Linux' PATH_MAX without the closing NUL."""
CONFIG_VALUE_BYTES_MAX: Final = 64 * KIB
"""One configuration value: a quarter of a journal batch."""
SNAPSHOT_FRAME_BYTES_MAX: Final = 4 * MIB
"""One frame of a namespace snapshot: bounds what a reader allocates on a length it reads."""
ACL_RULES_MAX: Final = 256
"""Rules of one ACL; each costs about 0.3 us in a permission check that needs it."""
CLIENT_SCRATCH_BYTES: Final = 64 * KIB
"""Receive buffer of one client connection; longer bodies are received in place."""
CLIENT_CLOSE_SECONDS_MAX: Final = 2.0
"""Time to flush a client connection that is closed; then it is dropped."""
CLIENT_WAIT_SECONDS_MIN: Final = 0.1
"""Shortest obedience to a kXR_wait: one of 0 s must not become a busy loop."""
PAGE_TRIES_MAX: Final = 3
"""Times that a page with a wrong checksum is transferred again before it is an error."""
TREE_REQUESTS_PARALLEL: Final = 16
"""Listings or removals that a walk of a tree keeps in flight: hides the round trips."""
COPY_QUEUE_ENTRIES: Final = 10_000
"""Files that a tree copy knows ahead of those it copies: for the totals of a progress bar."""
