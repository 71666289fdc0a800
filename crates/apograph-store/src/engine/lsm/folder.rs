//! The folder of a store: its lock, and the small header file that carries format and horizon.
//!
//! ```text
//! apograph-store 2        format of the folder; 1 had no tree of values
//! state ready             or "creating", until all trees exist
//! horizon 1732226400000000
//! crc32c 8c28b28a         of all lines before
//! ```

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use crate::engine::EngineError;

const FORMAT: u32 = 2;
/// Is taken for what it is, and is the newest from then on.
const FORMAT_BEFORE: u32 = 1;
const HEADER_FILE: &str = "header";
const HEADER_FILE_NEW: &str = "header.new";
const LOCK_FILE: &str = "lock";

pub(super) struct Folder {
    path: PathBuf,
    header: Mutex<Header>,
    /// Held open: the lock lives as long as the file.
    _lock: File,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    format: u32,
    ready: bool,
    horizon: u64,
}

impl Folder {
    /// Locks a folder, made if absent, and reads its header, written if the folder is empty.
    pub(super) fn lock(path: PathBuf) -> Result<Self, EngineError> {
        fs::create_dir_all(&path).map_err(|source| io_error(&path, source))?;
        let lock_path = path.join(LOCK_FILE);
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path);
        let lock = lock.map_err(|source| io_error(&lock_path, source))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(EngineError::InUse { path }),
            Err(TryLockError::Error(source)) => return Err(io_error(&lock_path, source)),
        }
        let header = match read_header(&path)? {
            Some(header) => header,
            None => create_header(&path)?,
        };
        Ok(Self { path, header: Mutex::new(header), _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the trees may be absent.
    pub(super) fn is_new(&self) -> bool {
        !self.header.lock().unwrap_or_else(PoisonError::into_inner).ready
    }

    pub(super) fn horizon(&self) -> u64 {
        self.header.lock().unwrap_or_else(PoisonError::into_inner).horizon
    }

    /// The header as it stands in its file.
    pub(super) fn header_bytes(&self) -> Vec<u8> {
        let header = *self.header.lock().unwrap_or_else(PoisonError::into_inner);
        encode_header(header).into_bytes()
    }

    /// Whether the tree of values may be absent.
    pub(super) fn is_of_before(&self) -> bool {
        self.header.lock().unwrap_or_else(PoisonError::into_inner).format < FORMAT
    }

    /// All trees exist: from now on an absent one is damage.
    pub(super) fn created(&self) -> Result<(), EngineError> {
        self.change(|header| Header { format: FORMAT, ready: true, ..header })
    }

    pub(super) fn raise_horizon(&self, to: u64) -> Result<(), EngineError> {
        self.change(|header| Header { horizon: header.horizon.max(to), ..header })
    }

    fn change(&self, change: impl FnOnce(Header) -> Header) -> Result<(), EngineError> {
        let mut header = self.header.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change(*header);
        if changed != *header {
            write_header(&self.path, changed)?;
            *header = changed;
        }
        Ok(())
    }
}

fn create_header(folder: &Path) -> Result<Header, EngineError> {
    let entries = fs::read_dir(folder).map_err(|source| io_error(folder, source))?;
    for entry in entries {
        let name = entry.map_err(|source| io_error(folder, source))?.file_name();
        if name != LOCK_FILE && name != HEADER_FILE_NEW {
            let detail = format!("no {HEADER_FILE} file, but {}", name.display());
            return Err(EngineError::Damaged { path: folder.to_path_buf(), detail });
        }
    }
    let header = Header { format: FORMAT, ready: false, horizon: 0 };
    write_header(folder, header)?;
    Ok(header)
}

fn read_header(folder: &Path) -> Result<Option<Header>, EngineError> {
    let path = folder.join(HEADER_FILE);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(io_error(&path, source)),
    };
    let damaged = || EngineError::Damaged { path: path.clone(), detail: "not a store header".to_owned() };
    let text = std::str::from_utf8(&bytes).map_err(|_| damaged())?;
    let (body, checksum) = text.rsplit_once("crc32c ").ok_or_else(damaged)?;
    if checksum != format!("{:08x}\n", crc32c::crc32c(body.as_bytes())) {
        return Err(damaged());
    }
    let mut lines = body.lines();
    let mut field = |name: &str| {
        lines.next().and_then(|line| line.strip_prefix(name)?.strip_prefix(' ')).ok_or_else(damaged)
    };
    let found = field("apograph-store")?;
    let Some(format) = [FORMAT_BEFORE, FORMAT].into_iter().find(|format| format.to_string() == found) else {
        let (path, found) = (folder.to_path_buf(), found.to_owned());
        return Err(EngineError::Format { path, found, supported: FORMAT });
    };
    let ready = field("state")? == "ready";
    let horizon = field("horizon")?.parse().map_err(|_| damaged())?;
    Ok(Some(Header { format, ready, horizon }))
}

fn encode_header(header: Header) -> String {
    let state = if header.ready { "ready" } else { "creating" };
    let body = format!("apograph-store {}\nstate {state}\nhorizon {}\n", header.format, header.horizon);
    format!("{body}crc32c {:08x}\n", crc32c::crc32c(body.as_bytes()))
}

/// Replaces the header durably: written beside, synced, renamed, folder synced.
fn write_header(folder: &Path, header: Header) -> Result<(), EngineError> {
    let text = encode_header(header);
    let new = folder.join(HEADER_FILE_NEW);
    let write = || {
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, folder.join(HEADER_FILE))?;
        sync_folder(folder)
    };
    write().map_err(|source| io_error(&new, source))
}

pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

pub(super) fn io_error(path: &Path, source: io::Error) -> EngineError {
    EngineError::Io { path: path.to_path_buf(), source }
}
