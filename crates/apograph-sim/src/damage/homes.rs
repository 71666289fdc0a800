//! The data folders that are damaged: one of every role, and of what roles leave behind.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use apograph::database::roles::Promote;
use apograph::format::{Timestamp, View};
use apograph::{Database, Folder, Role};
use bytes::BytesMut;

use super::look::{Looked, Shown, look};
use crate::scene::{Server, Source, begin, pump, settings};
use crate::script::{Do, Script, Step, transaction};

/// A data folder whose server is stopped.
pub(super) struct Home {
    pub(super) name: &'static str,
    pub(super) path: PathBuf,
    /// What may be shown: as it was, or, where its end was not acknowledged, as it was before.
    pub(super) shows: Vec<Shown>,
    /// It is asked for these moments as well.
    pub(super) moments: Vec<Timestamp>,
    /// Where the open segments end of which nothing behind was acknowledged, by partition: only what is behind is
    /// damaged then.
    pub(super) tail: Option<Vec<(PathBuf, u64)>>,
}

/// All of them, and the server that the copies among them come from, which runs.
pub(super) struct Homes {
    pub(super) homes: Vec<Home>,
    pub(super) source: Source,
    _dir: tempfile::TempDir,
}

const PARTITIONS: u16 = 3;

impl Homes {
    /// Makes them.
    pub(super) fn make(scratch: tempfile::TempDir) -> Homes {
        let dir = scratch.path();
        let (primary, source) = primary(dir);
        let mut homes = vec![
            primary,
            followed(dir, "replica", Role::Replica, &source),
            followed(dir, "staging", Role::Staging, &source),
            synchronizing(dir, &source),
            held(dir, &source),
            former(dir),
        ];
        homes.push(tail(dir, &homes[1], &source));
        Homes { homes, source, _dir: scratch }
    }
}

fn home(name: &'static str, path: PathBuf, moments: Vec<Timestamp>) -> Home {
    let shows = as_it_is(&path, &moments);
    // Looking changes nothing that can be seen.
    assert_eq!(shows.difference(&as_it_is(&path, &moments)), "", "{name}");
    Home { name, path, shows: vec![shows], moments, tail: None }
}

/// What a sound folder shows. Its own copy is started: a start writes.
fn as_it_is(path: &Path, moments: &[Timestamp]) -> Shown {
    let dir = super::scratch().unwrap();
    let copy = dir.path().join("home");
    copy_folder(path, &copy).unwrap();
    match look(&copy, moments) {
        Looked::Shows(shown) => shown,
        other => panic!("{}: {other:?}", path.display()),
    }
}

/// A primary that is stopped, and the same one, going on.
fn primary(dir: &Path) -> (Home, Source) {
    let running = super::scratch().unwrap();
    let path = running.path().join("primary");
    drop(Folder::init(&path, &settings(Role::Primary, PARTITIONS)).unwrap());
    let moments = crate::scene::perform(&path, &Script::new(4), || 0);
    let some = moments.iter().map(|moment| moment.at).step_by(6).collect();
    let stopped = dir.join("primary");
    copy_folder(&path, &stopped).unwrap();
    (home("primary", stopped, some), Source::over(running, View::Full))
}

fn followed(dir: &Path, name: &'static str, role: Role, source: &Source) -> Home {
    let path = dir.join(name);
    drop(Folder::init(&path, &settings(role, PARTITIONS)).unwrap());
    let mut server = source.adopt_as(&path, role.view());
    let mut turns = 0;
    let mut moments = Vec::new();
    loop {
        let mut moved = false;
        for partition in server.database.partitioning().all() {
            moved |= pump(&source.server.database, &server.database, partition, 4);
        }
        turns += 1;
        if turns % 7 == 0 {
            moments.push(server.database.visible());
            server.stop();
            server = Server::start(&path);
        }
        if !moved {
            break;
        }
    }
    server.stop();
    home(name, path, moments)
}

/// A copy that has a part of a synchronization.
fn synchronizing(dir: &Path, source: &Source) -> Home {
    let path = dir.join("synchronizing");
    let server = begun(&path, source);
    let (source, copy) = (&source.server.database, &server.database);
    let snapshot = copy.sync_marker().unwrap().snapshot;
    for of in snapshot.partitions.iter().take(2) {
        let mut transfer = copy.transfer(&snapshot, of, Default::default()).unwrap();
        for _ in 0..8 {
            let Some(question) = transfer.next_question().unwrap() else { break };
            answer(source, &mut transfer, question, |_| ());
        }
    }
    // As if it was killed: what came stands in the log.
    let copied = dir.join("killed");
    copy_folder(&path, &copied).unwrap();
    server.stop();
    fs::remove_dir_all(&path).unwrap();
    fs::rename(copied, &path).unwrap();
    home("synchronizing", path, Vec::new())
}

/// A copy that synchronized, and could not take a document.
fn held(dir: &Path, source: &Source) -> Home {
    let path = dir.join("held");
    let server = begun(&path, source);
    let (source, copy) = (&source.server.database, &server.database);
    let snapshot = copy.sync_marker().unwrap().snapshot;
    for of in &snapshot.partitions {
        let mut transfer = copy.transfer(&snapshot, of, Default::default()).unwrap();
        while let Some(question) = transfer.next_question().unwrap() {
            answer(source, &mut transfer, question, |frames| with_an_unknown_kind(frames, "/e"));
        }
    }
    copy.finish_sync(0).unwrap();
    let uri = apograph::format::Uri::parse("/e").unwrap();
    assert!(copy.drop_held(&uri, "nobody needs it").unwrap());
    server.stop();
    home("held", path, Vec::new())
}

