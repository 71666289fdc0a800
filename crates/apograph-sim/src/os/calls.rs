//! Functions of the C library that simulated servers are given instead of its own.
//!
//! The linker takes these before those of the library, for everything that is linked into the program. Each asks the
//! [`Os`](super::Os) of its thread; where there is none it calls the library's function of the same name and does nothing
//! else. What is missing here is found: [`compare`](super::host::compare) looks for files that changed unseen, and equal
//! seeds must leave equal traces.
#![allow(unsafe_code, unreachable_pub, reason = "functions of the C library have its conventions")]

use std::ffi::{CStr, OsStr, c_char, c_int, c_uint, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use libc::{clockid_t, iovec, mode_t, off64_t, size_t, ssize_t, timespec};

use super::{Failure, Os, Place, simulated};
use crate::disk::Operation;

/// The library's own function.
macro_rules! real {
    ($name:literal, fn($($of:ty),* $(,)?) -> $answer:ty) => {{
        static FOUND: AtomicUsize = AtomicUsize::new(0);
        let mut found = FOUND.load(Ordering::Relaxed);
        if found == 0 {
            // SAFETY: the name ends with a zero.
            found = unsafe { libc::dlsym(libc::RTLD_NEXT, $name.as_ptr()) } as usize;
            assert!(found != 0, "the C library has all functions that stand here");
            FOUND.store(found, Ordering::Relaxed);
        }
        // SAFETY: the function of this name has these arguments.
        unsafe { std::mem::transmute::<usize, unsafe extern "C" fn($($of),*) -> $answer>(found) }
    }};
}

fn refuse(failure: Failure) -> c_int {
    let errno = match failure {
        Failure::Io => libc::EIO,
        Failure::Full => libc::ENOSPC,
    };
    // SAFETY: it is this thread's.
    unsafe { *libc::__errno_location() = errno };
    -1
}

/// # Safety
/// A string of C that lives as long as the answer.
unsafe fn path<'a>(path: *const c_char) -> &'a Path {
    // SAFETY: as above.
    Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(path) }.to_bytes()))
}

/// Asks whether it may be done, does it, and writes it down if it was.
fn changed(
    place: impl Fn(&Os) -> Option<Place>,
    grows: bool,
    call: impl FnOnce() -> c_int,
    note: impl FnOnce(&mut Os, Place),
) -> c_int {
    let admitted = simulated(|os| match place(os) {
        Some(place) => os.host(place.host).admit(grows),
        None => Ok(()),
    });
    if let Some(Err(failure)) = admitted {
        return refuse(failure);
    }
    let done = call();
    if done >= 0 {
        simulated(|os| {
            if let Some(place) = place(os) {
                note(os, place);
            }
        });
    }
    done
}

/// A file or folder was opened, or made.
fn opened(os: &mut Os, file: c_int, place: Option<Place>, flags: c_int, mode: mode_t) {
    let Some(Place { host, parent, node }) = place else {
        os.files.remove(&file);
        return;
    };
    let of = os.host(host);
    let node = match (node, parent) {
        (Some(node), _) => {
            if flags & libc::O_TRUNC != 0 {
                of.did(&Operation::Resize { node, length: 0 });
            }
            node
        }
        (None, Some((parent, name))) if flags & libc::O_CREAT != 0 => {
            of.make(parent, name, false, mode & 0o7777)
        }
        (None, _) => {
            os.files.remove(&file);
            return;
        }
    };
    os.files.insert(file, (host, node));
}

fn open_at(
    place: impl Fn(&Os) -> Option<Place>,
    flags: c_int,
    mode: mode_t,
    call: impl FnOnce() -> c_int,
) -> c_int {
    if flags & (libc::O_CREAT | libc::O_TRUNC) != 0 {
        let admitted = simulated(|os| match place(os) {
            // Opening what is there changes nothing.
            Some(place) if place.node.is_none() || flags & libc::O_TRUNC != 0 => {
                os.host(place.host).admit(place.node.is_none())
            }
            _ => Ok(()),
        });
        if let Some(Err(failure)) = admitted {
            return refuse(failure);
        }
    }
    let file = call();
    if file >= 0 {
        simulated(|os| opened(os, file, place(os), flags, mode));
    }
    file
}

