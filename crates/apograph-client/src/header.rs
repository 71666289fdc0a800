//! Names of the headers that Apograph gives a meaning.

/// On every answer: the version of the server's software. An answer without it is not from Apograph.
pub const APOGRAPH: &str = "apograph";
/// On the answer to a contents request: number of the version that the bytes belong to.
pub const VERSION: &str = "apograph-version";
/// On the answer to a write and to a contents request: the token of what was written or read.
pub const TOKEN: &str = "apograph-token";
/// On a contents upload: comment of the version, percent-encoded; the same as the query parameter `comment`.
pub const COMMENT: &str = "apograph-comment";
/// On a write: how durable it must be before it is answered, `local` or `replicas=N`.
pub const DURABILITY: &str = "apograph-durability";
/// On a write: for how many seconds the answer may wait for that, such as `5` or `0.25`.
pub const WITHIN: &str = "apograph-within";
/// On lists, leaves and exports of a server that does not hold everything: the partitions that they are of.
pub const PARTITIONS: &str = "apograph-partitions";
/// On the answer to a request for what another server holds: where that is, if it is known.
pub const ELSEWHERE: &str = "apograph-elsewhere";
