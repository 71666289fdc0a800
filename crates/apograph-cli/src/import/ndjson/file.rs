//! An export as a file on this machine.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use apograph::import::{
    End, Item, LINE_BYTES_MAX, LineError, LineFault, Reader, is_of_this_format, read_end,
};
use apograph_client::format::View;
use indicatif::ProgressBar;

use crate::failure::Failure;

/// The last line is shorter than this.
const END_BYTES_MAX: u64 = 4 << 10;
/// Read from the disk at once.
const BUFFER_BYTES: usize = 256 << 10;

/// An export whose first and last line are those of one.
#[derive(Debug, Clone)]
pub(crate) struct ExportFile {
    pub(crate) path: PathBuf,
    /// Bytes of the file.
    pub(crate) bytes: u64,
    /// What its last line says.
    pub(crate) end: End,
}

/// What a sound export holds, and what of it is not to be loaded as it stands there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Contents {
    pub(crate) view: Option<View>,
    pub(crate) content_bytes: u64,
    pub(crate) left_out: Vec<String>,
    pub(crate) left_out_total: u64,
    pub(crate) purged_meanwhile: Vec<String>,
    pub(crate) purged_meanwhile_total: u64,
    pub(crate) cut: Vec<String>,
    pub(crate) cut_total: u64,
}

/// Documents that are listed; more are counted.
const LISTED_MAX: usize = 1_000;

impl ExportFile {
    /// Looks at both ends of the file: is it an export, of this format, and whole?
    pub(crate) fn open(path: &Path) -> Result<ExportFile, Failure> {
        let mut file = File::open(path).map_err(Failure::file(path))?;
        let metadata = file.metadata().map_err(Failure::file(path))?;
        if !metadata.is_file() {
            let why = "an export is read more than once, so it must be a file: write the export to one first";
            return Err(Failure::local(format!("{} cannot be loaded", path.display()), why));
        }
        let bytes = metadata.len();
        let mut first = Vec::new();
        BufReader::new(&file)
            .take(END_BYTES_MAX)
            .read_until(b'\n', &mut first)
            .map_err(Failure::file(path))?;
        let first = first.strip_suffix(b"\n").unwrap_or(&first);
        is_of_this_format(first).map_err(|fault| unsound(path, LineError { line: 1, fault }))?;
        let mut tail = Vec::new();
        file.seek(SeekFrom::Start(bytes.saturating_sub(END_BYTES_MAX))).map_err(Failure::file(path))?;
        file.read_to_end(&mut tail).map_err(Failure::file(path))?;
        let tail = tail.strip_suffix(b"\n").unwrap_or(&tail);
        let last = tail.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        let end = match read_end(last) {
            Some(end) => end,
            None => return Err(cut_off(path)?),
        };
        Ok(ExportFile { path: path.to_owned(), bytes, end })
    }

    /// One for each export, however often it is copied.
    pub(crate) fn cursor(&self) -> String {
        format!("ndjson:{}", self.end.hash)
    }

    /// Reads every line, as the server will: ids, contents, heads, order, counts and the hash over all.
    pub(crate) fn check(&self, bar: &ProgressBar) -> Result<Contents, Failure> {
        let mut lines = Lines::open(&self.path)?;
        let mut reader = Reader::checking();
        let mut contents = Contents::default();
        while let Some(line) = lines.next().map_err(Failure::file(&self.path))? {
            if line.len() > LINE_BYTES_MAX {
                return Err(unsound(&self.path, too_long(reader.position().line + 1)));
            }
            bar.inc(line.len() as u64);
            let item = reader.line(line.strip_suffix(b"\n").unwrap_or(line));
            contents.add(item.map_err(|error| unsound(&self.path, error))?);
        }
        reader.finish().map_err(|error| unsound(&self.path, error))?;
        contents.view = Some(reader.view());
        Ok(contents)
    }

    /// The line that begins at `offset`, with its end.
    pub(crate) fn line_at(&self, offset: u64) -> io::Result<Vec<u8>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut line = Vec::new();
        BufReader::new(file).take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut line)?;
        Ok(line)
    }
}

impl Contents {
    fn add(&mut self, item: Option<Item>) {
        match item {
            Some(Item::Version { content_bytes, is_cut, uri, .. }) => {
                self.content_bytes += content_bytes;
                if is_cut {
                    list(uri.to_string(), &mut self.cut, &mut self.cut_total);
                }
            }
            Some(Item::LeftOut { uri }) => {
                list(uri.to_string(), &mut self.left_out, &mut self.left_out_total);
            }
            Some(Item::Purged { uri, meanwhile: true, .. }) => {
                list(uri.to_string(), &mut self.purged_meanwhile, &mut self.purged_meanwhile_total);
            }
            Some(Item::Purged { .. } | Item::End(_)) | None => {}
        }
    }
}

fn list(uri: String, listed: &mut Vec<String>, total: &mut u64) {
    *total += 1;
    if listed.len() < LISTED_MAX {
        listed.push(uri);
    }
}

/// The lines of a file, one in memory at a time.
struct Lines {
    file: BufReader<File>,
    line: Vec<u8>,
}

impl Lines {
    fn open(path: &Path) -> Result<Lines, Failure> {
        let file = File::open(path).map_err(Failure::file(path))?;
        Ok(Lines { file: BufReader::with_capacity(BUFFER_BYTES, file), line: Vec::new() })
    }

    /// The next line with its end; of one that is too long, the beginning.
    fn next(&mut self) -> io::Result<Option<&[u8]>> {
        self.line.clear();
        let read = (&mut self.file).take(LINE_BYTES_MAX as u64 + 2).read_until(b'\n', &mut self.line)?;
        Ok((read > 0).then_some(self.line.as_slice()))
    }
}

/// The file does not end as an export does. Its lines are counted, so that the place can be named.
fn cut_off(path: &Path) -> Result<Failure, Failure> {
    let mut file = BufReader::with_capacity(BUFFER_BYTES, File::open(path).map_err(Failure::file(path))?);
    let mut lines = 1;
    loop {
        let piece = file.fill_buf().map_err(Failure::file(path))?;
        if piece.is_empty() {
            break;
        }
        lines += piece.iter().filter(|byte| **byte == b'\n').count() as u64;
        let taken = piece.len();
        file.consume(taken);
    }
    Ok(unsound(path, LineError { line: lines, fault: LineFault::CutOff }))
}

fn too_long(line: u64) -> LineError {
    let reason = format!("a line of an export has at most {LINE_BYTES_MAX} bytes");
    LineError { line, fault: LineFault::Members { reason } }
}

fn unsound(path: &Path, error: LineError) -> Failure {
    let what = format!("{} cannot be loaded", path.display());
    let next = match error.fault {
        LineFault::Part { .. } => "make one at a server that holds all partitions, such as the primary",
        LineFault::NoExport => "make one with `apograph export --to-file FILE`",
        LineFault::Newer { .. } => "load it with the version that wrote it, or a newer one",
        _ => {
            return Failure::Damaged { what: format!("{what}: {error}; nothing was sent") };
        }
    };
    Failure::Local { what, source: Box::new(error), next: Some(next.to_owned()) }
}