/// # Safety
/// As of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open64(at: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    let real = real!(c"open64", fn(*const c_char, c_int, mode_t) -> c_int);
    // SAFETY: as the caller says.
    let (path, call) = unsafe { (path(at), || real(at, flags, mode)) };
    open_at(|os| os.place(path), flags, mode, call)
}

/// # Safety
/// As of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open(at: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    let real = real!(c"open", fn(*const c_char, c_int, mode_t) -> c_int);
    // SAFETY: as the caller says.
    let (path, call) = unsafe { (path(at), || real(at, flags, mode)) };
    open_at(|os| os.place(path), flags, mode, call)
}

/// # Safety
/// As of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn openat64(folder: c_int, at: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    let real = real!(c"openat64", fn(c_int, *const c_char, c_int, mode_t) -> c_int);
    // SAFETY: as the caller says.
    let (path, call) = unsafe { (path(at), || real(folder, at, flags, mode)) };
    open_at(|os| place_at(os, folder, path), flags, mode, call)
}

fn place_at(os: &Os, folder: c_int, path: &Path) -> Option<Place> {
    if path.is_absolute() { os.place(path) } else { os.place_in(folder, path.as_os_str()) }
}

/// # Safety
/// As of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn close(file: c_int) -> c_int {
    simulated(|os| os.files.remove(&file));
    let real = real!(c"close", fn(c_int) -> c_int);
    // SAFETY: as the caller says.
    unsafe { real(file) }
}

/// A write to an open file; `offset` is told when it is done.
fn wrote(
    file: c_int,
    bytes: &[u8],
    call: impl FnOnce() -> ssize_t,
    offset: impl FnOnce(usize) -> u64,
) -> ssize_t {
    let of = simulated(|os| {
        os.files.get(&file).copied().map(|(host, node)| (os.host(host).admit(true), host, node))
    });
    let Some((admitted, host, node)) = of.flatten() else { return call() };
    if let Err(failure) = admitted {
        return refuse(failure) as ssize_t;
    }
    let done = call();
    if let Ok(written) = usize::try_from(done) {
        let at = offset(written);
        simulated(|os| {
            os.host(host).wrote(node, at, bytes.get(..written).unwrap_or_default());
            os.took(host, false);
        });
    }
    done
}

/// Where the next byte goes, before `written` were.
fn offset_before(file: c_int, written: usize) -> u64 {
    let real = real!(c"lseek64", fn(c_int, off64_t, c_int) -> off64_t);
    // SAFETY: it changes nothing.
    let at = unsafe { real(file, 0, libc::SEEK_CUR) };
    u64::try_from(at).unwrap_or_default().saturating_sub(written as u64)
}

/// # Safety
/// As of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(file: c_int, bytes: *const c_void, length: size_t) -> ssize_t {
    let real = real!(c"write", fn(c_int, *const c_void, size_t) -> ssize_t);
    // SAFETY: as the caller says.
    let (given, call) =
        unsafe { (std::slice::from_raw_parts(bytes.cast::<u8>(), length), || real(file, bytes, length)) };
    wrote(file, given, call, |written| offset_before(file, written))
}

/// # Safety
/// As of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn writev(file: c_int, pieces: *const iovec, count: c_int) -> ssize_t {
    // SAFETY: as the caller says.
    let pieces = unsafe { std::slice::from_raw_parts(pieces, usize::try_from(count).unwrap_or_default()) };
    let mut bytes = Vec::new();
    for piece in pieces {
        // SAFETY: as the caller says.
        bytes.extend_from_slice(unsafe {
            std::slice::from_raw_parts(piece.iov_base.cast::<u8>(), piece.iov_len)
        });
    }
    // SAFETY: the bytes live until it is done.
    unsafe { write(file, bytes.as_ptr().cast(), bytes.len()) }
}

/// # Safety
/// As of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite64(file: c_int, bytes: *const c_void, length: size_t, at: off64_t) -> ssize_t {
    let real = real!(c"pwrite64", fn(c_int, *const c_void, size_t, off64_t) -> ssize_t);
    // SAFETY: as the caller says.
    let (given, call) =
        unsafe { (std::slice::from_raw_parts(bytes.cast::<u8>(), length), || real(file, bytes, length, at)) };
    wrote(file, given, call, |_| u64::try_from(at).unwrap_or_default())
}

