//! A data folder: who the server is, which databases it holds, and that nobody else has it open.
//!
//! ```text
//! DIR/FORMAT            "apograph data folder 1"
//! DIR/LOCK              held by the running process, with its process id
//! DIR/server.json       ServerSettings
//! DIR/server.key        Ed25519 secret key and its public half, 0600
//! DIR/NAME.made            of a primary: which database is in databases/NAME
//! DIR/databases/NAME/   database.json (0600: it holds digest keys), partitions/NNN/{journal,store}, spool/
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};

use apograph_format::ServerKey;

use crate::database::open::OpenError;
use crate::database::part::finish_taking_in;
use crate::database::{Database, DatabaseFile, Drive, Handshake};
use crate::settings::ServerSettings;
use crate::status::ServerIdentity;

const FORMAT: &str = "apograph data folder 1\n";

/// An open data folder. Nobody else can open it until this is dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    settings: ServerSettings,
    key: SigningKey,
    drive: Drive,
    _lock: File,
}

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Nothing was initialised here.
    #[error("{} is no Apograph data folder", path.display())]
    NotAFolder {
        /// The folder.
        path: PathBuf,
    },
    /// There is something in it already.
    #[error("{} is not empty", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// Another process has it open.
    #[error("{} is in use by process {process}", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
        /// Its id, or what the lock file says.
        process: String,
    },
    /// Written by other software.
    #[error("{} has the format {found:?}; this software reads {FORMAT:?}", path.display())]
    Format {
        /// The folder.
        path: PathBuf,
        /// What its FORMAT file says.
        found: String,
    },
    /// A file in it cannot be understood.
    #[error("{} cannot be understood: {reason}", path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file in it is not what was written, or is gone.
    #[error("{} is damaged: {reason}; put it back from a backup, or as the manual says under \"Damage\"", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The disk refused.
    #[error("{}: {error}", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What the disk said.
        error: io::Error,
    },
}

impl Folder {
    /// Makes a new data folder, with a new key. An existing folder must be empty.
    pub fn init(path: &Path, settings: &ServerSettings) -> Result<Folder, FolderError> {
        fs::create_dir_all(path).map_err(disk(path))?;
        if fs::read_dir(path).map_err(disk(path))?.next().is_some() {
            return Err(FolderError::NotEmpty { path: path.to_owned() });
        }
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|error| FolderError::Disk {
            path: path.to_owned(),
            error: io::Error::other(error.to_string()),
        })?;
        write_secret(&path.join("server.key"), key_text(&SigningKey::from_bytes(&secret)).as_bytes())?;
        write_json(&path.join("server.json"), settings)?;
        fs::create_dir_all(path.join("databases")).map_err(disk(path))?;
        // Last, so that an interrupted init is not taken for a data folder.
        write_secret(&path.join("FORMAT"), FORMAT.as_bytes())?;
        // Its own name as well: whatever is acknowledged in it is gone without.
        sync_name(path).map_err(disk(path))?;
        Folder::open(path)
    }

    /// Opens a data folder and keeps others out.
    pub fn open(path: &Path) -> Result<Folder, FolderError> {
        match fs::read_to_string(path.join("FORMAT")) {
            Ok(format) if format == FORMAT => {}
            Ok(found) => {
                return Err(FolderError::Format { path: path.to_owned(), found: found.trim().into() });
            }
            Err(_) => return Err(FolderError::NotAFolder { path: path.to_owned() }),
        }
        let lock = take_lock(path)?;
        let settings = read_json(&path.join("server.json"))?;
        let key_path = path.join("server.key");
        let text = fs::read(&key_path).map_err(disk(&key_path))?;
        let key = parse_key(&text).map_err(|reason| FolderError::Damaged { path: key_path, reason })?;
        Ok(Folder { path: path.to_owned(), settings, key, drive: Drive::Threads, _lock: lock })
    }

    /// The databases that are opened from here on have no threads: nothing happens in them but when somebody calls
    /// [`Database::step`], [`Database::idle`] and [`Database::maintain`]. For simulation: one thread then runs many
    /// servers, always in the same order.
    #[must_use]
    pub fn driven_by_steps(self) -> Folder {
        Folder { drive: Drive::Steps, ..self }
    }

    pub(crate) fn drive(&self) -> Drive {
        self.drive
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it was told.
    pub fn settings(&self) -> &ServerSettings {
        &self.settings
    }

    /// Who this server is.
    pub fn identity(&self) -> ServerIdentity {
        ServerIdentity {
            name: self.settings.name.clone(),
            key: ServerKey(self.key.verifying_key().to_bytes()),
            url: Some(self.settings.public_url()),
        }
    }

    /// The server's secret key.
    pub fn signing_key(&self) -> &SigningKey {
        &self.key
    }

    /// Opens a database. A primary's is created when it is not there; a copy's comes into being when it is
    /// [adopted](Folder::adopt), and is `None` before.
    pub fn database(&self, name: &str) -> Result<Option<Database>, OpenError> {
        let Some(settings) = self.settings.databases.get(name) else {
            return Ok(None);
        };
        let path = self.database_path(name);
        let file = match DatabaseFile::read(&path)? {
            Some(file) => finish_taking_in(&path, file)?,
            None if settings.role == crate::Role::Primary => {
                self.check_never_made(name)?;
                let file = DatabaseFile::new_primary(self, settings)?;
                file.write(&path)?;
                file
            }
            None => return Ok(None),
        };
        if file.role == crate::Role::Primary {
            self.note_made(name, &file)?;
        }
        Database::open(self, name, &path, settings, file).map(Some)
    }

    /// A copy has met its source for the first time: pins the primary's key and makes the database.
    pub fn adopt(&self, name: &str, handshake: &Handshake) -> Result<Database, OpenError> {
        let Some(settings) = self.settings.databases.get(name) else {
            return Err(OpenError::Unknown { name: name.to_owned() });
        };
        let path = self.database_path(name);
        if DatabaseFile::read(&path)?.is_none() {
            let file = DatabaseFile::of_copy(settings, handshake)?;
            file.check_source(handshake)?;
            file.write(&path)?;
        }
        let opened = self.database(name)?;
        opened.ok_or_else(|| OpenError::Unknown { name: name.to_owned() })
    }

    /// A primary whose database is gone does not begin another one under its name, as if nothing had been.
    fn check_never_made(&self, name: &str) -> Result<(), FolderError> {
        for made in [self.made_path(name), self.made_path_of_before(name)] {
            let id = match fs::read_to_string(&made) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                id => id.map_err(disk(&made))?,
            };
            return Err(FolderError::Damaged {
                path: self.database_path(name),
                reason: format!(
                    "the database {} was here, and is gone (to begin another one, remove {})",
                    id.trim(),
                    made.display()
                ),
            });
        }
        Ok(())
    }

    /// From now on the database is missed when it is gone. Durable on return.
    fn note_made(&self, name: &str, file: &DatabaseFile) -> Result<(), FolderError> {
        let (made, id) = (self.made_path(name), format!("{}\n", file.id));
        let is_noted = fs::read_to_string(&made).is_ok_and(|noted| noted == id);
        if !is_noted {
            write_secret(&made, id.as_bytes())?;
        }
        let before = self.made_path_of_before(name);
        match fs::remove_file(&before) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(disk(&before)(error)),
            _ => Ok(()),
        }
    }

    /// Not beside the database: who loses the folder of all databases loses what is in it.
    fn made_path(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.made"))
    }

    /// Where it was at first.
    fn made_path_of_before(&self, name: &str) -> PathBuf {
        self.path.join("databases").join(format!("{name}.made"))
    }

    /// Where a database of this name is, or would be.
    pub fn database_path(&self, name: &str) -> PathBuf {
        self.path.join("databases").join(name)
    }
}

