//! Every code a problem may have. Codes never change their meaning; `docs/formats/problems.md` lists them.

macro_rules! codes {
    ($($variant:ident = $status:literal $code:literal $title:literal $next:literal,)+) => {
        /// The kind of a problem.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = $title] $variant,)+
        }

        impl Code {
            /// All of them.
            pub const ALL: &[Code] = &[$(Code::$variant),+];

            /// The stable name.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $code),+ }
            }

            /// The HTTP status.
            pub fn status(self) -> u16 {
                match self { $(Code::$variant => $status),+ }
            }

            /// The kind, for people.
            pub fn title(self) -> &'static str {
                match self { $(Code::$variant => $title),+ }
            }

            /// What to do next.
            pub fn next(self) -> &'static str {
                match self { $(Code::$variant => $next),+ }
            }
        }
    };
}

codes! {
    // The request itself.
    UriInvalid = 400 "uri-invalid" "The document's URI is not acceptable" "write it as an absolute path without empty, `.` or `..` segments",
    QueryInvalid = 400 "query-invalid" "A query parameter is not acceptable" "see the route in /v1/openapi.json",
    HeaderInvalid = 400 "header-invalid" "A header is not acceptable" "see the route in /v1/openapi.json",
    BodyInvalid = 400 "body-invalid" "The body is not acceptable" "correct the body at the place named",
    BodyIncomplete = 400 "body-incomplete" "The body ended early" "send it again; nothing of it was kept",
    PropertiesInvalid = 400 "properties-invalid" "The properties are not acceptable" "send a JSON object without duplicate keys, at most 32 levels deep",
    BodyTimeout = 408 "body-timeout" "The body did not come" "send it again without pauses; nothing of it was kept",
    TooLarge = 413 "too-large" "Too large" "send less at once; large contents go to `contents`, which streams",
    MediaType = 415 "media-type" "The media type is not acceptable" "set the content type that the route takes",
    RangeInvalid = 416 "range-invalid" "The range lies outside the content" "ask for bytes that exist; `content-range` says how many there are",
    // Who asks.
    Unauthenticated = 401 "unauthenticated" "A token is needed" "send `Authorization: Bearer TOKEN`; the tokens' files are in the data folder",
    Forbidden = 403 "forbidden" "The token's role does not allow this" "use a token of a role that may",
    // What is asked for.
    NoSuchRoute = 404 "no-such-route" "There is nothing at this path" "see /v1/openapi.json",
    MethodNotAllowed = 405 "method-not-allowed" "The path does not take this method" "see /v1/openapi.json",
    NoSuchDatabase = 404 "no-such-database" "There is no such database on this server" "see /v1/status",
    NoSuchPartition = 404 "no-such-partition" "There is no such partition" "see /v1/status",
    NoSuchView = 404 "no-such-view" "This server does not hold that view" "ask a primary or a replica",
    NotFound = 404 "not-found" "There is no such document" "check the URI, or list documents by prefix",
    NoContent = 404 "no-content" "The version has no content" "read it as a document",
    NoSuchVersion = 404 "no-such-version" "The document has no such version" "list its versions",
    NotPublished = 404 "not-published" "Nothing of the document is published" "publish it, or read its working version",
    PartitionElsewhere = 421 "partition-elsewhere" "This server does not hold that partition" "ask a server that holds it: the primary holds all of them",
    Trashed = 410 "trashed" "The document is in the trash" "restore it first",
    Erased = 410 "erased" "The content was purged" "nothing can bring it back",
    BelowHorizon = 410 "below-horizon" "That history is gone" "ask for a later time",
    NothingYet = 409 "nothing-yet" "The database was not there yet" "ask for a time behind its first transaction: the history of a document tells some",
    // What stands against it.
    ReadOnly = 409 "read-only" "This server does not take edits" "send edits to `primary_url`",
    VersionMismatch = 412 "version-mismatch" "The document changed meanwhile" "read it again and decide anew",
    Exists = 412 "exists" "The document exists" "use another URI, or replace its version",
    Locked = 409 "locked" "Somebody works on the document" "wait until the lock expires, or ask its owner",
    NotLocked = 409 "not-locked" "The document is not locked" "nothing to do",
    NotTrashed = 409 "not-trashed" "The document is not in the trash" "nothing to do",
    Kind = 409 "kind" "The kind does not fit" "system kinds live under /_system/, others do not, and a kind never changes",
    Cursor = 409 "cursor" "The cursor stands elsewhere" "continue from `position`",
    TransactionEmpty = 400 "transaction-empty" "The transaction does nothing" "give it operations or a cursor",
    PurgeNotAlone = 400 "purge-not-alone" "A purge stands alone" "send every purge as a transaction of its own",
    NotEmpty = 409 "not-empty" "The database is not empty" "load the export into a new primary",
    Inconsistent = 422 "inconsistent" "What is to be loaded contradicts itself" "make the export again; nothing of this transaction was kept",
    ExportInvalid = 422 "export-invalid" "The export cannot be loaded" "see `line`; make the export again, or get an undamaged copy of it",
    ExportNewer = 422 "export-newer" "The export was written by a newer version" "load it with that version",
    NotAttempted = 409 "not-attempted" "Not attempted" "a transaction before it was refused: correct that, then send this again",
    TokenOtherHistory = 409 "token-other-history" "The token is of another history" "a failover cut it off, or it is of another database: read without it",
    CutOff = 409 "cut-off" "A failover cut the write off" "it is kept as an orphan at this server; save it again at `primary_url`",
    NotBrought = 410 "not-brought" "A synchronization left this version out" "read it at the source of this copy, or bring it: apograph sync --max-versions 0",
    // Roles.
    Fenced = 409 "fenced" "This primary must not act as one any more" "send edits to `primary_url`, or see `promote --plan`",
    HandingOver = 503 "handing-over" "The role of primary moves to another server" "send it again after `retry-after`, to `primary_url` if it is named then",
    RollingBack = 503 "rolling-back" "The database is rolled back to an earlier state" "send it again after `retry-after`; nothing of it was done",
    RollbackRunning = 409 "rollback-running" "A rollback is running" "wait until it is done: see `rollback` in /v1/status",
    RollbackInterrupted = 503 "rollback-interrupted" "The rollback was interrupted" "ask again: it goes on",
    NotPrimary = 409 "not-primary" "This server is not the primary" "ask the primary",
    NotPromotable = 409 "not-promotable" "This server cannot become the primary" "see `blocks`; `promote --plan` says them, too",
    LowerEpoch = 409 "lower-epoch" "A later epoch began" "ask the primary of that epoch",
    UnknownServer = 409 "unknown-server" "No server document knows that server" "let it report to the primary first: who becomes primary must be known before",
    SwitchoverFailed = 409 "switchover-failed" "The role stayed where it was" "see `reason`; the primary takes writes as before",
    ContentMissing = 422 "content-missing" "A content did not come along" "send it, too",
    OrphanInvalid = 422 "orphan-invalid" "This is no transaction that a failover cut off" "see `orphans list` at the server that kept it",
    OrphanPartial = 409 "orphan-partial" "Parts of the transaction are missing" "restore it from the server that was the primary",
    // Copies.
    NothingNewer = 503 "nothing-newer" "The source has nothing newer than the copy" "ask again when something was written",
    SnapshotExpired = 410 "snapshot-expired" "The snapshot is gone" "take another one",
    Synchronizing = 503 "synchronizing" "This server synchronizes itself" "ask again when it follows its source",
    OutOfWindow = 410 "out-of-window" "The journal does not reach back so far" "synchronize the copy",
    UnknownPosition = 409 "unknown-position" "The position is not of this history" "`common` is the last position surely common",
    NotACopy = 409 "not-a-copy" "No link brings this database here" "ask the server of a copy",
    SourceUnavailable = 502 "source-unavailable" "The source does not answer as it should" "see the link in /v1/status",
    // Backups.
    BackupRunning = 409 "backup-running" "A backup is being made already" "wait until it is done: GET the same path",
    BackupExists = 409 "backup-exists" "Something else is in that folder" "name a new folder",
    BackupPrevious = 409 "backup-previous" "That is no earlier backup of this database" "name a whole one of the same database, or none",
    BackupFolder = 500 "backup-folder" "The backup folder cannot be used" "see `backup_folder` in the server's server.json, and its rights",
    // What passes.
    Lagging = 503 "lagging" "Writes are kept back for a copy" "send it again after `retry-after`; nothing of it was done. `apograph lag-limit` shows why",
    NotReached = 504 "not-reached" "Not reached in time" "ask again",
    Ahead = 409 "ahead" "That time has not come here" "ask for an earlier time, or wait with `at_least`",
    NotReady = 503 "not-ready" "This copy has not reached its source yet" "see its link in /v1/status",
    Busy = 503 "busy" "Too much at once" "try again after `retry-after`",
    ShuttingDown = 503 "shutting-down" "The server stops" "try again after `retry-after`",
    // What does not pass.
    Stopped = 503 "stopped" "The database does not take writes" "see `stopped` in /v1/status, repair the cause, restart the server",
    Stalled = 503 "stalled" "The database waits for its store" "see `stopped` in /v1/status and repair the cause: it goes on by itself. Nothing of the write was kept",
    NotShown = 503 "not-shown" "Committed, and not shown yet" "do not send it again. See `stopped` in /v1/status and repair the cause: it is shown by itself; read it with `at_least` and the `token`",
    DiskFull = 507 "disk-full" "The disk refused" "free space at the server, then send it again; nothing of it was kept",
    Damaged = 500 "damaged" "Stored bytes are not what they were" "see its log; restore the server from a copy",
    Failed = 500 "failed" "The server failed" "see its log",
}