/// # Safety
/// As of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ftruncate64(file: c_int, length: off64_t) -> c_int {
    let real = real!(c"ftruncate64", fn(c_int, off64_t) -> c_int);
    let of = simulated(|os| {
        os.files.get(&file).copied().map(|(host, node)| (os.host(host).admit(false), host, node))
    });
    let of = of.flatten();
    if let Some((Err(failure), ..)) = of {
        return refuse(failure);
    }
    // SAFETY: as the caller says.
    let done = unsafe { real(file, length) };
    if let (0, Some((_, host, node))) = (done, of) {
        let length = u64::try_from(length).unwrap_or_default();
        simulated(|os| os.host(host).did(&Operation::Resize { node, length }));
    }
    done
}

/// Syncs a simulated file; `None` if it is none.
fn synced(file: c_int) -> Option<c_int> {
    let done = simulated(|os| {
        let (host, node) = *os.files.get(&file)?;
        let admitted = os.host(host).admit_sync(node);
        if admitted.is_ok() {
            os.host(host).did(&Operation::Sync { node });
            os.took(host, true);
        }
        Some(admitted)
    });
    done.flatten().map(|done| done.map_or_else(refuse, |()| 0))
}

/// # Safety
/// As of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fsync(file: c_int) -> c_int {
    let real = real!(c"fsync", fn(c_int) -> c_int);
    // SAFETY: as the caller says.
    synced(file).unwrap_or_else(|| unsafe { real(file) })
}

/// # Safety
/// As of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fdatasync(file: c_int) -> c_int {
    let real = real!(c"fdatasync", fn(c_int) -> c_int);
    // SAFETY: as the caller says.
    synced(file).unwrap_or_else(|| unsafe { real(file) })
}

/// # Safety
/// As of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    let real = real!(c"rename", fn(*const c_char, *const c_char) -> c_int);
    // SAFETY: as the caller says.
    let (old, new, call) = unsafe { (path(from), path(to), || real(from, to)) };
    let note = |os: &mut Os, place: Place| {
        let to = os.place(new).and_then(|place| place.parent);
        if let (Some(from), Some(to)) = (place.parent, to) {
            os.host(place.host).did(&Operation::Rename { from, to });
        }
    };
    changed(|os| os.place(old), false, call, note)
}

fn removed(os: &mut Os, place: Place) {
    if let Some((parent, name)) = place.parent {
        os.host(place.host).did(&Operation::Unlink { parent, name });
    }
}

/// # Safety
/// As of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unlink(at: *const c_char) -> c_int {
    let real = real!(c"unlink", fn(*const c_char) -> c_int);
    // SAFETY: as the caller says.
    let (path, call) = unsafe { (path(at), || real(at)) };
    changed(|os| os.place(path), false, call, removed)
}

/// # Safety
/// As of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmdir(at: *const c_char) -> c_int {
    let real = real!(c"rmdir", fn(*const c_char) -> c_int);
    // SAFETY: as the caller says.
    let (path, call) = unsafe { (path(at), || real(at)) };
    changed(|os| os.place(path), false, call, removed)
}

/// # Safety
/// As of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unlinkat(folder: c_int, at: *const c_char, flags: c_int) -> c_int {
    let real = real!(c"unlinkat", fn(c_int, *const c_char, c_int) -> c_int);
    // SAFETY: as the caller says.
    let (path, call) = unsafe { (path(at), || real(folder, at, flags)) };
    changed(|os| place_at(os, folder, path), false, call, removed)
}

/// # Safety
/// As of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mkdir(at: *const c_char, mode: mode_t) -> c_int {
    let real = real!(c"mkdir", fn(*const c_char, mode_t) -> c_int);
    // SAFETY: as the caller says.
    let (path, call) = unsafe { (path(at), || real(at, mode)) };
    changed(
        |os| os.place(path),
        true,
        call,
        |os, place| {
            if let Some((parent, name)) = place.parent {
                os.host(place.host).make(parent, name, true, mode & 0o7777);
            }
        },
    )
}

