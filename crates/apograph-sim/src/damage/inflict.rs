//! What is done to files.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::kind::Kind;
use crate::random::Random;

/// A page of most disks.
const PAGE_BYTES: usize = 4096;
/// The first file of a kind up to this size has each of its bytes flipped.
const EVERY_BYTE_MAX: usize = 256;
/// Places of a file that are drawn from.
const FLIPS: usize = 16;
const CUTS: usize = 6;
const PAGES: usize = 3;

/// Something that happens to one file, or two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Damage {
    /// Bits of one byte are others.
    Flip { at: usize, mask: u8 },
    /// A page has other bytes.
    Page { at: usize, seed: u64 },
    /// A page is zero.
    Zeros { at: usize },
    /// It ends early.
    Cut { to: usize },
    /// It is not there.
    Missing,
    /// It and another one have each other's names.
    Swapped { with: PathBuf },
    /// It has the bytes of another one.
    Replaced { by: PathBuf },
    /// It is there a second time, under a name of the same kind.
    Twice { at: PathBuf },
}

/// A damage of a file or folder of a data folder.
#[derive(Debug, Clone)]
pub(super) struct Case {
    /// Index of the data folder.
    pub(super) home: usize,
    pub(super) kind: Kind,
    /// Relative to the data folder.
    pub(super) path: PathBuf,
    pub(super) damage: Damage,
}

impl Damage {
    /// Does it; `false` if nothing is another than before.
    pub(super) fn inflict(&self, home: &Path, path: &Path) -> io::Result<bool> {
        let file = home.join(path);
        match self {
            Damage::Missing if file.is_dir() => fs::remove_dir_all(file).map(|()| true),
            Damage::Missing => fs::remove_file(file).map(|()| true),
            Damage::Swapped { with } => {
                let (other, aside) = (home.join(with), home.join("aside"));
                if file.is_file() && fs::read(&file)? == fs::read(&other)? {
                    return Ok(false);
                }
                fs::rename(&file, &aside)?;
                fs::rename(&other, &file)?;
                fs::rename(aside, other).map(|()| true)
            }
            Damage::Replaced { by } => change(&file, |bytes| *bytes = fs::read(home.join(by)).unwrap()),
            Damage::Twice { at } => fs::copy(file, home.join(at)).map(|_| true),
            Damage::Flip { at, mask } => change(&file, |bytes| bytes[*at] ^= mask),
            Damage::Cut { to } => change(&file, |bytes| bytes.truncate(*to)),
            Damage::Zeros { at } => change(&file, |bytes| page(bytes, *at).fill(0)),
            Damage::Page { at, seed } => change(&file, |bytes| {
                let mut random = Random::new(*seed);
                page(bytes, *at).iter_mut().for_each(|byte| *byte = random.next() as u8);
            }),
        }
    }

    /// The first byte that it touches, in a file.
    pub(super) fn begins(&self) -> usize {
        match self {
            Damage::Flip { at, .. } | Damage::Page { at, .. } | Damage::Zeros { at } => *at,
            Damage::Cut { to } => *to,
            _ => 0,
        }
    }
}

fn page(bytes: &mut [u8], at: usize) -> &mut [u8] {
    let end = (at + PAGE_BYTES).min(bytes.len());
    &mut bytes[at..end]
}

fn change(file: &Path, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<bool> {
    let before = fs::read(file)?;
    let mut bytes = before.clone();
    change(&mut bytes);
    fs::write(file, &bytes)?;
    Ok(bytes != before)
}

/// Each byte of a small file with other bits.
pub(super) fn every_byte(bytes: usize, random: &mut Random) -> Vec<Damage> {
    let bytes = if bytes <= EVERY_BYTE_MAX { bytes } else { 0 };
    (0..bytes).map(|at| Damage::Flip { at, mask: mask(random) }).collect()
}

/// What is done to one file, beside what others of its kind are needed for: more than will be tried.
pub(super) fn alone(bytes: usize, random: &mut Random) -> Vec<Damage> {
    let mut list = vec![Damage::Missing];
    if bytes == 0 {
        return list;
    }
    list.extend((0..FLIPS).map(|_| Damage::Flip { at: random.index(bytes), mask: mask(random) }));
    list.extend([Damage::Cut { to: 0 }, Damage::Cut { to: bytes - 1 }]);
    list.extend((0..CUTS).map(|_| Damage::Cut { to: random.index(bytes) }));
    for _ in 0..PAGES {
        let at = random.index(bytes.div_ceil(PAGE_BYTES)) * PAGE_BYTES;
        list.push(Damage::Zeros { at });
        list.push(Damage::Page { at, seed: random.next() });
    }
    list
}

/// One bit mostly.
fn mask(random: &mut Random) -> u8 {
    match random.chance(700) {
        true => 1 << random.below(8),
        false => random.between(1, 255) as u8,
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Damage::Flip { at, mask } => write!(f, "byte {at} with other bits {mask:#04x}"),
            Damage::Page { at, seed } => write!(f, "page at {at} with other bytes {seed}"),
            Damage::Zeros { at } => write!(f, "page at {at} zero"),
            Damage::Cut { to } => write!(f, "cut at {to}"),
            Damage::Missing => write!(f, "missing"),
            Damage::Swapped { with } => write!(f, "swapped with {}", with.display()),
            Damage::Replaced { by } => write!(f, "with the bytes of {}", by.display()),
            Damage::Twice { at } => write!(f, "a second time at {}", at.display()),
        }
    }
}
