//! The disk as a file system of the operating system.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use super::lying::Refusal;
use super::{Disk, Held, Node, Operation, State};

/// Nobody else changes anything: what the kernel knows stays so.
const TTL: Duration = Duration::from_secs(60);
const BLOCK_BYTES: u32 = 4096;

pub(super) fn mount(disk: Disk, folder: &Path) -> io::Result<BackgroundSession> {
    let mut config = Config::default();
    config.mount_options = vec![MountOption::FSName("apograph-sim".into()), MountOption::NoAtime];
    fuser::spawn_mount(disk, folder, &config)
}

impl State {
    fn attributes(&self, node: Node) -> Option<FileAttr> {
        let (kind, size) = match self.nodes.get(node)? {
            Held::Bytes(bytes) => (FileType::RegularFile, bytes.len() as u64),
            Held::Names(_) => (FileType::Directory, u64::from(BLOCK_BYTES)),
        };
        Some(FileAttr {
            ino: INodeNo(node),
            size,
            blocks: size.div_ceil(512),
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm: self.nodes.mode(node) as u16,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: BLOCK_BYTES,
            flags: 0,
        })
    }

    fn child(&self, parent: INodeNo, name: &OsStr) -> Option<Node> {
        self.nodes.names(parent.0)?.get(name).copied()
    }
}

impl From<Refusal> for Errno {
    fn from(refusal: Refusal) -> Errno {
        match refusal {
            Refusal::Io => Errno::EIO,
            Refusal::Full => Errno::ENOSPC,
        }
    }
}

impl Disk {
    /// As long as it takes; what is asked meanwhile waits, too.
    fn sync(&self, node: INodeNo, reply: ReplyEmpty) {
        let delay = self.state().sync_delay();
        if !delay.is_zero() {
            std::thread::sleep(delay);
        }
        let mut state = self.state();
        if let Err(refusal) = state.admit_sync(node.0) {
            return reply.error(refusal.into());
        }
        state.done(Operation::Sync { node: node.0 });
        reply.ok();
    }
}

impl Filesystem for Disk {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let state = self.state();
        match state.child(parent, name).and_then(|node| state.attributes(node)) {
            Some(attributes) => reply.entry(&TTL, &attributes, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, node: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.state().attributes(node.0) {
            Some(attributes) => reply.attr(&TTL, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        node: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut state = self.state();
        if let Some(mode) = mode {
            state.nodes.modes.insert(node.0, mode & 0o7777);
        }
        if let Some(length) = size {
            if let Err(refusal) = state.admit_write(node.0, length) {
                return reply.error(refusal.into());
            }
            state.done(Operation::Resize { node: node.0, length });
        }
        match state.attributes(node.0) {
            Some(attributes) => reply.attr(&TTL, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        let mut state = self.state();
        if let Err(refusal) = state.admit(true) {
            return reply.error(refusal.into());
        }
        let node = state.make(parent.0, name.to_owned(), true, mode & !umask & 0o7777);
        let attributes = state.attributes(node).expect("it was made just now");
        reply.entry(&TTL, &attributes, Generation(0));
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let mut state = self.state();
        if state.child(parent, name).is_none() {
            return reply.error(Errno::ENOENT);
        }
        if let Err(refusal) = state.admit(false) {
            return reply.error(refusal.into());
        }
        state.done(Operation::Unlink { parent: parent.0, name: name.to_owned() });
        reply.ok();
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let mut state = self.state();
        let Some(node) = state.child(parent, name) else { return reply.error(Errno::ENOENT) };
        if state.nodes.names(node).is_some_and(|names| !names.is_empty()) {
            return reply.error(Errno::ENOTEMPTY);
        }
        if let Err(refusal) = state.admit(false) {
            return reply.error(refusal.into());
        }
        state.done(Operation::Unlink { parent: parent.0, name: name.to_owned() });
        reply.ok();
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        to_parent: INodeNo,
        to_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let mut state = self.state();
        if !flags.is_empty() {
            return reply.error(Errno::EINVAL);
        }
        if state.child(parent, name).is_none() {
            return reply.error(Errno::ENOENT);
        }
        if let Err(refusal) = state.admit(false) {
            return reply.error(refusal.into());
        }
        let (from, to) = ((parent.0, name.to_owned()), (to_parent.0, to_name.to_owned()));
        state.done(Operation::Rename { from, to });
        reply.ok();
    }

    fn link(&self, _: &Request, node: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let mut state = self.state();
        if let Err(refusal) = state.admit(true) {
            return reply.error(refusal.into());
        }
        state.done(Operation::Link { node: node.0, parent: parent.0, name: name.to_owned() });
        match state.attributes(node.0) {
            Some(attributes) => reply.entry(&TTL, &attributes, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let mut state = self.state();
        if let Err(refusal) = state.admit(true) {
            return reply.error(refusal.into());
        }
        let node = state.make(parent.0, name.to_owned(), false, mode & !umask & 0o7777);
        let attributes = state.attributes(node).expect("it was made just now");
        reply.created(&TTL, &attributes, Generation(0), FileHandle(0), FopenFlags::empty());
    }

    fn read(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let Some(bytes) = self.state().nodes.bytes(node.0).cloned() else {
            return reply.error(Errno::ENOENT);
        };
        let start = (offset as usize).min(bytes.len());
        let end = (start + size as usize).min(bytes.len());
        reply.data(&bytes[start..end]);
    }

    fn write(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let bytes = Bytes::copy_from_slice(data);
        let mut state = self.state();
        if let Err(refusal) = state.admit_write(node.0, offset + data.len() as u64) {
            return reply.error(refusal.into());
        }
        state.done(Operation::Write { node: node.0, offset, bytes });
        reply.written(data.len() as u32);
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, node: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.sync(node, reply);
    }

    fn fsyncdir(&self, _: &Request, node: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.sync(node, reply);
    }

    fn readdir(&self, _: &Request, node: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let state = self.state();
        let Some(names) = state.nodes.names(node.0) else { return reply.error(Errno::ENOTDIR) };
        // By number, so that a listing goes on behind what was removed meanwhile.
        let mut rest: Vec<_> = names.iter().filter(|(_, child)| **child > offset).collect();
        rest.sort_by_key(|(_, child)| **child);
        for (name, child) in rest {
            let kind = match state.nodes.get(*child) {
                Some(Held::Names(_)) => FileType::Directory,
                _ => FileType::RegularFile,
            };
            if reply.add(INodeNo(*child), *child, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let blocks = 1 << 20;
        reply.statfs(blocks, blocks, blocks, blocks, blocks, BLOCK_BYTES, 255, BLOCK_BYTES);
    }
}