/// # Safety
/// As of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn linkat(
    old_folder: c_int,
    old: *const c_char,
    new_folder: c_int,
    new: *const c_char,
    flags: c_int,
) -> c_int {
    let real = real!(c"linkat", fn(c_int, *const c_char, c_int, *const c_char, c_int) -> c_int);
    // SAFETY: as the caller says.
    let (path, call) = unsafe { (path(new), || real(old_folder, old, new_folder, new, flags)) };
    changed(
        |os| place_at(os, new_folder, path),
        true,
        call,
        |_, _| panic!("a simulated server made a link, and nothing writes that down"),
    )
}

/// # Safety
/// As of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: clockid_t, to: *mut timespec) -> c_int {
    let real = real!(c"clock_gettime", fn(clockid_t, *mut timespec) -> c_int);
    let now = simulated(|os| if clock == libc::CLOCK_REALTIME { os.wall_us() } else { os.monotonic_us() });
    match now {
        Some(us) => {
            let seconds = i64::try_from(us / 1_000_000).unwrap_or(i64::MAX);
            let nanoseconds = i64::try_from(us % 1_000_000).unwrap_or_default() * 1_000;
            // SAFETY: as the caller says.
            unsafe { *to = timespec { tv_sec: seconds, tv_nsec: nanoseconds } };
            0
        }
        // SAFETY: as the caller says.
        None => unsafe { real(clock, to) },
    }
}

/// Whoever sleeps wakes up later: nothing else happens meanwhile.
///
/// # Safety
/// As of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_nanosleep(
    clock: clockid_t,
    flags: c_int,
    time: *const timespec,
    left: *mut timespec,
) -> c_int {
    let slept = simulated(|os| {
        // SAFETY: as the caller says.
        let time = unsafe { *time };
        let us = u64::try_from(time.tv_sec).unwrap_or_default() * 1_000_000
            + u64::try_from(time.tv_nsec).unwrap_or_default() / 1_000;
        let now = os.now_us();
        os.advance_to(if flags & libc::TIMER_ABSTIME != 0 { us } else { now + us });
    });
    if slept.is_some() {
        return 0;
    }
    let real = real!(c"clock_nanosleep", fn(clockid_t, c_int, *const timespec, *mut timespec) -> c_int);
    // SAFETY: as the caller says.
    unsafe { real(clock, flags, time, left) }
}

/// # Safety
/// As of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(to: *mut c_void, length: size_t, flags: c_uint) -> ssize_t {
    let filled = simulated(|os| {
        // SAFETY: as the caller says.
        let bytes = unsafe { std::slice::from_raw_parts_mut(to.cast::<u8>(), length) };
        for piece in bytes.chunks_mut(8) {
            let random = os.random.next().to_le_bytes();
            piece.copy_from_slice(random.get(..piece.len()).unwrap_or_default());
        }
    });
    if filled.is_some() {
        return ssize_t::try_from(length).unwrap_or(ssize_t::MAX);
    }
    let real = real!(c"getrandom", fn(*mut c_void, size_t, c_uint) -> ssize_t);
    // SAFETY: as the caller says.
    unsafe { real(to, length, flags) }
}

/// # Safety
/// As of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getpid() -> libc::pid_t {
    let real = real!(c"getpid", fn() -> libc::pid_t);
    // SAFETY: it changes nothing.
    simulated(|_| 1).unwrap_or_else(|| unsafe { real() })
}

/// What runs in threads does not always happen in the same order: there are none to be had. Who can do without does.
///
/// # Safety
/// As of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_create(
    thread: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    run: extern "C" fn(*mut c_void) -> *mut c_void,
    with: *mut c_void,
) -> c_int {
    if simulated(|_| ()).is_some() {
        return libc::EAGAIN;
    }
    let real = real!(
        c"pthread_create",
        fn(
            *mut libc::pthread_t,
            *const libc::pthread_attr_t,
            extern "C" fn(*mut c_void) -> *mut c_void,
            *mut c_void,
        ) -> c_int
    );
    // SAFETY: as the caller says.
    unsafe { real(thread, attributes, run, with) }
}