/// The secret key, and behind it its public half: a digit that changed would be another server.
fn key_text(key: &SigningKey) -> String {
    format!("{}\n{}\n", hex::encode(key.to_bytes()), hex::encode(key.verifying_key().to_bytes()))
}

/// A key alone is one from before its public half was written down.
fn parse_key(text: &[u8]) -> Result<SigningKey, String> {
    let text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
    let (secret, public) = text.split_once('\n').unwrap_or((text, ""));
    let mut bytes = [0; 32];
    hex::decode_to_slice(secret.trim(), &mut bytes).map_err(|error| error.to_string())?;
    let key = SigningKey::from_bytes(&bytes);
    if public.is_empty() || text == key_text(&key) {
        Ok(key)
    } else {
        Err("its two halves do not belong together".into())
    }
}

fn take_lock(path: &Path) -> Result<File, FolderError> {
    let lock_path = path.join("LOCK");
    let mut lock = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&lock_path)
        .map_err(disk(&lock_path))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut process = String::new();
            let _ = lock.read_to_string(&mut process);
            return Err(FolderError::InUse { path: path.to_owned(), process: process.trim().to_owned() });
        }
        Err(TryLockError::Error(error)) => return Err(FolderError::Disk { path: lock_path, error }),
    }
    lock.set_len(0).and_then(|()| write!(lock, "{}", std::process::id())).map_err(disk(&lock_path))?;
    Ok(lock)
}

/// Writes a file that only its owner may read, whole or not at all, durable on return.
pub fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), FolderError> {
    let temporary = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut file =
            File::options().create(true).truncate(true).write(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    write().map_err(disk(path))
}

/// The name of a file or folder is durable on return.
pub(crate) fn sync_name(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// Writes JSON for people into a file that only its owner may read, whole or not at all, durable on return.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), FolderError> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| FolderError::Settings { path: path.to_owned(), reason: error.to_string() })?;
    write_secret(path, (text + "\n").as_bytes())
}

pub(crate) fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, FolderError> {
    let text = fs::read_to_string(path).map_err(disk(path))?;
    serde_json::from_str(&text)
        .map_err(|error| FolderError::Settings { path: path.to_owned(), reason: error.to_string() })
}

pub(crate) fn disk(path: &Path) -> impl FnOnce(io::Error) -> FolderError {
    move |error| FolderError::Disk { path: path.to_owned(), error }
}

/// Databases by name, for those who build settings.
pub type Databases = BTreeMap<String, crate::settings::DatabaseSettings>;
