//! Every limit of the formats, each with its reason. Units stand last in the names.

/// Longest URI. Long enough for any path people type, short enough for a key.
pub const URI_BYTES_MAX: usize = 1_024;
/// Partitions of one database: the participants of a transaction are one 64-bit word of the header.
pub const PARTITIONS_MAX: u16 = 64;
/// A content above this is cut into chunks of this size; none is ever whole in memory.
pub const CHUNK_BYTES_MAX: usize = 1 << 20;
/// Facts of one entry: a transaction of tens of thousands of documents fits.
pub const FACTS_BYTES_MAX: usize = 16 << 20;
/// Payloads of one entry; what is more travels ahead in `contents` entries. With the facts it bounds what a
/// reader must hold to take one entry in.
pub const PAYLOADS_BYTES_MAX: usize = 8 << 20;
/// Payloads of one entry, counted.
pub const PAYLOADS_MAX: usize = 100_000;
/// Properties of one version, as canonical JSON. More than that is a content.
pub const PROPERTIES_BYTES_MAX: usize = 256 << 10;
/// Nesting of properties: deep enough for data, too shallow for a stack overflow.
pub const PROPERTIES_DEPTH_MAX: usize = 32;
/// Operations of one transaction.
pub const OPERATIONS_MAX: usize = 10_000;
/// Comment of a transaction or version.
pub const COMMENT_BYTES_MAX: usize = 64 << 10;
/// Names: authors, types, media types, lock owners, cursors.
pub const NAME_BYTES_MAX: usize = 512;
/// Parents of a version; an octopus merge has a handful.
pub const PARENTS_MAX: usize = 64;
/// Largest content: the list of its chunks must fit into the facts of one entry.
pub const CONTENT_BYTES_MAX: u64 = 256 << 30;
/// A frame on a stream that is no entry.
pub const HEARTBEAT_BYTES_MAX: usize = 4 << 10;
