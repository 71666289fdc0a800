//! Contents on their way in: cut into chunks and hashed while they arrive, so that none is ever whole in memory.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use apograph_format::limits::{CHUNK_BYTES_MAX, CONTENT_BYTES_MAX};
use apograph_format::{ContentFact, Hash};

use crate::transaction::ContentBytes;

/// A content on disk, cut and hashed. The file goes when the last clone goes.
#[derive(Debug, Clone)]
pub struct SpooledContent {
    fact: Arc<ContentFact>,
    file: Arc<SpoolFile>,
}

/// Takes a content in, piece by piece. Dropping it forgets what came so far.
#[derive(Debug)]
pub struct Spool {
    directory: PathBuf,
    whole: blake3::Hasher,
    chunk: Vec<u8>,
    chunks: Vec<Hash>,
    bytes: u64,
    file: Option<SpoolFile>,
}

/// Why a content was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Larger than a content may be.
    #[error("a content has at most {CONTENT_BYTES_MAX} bytes")]
    TooLarge,
    /// The disk refused.
    #[error("the content could not be kept while it arrived: {0}")]
    Disk(#[from] io::Error),
}

/// A file that goes when it is dropped, and at the next start at the latest.
#[derive(Debug)]
pub(crate) struct SpoolFile {
    path: PathBuf,
    file: File,
}

impl SpoolFile {
    /// A new one, named after what it holds.
    pub(crate) fn create(directory: &Path, what: &str) -> io::Result<SpoolFile> {
        let path = directory.join(format!("{}.{what}", random_name()?));
        let file = File::options().create_new(true).read(true).write(true).open(&path)?;
        Ok(SpoolFile { path, file })
    }

    pub(crate) fn file(&mut self) -> &mut File {
        &mut self.file
    }
}

impl Drop for SpoolFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a spooled content stays behind until the next start");
        }
    }
}

impl Spool {
    pub(crate) fn new(directory: &Path) -> Spool {
        Spool {
            directory: directory.to_owned(),
            whole: blake3::Hasher::new(),
            chunk: Vec::new(),
            chunks: Vec::new(),
            bytes: 0,
            file: None,
        }
    }

    /// Takes more bytes in. Holds at most one chunk in memory.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), SpoolError> {
        if self.bytes + bytes.len() as u64 > CONTENT_BYTES_MAX {
            return Err(SpoolError::TooLarge);
        }
        self.whole.update(bytes);
        self.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            if self.chunk.len() == CHUNK_BYTES_MAX {
                self.put_away()?;
            }
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK_BYTES_MAX - self.chunk.len()));
            self.chunk.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    /// All bytes came. Small contents never touched the disk.
    pub fn finish(mut self) -> Result<ContentBytes, SpoolError> {
        if self.file.is_none() {
            return Ok(ContentBytes::Inline(Bytes::from(self.chunk)));
        }
        self.put_away()?;
        let file = Arc::new(self.file.take().expect("put_away opened it"));
        let hash = Hash(*self.whole.finalize().as_bytes());
        let fact = Arc::new(ContentFact { hash, bytes: self.bytes, chunks: self.chunks });
        Ok(ContentBytes::Spooled(SpooledContent { fact, file }))
    }

    fn put_away(&mut self) -> Result<(), SpoolError> {
        if self.file.is_none() {
            self.file = Some(SpoolFile::create(&self.directory, "content")?);
        }
        if let Some(spool) = &mut self.file {
            spool.file.write_all(&self.chunk)?;
        }
        self.chunks.push(Hash::of(&self.chunk));
        self.chunk.clear();
        Ok(())
    }
}

impl SpooledContent {
    pub(crate) fn fact(&self) -> &ContentFact {
        &self.fact
    }

    /// Reads one chunk back.
    pub(crate) fn chunk(&self, index: usize) -> io::Result<Bytes> {
        let start = index as u64 * CHUNK_BYTES_MAX as u64;
        let length = (self.fact.bytes - start).min(CHUNK_BYTES_MAX as u64);
        let mut file = &self.file.file;
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(length).read_to_end(&mut bytes)?;
        Ok(bytes.into())
    }
}

pub(crate) fn random_name() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(hex::encode(bytes))
}
