//! How much memory and disk the engine on disk uses.

/// How an [`Lsm`](super::Lsm) uses memory and disk. The defaults keep one partition around 100 MiB resident.
#[derive(Debug, Clone, Copy)]
pub struct LsmOptions {
    /// A memtable of this size is due to be flushed; twice the size stops the writer. Per space.
    pub memtable_bytes: u64,
    /// Blocks kept in memory, both spaces together.
    pub cache_bytes: u64,
    /// Table files kept open, both spaces together.
    pub open_files_max: usize,
    /// Of data blocks, in new tables.
    pub compression: Compression,
    /// Uncompressed size of a data block: larger compresses better, smaller reads less.
    pub block_bytes: u32,
    /// Bodies from this size on stand apart, where no merge writes them again.
    pub apart_bytes: usize,
    /// What a flush that nobody waits for writes in a second. Measured: `docs/synchronization-runs.md`.
    pub flush_bytes_per_second: u64,
    /// What a merge that nobody waits for reads in a second. Measured: `docs/synchronization-runs.md`.
    pub merge_bytes_per_second: u64,
}

impl Default for LsmOptions {
    fn default() -> Self {
        Self {
            memtable_bytes: 16 << 20,
            cache_bytes: 32 << 20,
            open_files_max: 256,
            compression: Compression::None,
            block_bytes: 4 << 10,
            apart_bytes: 256,
            flush_bytes_per_second: 48 << 20,
            merge_bytes_per_second: 32 << 20,
        }
    }
}

/// Compression of data blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// As they are.
    None,
    /// LZ4. Every merge compresses again, so it costs more time than it looks; measured in decision 0002.
    Lz4,
}
