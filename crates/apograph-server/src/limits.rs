//! Every limit of the server, each with its reason. Units stand last in the names.

use std::time::Duration;

/// Body of a transaction: ten thousand small documents, or one content that should have been an upload.
pub const TRANSACTION_BYTES_MAX: usize = 64 << 20;
/// Body of one document as JSON. Larger contents go to `contents`, which streams.
pub const DOCUMENT_BYTES_MAX: usize = 8 << 20;
/// Body of a copy's report: 64 partitions with their positions.
pub const REPORT_BYTES_MAX: usize = 256 << 10;
/// Body of what an operator tells a link: a handful of members.
pub const ORDER_BYTES_MAX: usize = 4 << 10;
/// JSON bodies held in memory at once, over all requests: what is beyond is told to come back.
pub const BODIES_BYTES_MAX: usize = 128 << 20;
/// Parsing and hashing more than this takes long enough to leave the async threads alone; less takes less than the way
/// to another thread and back.
pub const WORK_HERE_BYTES_MAX: usize = 64 << 10;
/// A text content is put into the answer of `documents` up to this size; clients that want more read `contents`.
pub const INLINE_CONTENT_BYTES_MAX: u64 = 1 << 20;
/// An upload goes to the disk in pieces of about this size: few enough switches to a blocking thread, little memory.
pub const SPOOL_PIECE_BYTES: usize = 256 << 10;
/// Pieces of exports and journals: large enough for full speed, small enough for a thousand readers.
pub const STREAM_PIECE_BYTES: usize = 256 << 10;

/// Bulk transactions on their way to the committer: enough for it to group them into one sync.
pub const BULK_IN_FLIGHT_MAX: usize = 256;
/// Bytes of bulk transactions on their way.
pub const BULK_IN_FLIGHT_BYTES_MAX: usize = 16 << 20;
/// Bulk answers that wait for a client which sends everything before it reads; some 4 MiB.
pub const BULK_ANSWERS_MAX: usize = 16_384;

/// Lines of an export that are handed to a thread at once: few switches, and little memory beside the engine's.
pub const IMPORT_GROUP_BYTES: usize = 1 << 20;
/// Answers of an import that wait for a client which does not read them.
pub const IMPORT_ANSWERS_MAX: usize = 64;

/// First line of an orphan on its way back: ten thousand documents with the longest URIs.
pub const ORPHAN_LABEL_BYTES_MAX: usize = 16 << 20;
/// Orphans that are asked for by name; all of them need no names.
pub const ORPHANS_ASKED_MAX: usize = 10_000;
/// Answers of a restoration that wait for a client which does not read them.
pub const RESTORE_ANSWERS_MAX: usize = 64;

/// Answers of a rollback that wait for a client which does not read them; those between are left out.
pub const ROLLBACK_ANSWERS_MAX: usize = 64;
/// Documents that a rollback could not bring back and that its answer lists; a dry run lists all.
pub const ROLLBACK_LOST_MAX: usize = 1_000;

/// Documents or versions on one page.
pub const PAGE_ITEMS_MAX: usize = 1_000;
/// Documents or versions on one page, unless asked otherwise.
pub const PAGE_ITEMS_DEFAULT: usize = 100;

/// Bytes of a journal that a search for one document's change reads: well below a second.
pub const WHY_SEARCH_BYTES_MAX: u64 = 128 << 20;
/// Bytes of a content that are read to see whether they can be.
pub const WHY_CONTENT_BYTES_MAX: u64 = 64 << 20;

/// Moves that one page of a document's history follows; the next page goes on from there.
pub const HISTORY_MOVES_MAX: usize = 100;

/// Connections at once; more wait in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 1_024;
/// Reads that block a thread at once; more wait their turn.
pub const BLOCKING_READS_MAX: usize = 64;
/// Threads for bulk work: exports, comparisons, what synchronizations send and take.
pub const BACKSTAGE_THREADS: usize = 4;
/// A look into a store that takes longer than this went to the disk.
pub const LOOK_QUICK_MAX: Duration = Duration::from_millis(1);
/// After one that did, looks happen on threads of their own for this long.
pub const LOOKS_ELSEWHERE: Duration = Duration::from_millis(100);
/// Headers of one request.
pub const HEADERS_MAX: usize = 64;
/// Bytes of one request's head. A URI of 1,024 bytes takes 3,072 when every byte is percent-encoded.
pub const HEAD_BYTES_MAX: usize = 64 << 10;
/// Copies whose reports are remembered.
pub const COPIES_MAX: usize = 1_024;

/// A request's head must be there within this time, or somebody holds connections open for nothing.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A body may pause for this long.
pub const BODY_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// A client that takes no byte of its answer for this long is gone. Not for journals: a copy may be busy applying, and
/// heartbeats tell both sides who is there.
pub const WRITE_IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// What is taken in of a refused body so that its client gets to read why; larger ones find the connection closed.
pub const REFUSED_BODY_BYTES_MAX: usize = 1 << 30;
/// How long that may take.
pub const REFUSED_BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for `at_least`: beyond it a client does better to ask again.
pub const WAIT_MAX: Duration = Duration::from_secs(10);
/// Heartbeats on an idle stream.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);
/// Heartbeats never come closer than this: each is a signature.
pub const HEARTBEAT_GAP_MIN: Duration = Duration::from_millis(20);
/// How long a stop waits for requests to end.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the tokens' file is looked at.
pub const TOKENS_LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Writes that wait for replicas at once: as many as there can be connections. Who comes then is told to come back.
pub const DURABILITY_WAITERS_MAX: usize = CONNECTIONS_MAX;
/// How long an answer waits for replicas, unless said otherwise: a copy that answers does so well within it.
pub const DURABILITY_WITHIN: Duration = Duration::from_secs(5);
/// Longest wait for replicas: beyond it people do better to look at the copy.
pub const DURABILITY_WITHIN_MAX: Duration = Duration::from_secs(60);

/// Copies of one database that have lag limits.
pub const LAG_LIMITS_MAX: usize = 64;
/// Name of a server in a lag limit.
pub const LAG_LIMIT_NAME_BYTES_MAX: usize = 200;
/// Seconds in a lag limit: a write waits at most so long, as clients give up after a minute; a copy is lost after it.
pub const LAG_LIMIT_SECONDS_MAX: u64 = 50;

/// Entries handed to the engine at once.
pub const TAKE_ENTRIES_MAX: usize = 256;
/// Bytes of entries handed to the engine at once, and read ahead meanwhile.
pub const TAKE_BYTES_MAX: usize = 4 << 20;
/// How often a copy reports to its source.
pub const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// A source must greet, and take a report, within this time.
pub const SOURCE_TIMEOUT: Duration = Duration::from_secs(10);
/// A copy that follows is ready while nothing older than this is unapplied.
pub const READY_AGE_MAX: Duration = Duration::from_secs(30);
/// A copy that did not report for this long is shown as waiting.
pub const REPORT_AGE_MAX: Duration = Duration::from_secs(10);
