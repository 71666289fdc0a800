//! Creating and opening for writing.

use std::fs::{self, TryLockError};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use apograph_format::Position;
use apograph_format::segment::SEGMENT_HEADER_BYTES;

use crate::acknowledged::{self, Acknowledged, Record};
use crate::disk::Disk;
use crate::erasing;
use crate::error::{Damage, Fault, IoFailure};
use crate::folder::{segment_names, segment_path};
use crate::inspect::{Inspection, Recovery, Repair, inspect};
use crate::journal::{Journal, OpenSegment};
use crate::locate::walk_to;
use crate::options::{Beginning, Identity, Options};
use crate::shared::{Shared, State};
use crate::tail::Tail;

/// Bytes that are written again at once.
const PIECE_BYTES: usize = 1 << 20;

/// Why a journal cannot be created.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CreateError {
    /// There is one already.
    #[error("{} holds a journal already", dir.display())]
    Exists {
        /// The folder.
        dir: PathBuf,
    },
    /// The folder cannot be written.
    #[error(transparent)]
    Io(#[from] IoFailure),
    /// It was created, and cannot be opened.
    #[error(transparent)]
    Open(#[from] Box<OpenError>),
}

/// Why a journal cannot be opened. Nothing in the folder was changed, unless the error is [`OpenError::Io`].
#[derive(Debug, Clone, thiserror::Error)]
pub enum OpenError {
    /// No journal was created here, or its creation was interrupted: create it.
    #[error("{} holds no journal", dir.display())]
    Empty {
        /// The folder.
        dir: PathBuf,
    },
    /// Another writer has it open.
    #[error("{} is open in another process or place", dir.display())]
    Locked {
        /// The folder.
        dir: PathBuf,
    },
    /// Written by software of another format version.
    #[error("{} has format version {found}, which this software does not know", file.display())]
    Format {
        /// The file.
        file: PathBuf,
        /// Its version.
        found: u16,
    },
    /// Another database, view or partition.
    #[error("{} belongs to {found}; expected {expected}", file.display())]
    Foreign {
        /// The file.
        file: PathBuf,
        /// What was asked for, or what the other segments say.
        expected: Box<Identity>,
        /// What its header says.
        found: Box<Identity>,
    },
    /// Bytes that were durable are damaged or missing.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// It ends before an entry that was acknowledged, or that is known to have been durable.
    #[error("the journal ends at {found}, but entry {acknowledged} was acknowledged: entries were lost")]
    Shorter {
        /// Sequence that it should at least reach.
        acknowledged: u64,
        /// Its end.
        found: Position,
    },
    /// The operating system refused something.
    #[error(transparent)]
    Io(#[from] IoFailure),
}

impl Journal {
    /// Creates the folder and in it a journal that begins at `beginning`. Durable on return, folder included.
    /// A creation that was interrupted may be repeated.
    pub fn create(
        dir: &Path,
        identity: Identity,
        options: Options,
        beginning: Beginning,
    ) -> Result<Journal, CreateError> {
        Journal::create_on(Disk::default(), dir, identity, options, beginning)
    }

    /// Opens a journal, and repairs what a crash may leave: a torn tail is cut, a rotation or an erasure finished.
    /// What a crash cannot explain is an error, and then nothing was changed. With `identity` it must be that one's.
    pub fn open(
        dir: &Path,
        identity: Option<&Identity>,
        options: Options,
    ) -> Result<(Journal, Recovery), OpenError> {
        Journal::open_on(Disk::default(), dir, identity, options)
    }

    pub(crate) fn create_on(
        disk: Disk,
        dir: &Path,
        identity: Identity,
        options: Options,
        beginning: Beginning,
    ) -> Result<Journal, CreateError> {
        fs::create_dir_all(dir).map_err(IoFailure::of("create", dir))?;
        let record = Record {
            position: beginning.after,
            kept_after: beginning.after.sequence,
            bytes_before: beginning.bytes,
        };
        if !is_vacant(dir, &record)? {
            return Err(CreateError::Exists { dir: dir.to_owned() });
        }
        let file = disk.open(&Acknowledged::path(dir), true)?;
        Acknowledged::create(&disk, file, dir, record)?;
        let header = identity.segment_after(beginning.after, beginning.timestamp);
        let path = segment_path(dir, &header.file_name(), true);
        let file = disk.open(&path, true)?;
        disk.write(&file, &path, &header.encode(), 0)?;
        disk.sync(&file, &path)?;
        disk.sync_folder(dir)?;
        if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            disk.sync_folder(parent)?;
        }
        let (journal, _) = Journal::open_on(disk, dir, Some(&identity), options).map_err(Box::new)?;
        Ok(journal)
    }

    pub(crate) fn open_on(
        disk: Disk,
        dir: &Path,
        identity: Option<&Identity>,
        options: Options,
    ) -> Result<(Journal, Recovery), OpenError> {
        let acknowledged = lock(&disk, dir)?;
        let inspection = inspect(dir, identity, options.is_copy)?;
        for damage in &inspection.acknowledged.damage {
            tracing::warn!(%damage, "a write of the acknowledged position was torn; the one before is taken");
        }
        let acknowledged = Acknowledged::new(acknowledged, dir, &inspection.acknowledged);
        let recovery = repair(&disk, dir, &inspection)?;
        let shared = Arc::new(Shared::new(State::new(&inspection, options.tail_bytes_max, 0)));
        let open = OpenSegment::of(&disk, &inspection)?;
        // What a killed process wrote and did not sync is in the system's memory, perhaps: durable is what was synced.
        // Older segments were, before this one began.
        write_again(&disk, &open, inspection.acknowledged.record.position.sequence)?;
        disk.sync(&open.file, &open.segment.path())?;
        disk.sync_folder(dir)?;
        let journal = Journal {
            dir: dir.to_owned(),
            identity: inspection.identity,
            options,
            disk,
            shared,
            acknowledged,
            open,
            end: inspection.end,
            durable: inspection.end.after,
            ended: Vec::new(),
            pending: Tail::new(options.tail_bytes_max),
            closing: None,
            bytes_before: inspection.bytes_before,
            poisoned: None,
        };
        Ok((journal, recovery))
    }
}

impl OpenSegment {
    /// The newest segment, after all repairs.
    pub(crate) fn of(disk: &Disk, inspection: &Inspection) -> Result<OpenSegment, IoFailure> {
        let newest = inspection.slots.last().expect("an inspection finds at least one segment");
        let file = disk.open(&newest.segment.path(), false)?;
        Ok(OpenSegment {
            segment: Arc::clone(&newest.segment),
            file,
            written: newest.bytes,
            length: newest.bytes,
            buffer: Vec::new(),
            first_timestamp: newest.first_timestamp,
        })
    }
}

/// Writes the open segment again behind what was acknowledged, and so surely synced. A sync that failed leaves in the
/// system's memory what is not on the disk, as if it were: no later sync writes that, unless it is written again.
fn write_again(disk: &Disk, open: &OpenSegment, acknowledged: u64) -> Result<(), OpenError> {
    let segment = Arc::clone(&open.segment);
    let path = segment.path();
    let mut offset = match acknowledged.checked_sub(segment.header.first_sequence()) {
        None => 0,
        Some(_) => match walk_to(segment, open.written, acknowledged) {
            Ok(walk) => walk.place.offset,
            Err(Fault::Io(failure)) => return Err(failure.into()),
            Err(Fault::Damaged(damage)) => return Err(damage.into()),
        },
    };
    let mut piece = vec![0; PIECE_BYTES];
    while offset < open.written {
        let length = open.written.saturating_sub(offset).min(PIECE_BYTES as u64);
        let bytes = piece.get_mut(..usize::try_from(length).unwrap_or(PIECE_BYTES)).unwrap_or_default();
        open.file.read_exact_at(bytes, offset).map_err(IoFailure::of("read", &path))?;
        disk.write(&open.file, &path, bytes, offset)?;
        offset += length;
    }
    Ok(())
}

/// Nothing is here, or the beginning of the very same creation.
fn is_vacant(dir: &Path, record: &Record) -> Result<bool, IoFailure> {
    for name in segment_names(dir)? {
        let bytes = fs::metadata(&name.path).map_err(IoFailure::of("read", &name.path))?.len();
        if bytes >= SEGMENT_HEADER_BYTES as u64 || name.first != record.kept_after + 1 {
            return Ok(false);
        }
    }
    Ok(match acknowledged::read(dir) {
        Ok(reading) => reading.record == *record,
        Err(acknowledged::Unreadable::Missing | acknowledged::Unreadable::Damaged(_)) => true,
        Err(acknowledged::Unreadable::Format(_)) => false,
        Err(acknowledged::Unreadable::Io(failure)) => return Err(failure),
    })
}

/// The one writer holds the lock of the `acknowledged` file until it is dropped.
fn lock(disk: &Disk, dir: &Path) -> Result<fs::File, OpenError> {
    let path = Acknowledged::path(dir);
    let missing = |failure: IoFailure| match failure.error.kind() {
        std::io::ErrorKind::NotFound => without_lock(dir),
        _ => failure.into(),
    };
    let file = disk.open(&path, false).map_err(missing)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { dir: dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(IoFailure::of("lock", &path)(error).into()),
    }
}

/// Without the file nothing can be opened; an inspection says why.
fn without_lock(dir: &Path) -> OpenError {
    match inspect(dir, None, false) {
        Err(OpenError::Io(failure)) if failure.error.kind() != std::io::ErrorKind::NotFound => failure.into(),
        Err(OpenError::Damaged(damage)) => damage.into(),
        Ok(_) | Err(_) => OpenError::Empty { dir: dir.to_owned() },
    }
}

/// Does what the inspection found necessary. Interrupted, the next inspection finds the rest.
pub(crate) fn repair(disk: &Disk, dir: &Path, inspection: &Inspection) -> Result<Recovery, IoFailure> {
    let mut recovery = inspection.recovery.clone();
    if let Some(torn) = &recovery.torn_tail {
        let (file, offset, bytes, reason) = (torn.file.display(), torn.offset, torn.bytes, &torn.reason);
        tracing::warn!(%file, offset, bytes, %reason, "the journal ends with a torn entry, which is cut");
    }
    for repair in &inspection.repairs {
        match repair {
            Repair::Remove(path) => disk.remove(path)?,
            Repair::Rename { from, to } => {
                disk.rename(from, to)?;
                let renamed = inspection.slots.iter().find(|slot| slot.segment.path() == *from);
                if let Some(slot) = renamed {
                    slot.segment.renamed(to);
                }
            }
            Repair::Truncate { path, length } => {
                let file = disk.open(path, false)?;
                disk.truncate(&file, path, *length)?;
                disk.sync(&file, path)?;
            }
        }
    }
    if !inspection.repairs.is_empty() {
        disk.sync_folder(dir)?;
    }
    if let Some(targets) = &inspection.erasing {
        let paths =
            inspection.slots.iter().map(|slot| (slot.segment.header.first_sequence(), slot.segment.path()));
        let files = paths.collect::<Vec<_>>();
        recovery.erased = super::erase::finish(disk, &files, targets)?;
        erasing::remove(disk, dir)?;
    }
    Ok(recovery)
}