fn begun(path: &Path, source: &Source) -> Server {
    drop(Folder::init(path, &settings(Role::Replica, PARTITIONS)).unwrap());
    let server = source.adopt(path);
    for partition in server.database.partitioning().all() {
        for _ in 0..4 {
            pump(&source.server.database, &server.database, partition, 3);
        }
    }
    let floor = server.database.sync_floor();
    begin(&server.database, source.server.database.snapshot(View::Full, floor).unwrap());
    server
}

fn answer(
    source: &Database,
    transfer: &mut apograph::synchronize::Transfer,
    question: apograph::format::SyncQuestion,
    alter: impl Fn(&mut [u8]),
) {
    let mut answer = source.answer(transfer.partition(), question).unwrap();
    let mut buffer = BytesMut::new();
    while let Some(piece) = answer.next(256 << 10).unwrap() {
        let mut piece = piece.to_vec();
        alter(&mut piece);
        buffer.extend_from_slice(&piece);
        if transfer.take(&mut buffer).unwrap() {
            break;
        }
    }
}

/// Whole frames of an answer, as if the source knew a kind of document that nobody here knows.
fn with_an_unknown_kind(frames: &mut [u8], uri: &str) {
    let mut rest = frames;
    while rest.len() >= 12 {
        let length = u32::from_le_bytes(rest[4..8].try_into().unwrap()) as usize;
        let (frame, behind) = rest.split_at_mut(12 + length);
        let (header, body) = frame.split_at_mut(12);
        // The URI is the first field of a document, its head is the second, the kind the first of that.
        let field = [&[0x0a, uri.len() as u8], uri.as_bytes(), &[0x12]].concat();
        if let Some(at) = body.windows(field.len()).position(|window| window == field) {
            let kind = body[at + field.len()..].iter().position(|byte| *byte == 0x08).unwrap();
            body[at + field.len() + kind + 1] = 0x7f;
            header[8..].copy_from_slice(&crc32c::crc32c(body).to_le_bytes());
        }
        rest = behind;
    }
}

/// A primary that another one replaced: it keeps what was cut off.
fn former(dir: &Path) -> Home {
    let (old_path, new_path) = (dir.join("former"), dir.join("promoted"));
    drop(Folder::init(&old_path, &settings(Role::Primary, PARTITIONS)).unwrap());
    drop(Folder::init(&new_path, &settings(Role::Replica, PARTITIONS)).unwrap());
    let old = Server::start(&old_path);
    let commit = |database: &Database, changes: &[(&'static str, Do)]| {
        database.commit(transaction(database, changes)).unwrap()
    };
    let Script(steps) = Script::new(1);
    for step in steps {
        if let Step::Commit(changes) = step {
            commit(&old.database, &changes);
        }
    }
    let folder = Folder::open(&new_path).unwrap();
    old.database.announce_copy(&folder.identity(), Role::Replica).unwrap();
    let new = folder.adopt("main", &old.database.handshake(View::Full).unwrap()).unwrap();
    for partition in new.partitioning().all() {
        while pump(&old.database, &new, partition, usize::MAX) {}
    }
    commit(&old.database, &[("/lost/1", Do::Put("one".repeat(100))), ("/c/1", Do::Put("lost".into()))]);
    let lost = commit(&old.database, &[("/lost/2", Do::Put("two".into())), ("/lost/2", Do::Publish)]);
    new.promote(Promote { reason: "a test".into(), ..Promote::default() }).unwrap();
    let since = commit(&new, &[("/since", Do::Put("since".into()))]);
    old.database.learn(new.epochs()).unwrap();
    old.database.become_replica().unwrap();
    begin(&old.database, new.snapshot(View::Full, old.database.sync_floor()).unwrap());
    crate::scene::complete(&new, &old.database);
    old.database.mark_restored(lost.token, since.token).unwrap();
    old.stop();
    new.shutdown();
    home("former", old_path, Vec::new())
}

/// The replica, as a kill would leave it: a transaction more in its journals, and nobody was told that it is there.
fn tail(dir: &Path, replica: &Home, source: &Source) -> Home {
    let path = dir.join("tail");
    copy_folder(&replica.path, &path).unwrap();
    let primary = &source.server.database;
    let ends = |path: &Path| -> Vec<(PathBuf, u64)> {
        let open = super::files(path)
            .into_iter()
            .filter(|file| super::Kind::of(file) == Some(super::Kind::OpenSegment));
        open.map(|file| {
            let bytes = fs::read(path.join(&file)).unwrap();
            let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            (file, end as u64)
        })
        .collect()
    };
    let mut before = ends(&path);
    let changes = [
        ("/a", Do::Put("behind the end".repeat(20))),
        ("/c/2", Do::Put("the same".into())),
        ("/h", Do::Trash),
    ];
    primary.commit(transaction(primary, &changes)).unwrap();
    let further = dir.join("further");
    copy_folder(&replica.path, &further).unwrap();
    let server = Server::start(&further);
    for partition in server.database.partitioning().all() {
        while pump(primary, &server.database, partition, usize::MAX) {}
    }
    server.stop();
    // Where the transaction did not fit the open segment, it begins another one: nothing is behind the end of this one.
    before.retain(|(file, _)| further.join(file).exists());
    assert!(!before.is_empty());
    for (file, _) in &before {
        fs::copy(further.join(file), path.join(file)).unwrap();
    }
    let mut home = home("tail", path, replica.moments.clone());
    home.shows.push(replica.shows[0].clone());
    home.tail = Some(before);
    home
}

/// A folder with everything in it.
pub(super) fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_folder(&entry.path(), &to)?,
            false => fs::copy(entry.path(), &to).map(drop)?,
        }
    }
    Ok(())
}
