//! Takes the lines of an export and gives what each completes.

use apograph_format::limits::CHUNK_BYTES_MAX;
use apograph_format::{Content, Hash, Head, Kind, State, Uri, VersionRef, View};

use super::line::{self, End, Line, VersionLine, check_format};
use super::{ImportPosition, LineError, LineFault, Lineage, OpenDocument, check_head, check_version};
use crate::Database;
use crate::error::LoadRefusal;
use crate::spool::Spool;
use crate::transaction::{ContentBytes, LoadedVersion};

/// Reads an export line by line; every line is checked by itself and against those before it.
///
/// It holds one line and the numbers of one document. A content in several lines goes to the disk while they come, or,
/// when only checking, is hashed and forgotten.
pub struct Reader {
    /// Where contents in several lines go; none when only checking.
    database: Option<Database>,
    stage: Stage,
    view: View,
    position: ImportPosition,
    /// Lines that were counted before and come again, so that what follows them can be understood.
    again: u8,
    /// Over all lines so far; none when the first ones did not come.
    hash: Option<blake3::Hasher>,
    after: Option<Uri>,
    document: Option<Document>,
    incoming: Option<Incoming>,
}

/// What a line completes.
#[derive(Debug)]
pub enum Item {
    /// A version.
    Version {
        /// Of which document.
        uri: Uri,
        /// What that is.
        kind: Kind,
        /// The version. When only checking, without the bytes of a content that came in several lines.
        version: Box<LoadedVersion>,
        /// How the document stands, with its last version.
        head: Option<Box<Head>>,
        /// Bytes of its content.
        content_bytes: u64,
        /// With the last version: bodies of versions before it are not in the export.
        is_cut: bool,
    },
    /// A document of which only this is left.
    Purged {
        /// Which.
        uri: Uri,
        /// How it stands.
        head: Box<Head>,
        /// It was purged after the time of the export, while that was written.
        meanwhile: bool,
    },
    /// A document that is not to be loaded.
    LeftOut {
        /// Which.
        uri: Uri,
    },
    /// Everything came.
    End(End),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Header,
    Documents,
    End,
}

/// The document whose versions come.
struct Document {
    uri: Uri,
    head: Head,
    /// Lines and bytes before its own line.
    line: u64,
    offset: u64,
    /// What its versions add up to; none when its first ones came before this reader.
    lineage: Option<Lineage>,
    /// Number of the version before the next one.
    before: u64,
    /// Id of the version that has the number of the live one.
    live: Option<Hash>,
    is_left_out: bool,
    /// The body of a version is not in the export.
    is_cut: bool,
}

/// A version whose content comes in lines of its own.
struct Incoming {
    line: Box<VersionLine>,
    named: Content,
    came: u64,
    bytes: Sink,
}

enum Sink {
    Disk(Box<Spool>),
    Hash(Box<blake3::Hasher>),
}

impl Reader {
    /// A reader that only checks.
    pub fn checking() -> Reader {
        Reader {
            database: None,
            stage: Stage::Header,
            view: View::Full,
            position: ImportPosition::default(),
            again: 0,
            hash: Some(blake3::Hasher::new()),
            after: None,
            document: None,
            incoming: None,
        }
    }

    /// A reader of what `database` is to load. After `from` it is given the first line again, the line of the document
    /// that goes on there, if one does, and then what stands at that place.
    pub(crate) fn loading(database: &Database, from: Option<ImportPosition>) -> Reader {
        let reader = Reader { database: Some(database.clone()), ..Reader::checking() };
        match from {
            None => reader,
            Some(position) => {
                let again = 1 + u8::from(matches!(position.open, OpenDocument::At { .. }));
                Reader { position, again, hash: None, ..reader }
            }
        }
    }

    /// What the export holds. Known after the first line.
    pub fn view(&self) -> View {
        self.view
    }

    /// Where it stands: everything before is understood.
    pub fn position(&self) -> ImportPosition {
        let open = match (&self.stage, &self.document) {
            (Stage::End, _) => OpenDocument::End,
            (_, Some(document)) if document.before > 0 => {
                OpenDocument::At { line: document.line, offset: document.offset, version: document.before }
            }
            _ => OpenDocument::None,
        };
        ImportPosition { open, ..self.position }
    }

    /// Takes the next line, without its end.
    pub fn line(&mut self, line: &[u8]) -> Result<Option<Item>, LineError> {
        let is_again = self.again > 0;
        let number = if is_again { self.line_again() } else { self.position.line + 1 };
        let item = self.take(line, is_again).map_err(|fault| LineError { line: number, fault })?;
        if let Some(hash) = &mut self.hash {
            hash.update(line).update(b"\n");
        }
        if is_again {
            self.again -= 1;
        } else {
            self.position.line += 1;
            self.position.offset += line.len() as u64 + 1;
        }
        Ok(item)
    }

    /// No more lines come.
    pub fn finish(&self) -> Result<(), LineError> {
        match self.stage {
            Stage::End => Ok(()),
            _ => Err(LineError { line: self.position.line + 1, fault: LineFault::CutOff }),
        }
    }

    /// Number of a line that comes again.
    fn line_again(&self) -> u64 {
        match self.position.open {
            OpenDocument::At { line, .. } if self.stage != Stage::Header => line + 1,
            _ => 1,
        }
    }

    fn take(&mut self, line: &[u8], is_again: bool) -> Result<Option<Item>, LineFault> {
        if self.stage == Stage::Header {
            return self.header(line).map(|()| None);
        }
        let line = line::read(line)?;
        if self.stage == Stage::End {
            return Err(unexpected("nothing after the end"));
        }
        if let Some(incoming) = &self.incoming
            && !matches!(line, Line::Piece { .. })
        {
            let (uri, number) = (&incoming.line.uri, incoming.line.version.number);
            return Err(unexpected(format!("the rest of the content of version {number} of {uri}")));
        }
        match line {
            Line::Header { .. } => Err(unexpected("a document")),
            Line::Document { uri, head } => self.begin(uri, *head, is_again),
            Line::Version(version) => self.version(version),
            Line::Erased { uri, number, id } => self.erased(uri, VersionRef { number, id }),
            Line::Piece { uri, number, offset, bytes } => self.piece(&uri, number, offset, &bytes),
            Line::End(end) => self.end(end).map(Some),
        }
    }

    fn header(&mut self, line: &[u8]) -> Result<(), LineFault> {
        line::is_of_this_format(line)?;
        let Line::Header { format, view, partitions } = line::read(line)? else {
            return Err(LineFault::NoExport);
        };
        check_format(&format)?;
        if let Some(partitions) = partitions {
            return Err(LineFault::Part { partitions });
        }
        self.view = view.ok_or_else(|| LineFault::Members { reason: "the view is missing".to_owned() })?;
        self.stage = Stage::Documents;
        Ok(())
    }

    /// The line of a document, before its versions.
    fn begin(&mut self, uri: Uri, head: Head, is_again: bool) -> Result<Option<Item>, LineFault> {
        if self.view == View::Published {
            return Err(unexpected("a version"));
        }
        self.check_finished()?;
        let (line, offset) = (self.position.line, self.position.offset);
        let mut document = Document::new(uri.clone(), head, line, offset);
        if let (true, OpenDocument::At { line, offset, version }) = (is_again, self.position.open) {
            document = Document { line, offset, before: version, lineage: None, ..document };
        } else {
            self.follow(&uri)?;
            self.position.documents += 1;
        }
        if document.head.state == State::Purged {
            if document.is_left_out {
                return Ok(Some(Item::LeftOut { uri }));
            }
            document.check()?;
            return Ok(Some(Item::Purged { uri, head: Box::new(document.head), meanwhile: false }));
        }
        if document.head.working.is_none() {
            let refusal = LoadRefusal::Head { rule: "a purged document has no versions, any other has" };
            return Err(LineFault::Document { uri, refusal });
        }
        self.document = Some(document);
        Ok(None)
    }

    fn version(&mut self, line: Box<VersionLine>) -> Result<Option<Item>, LineFault> {
        if self.view == View::Published {
            self.begin_published(&line)?;
        }
        self.position.versions += 1;
        self.next_version(&line.uri, line.version.number)?;
        match (&line.version.content, &line.content) {
            (Some(named), None) => {
                let named = named.clone();
                let bytes = match &self.database {
                    Some(database) => Sink::Disk(Box::new(database.spool())),
                    None => Sink::Hash(Box::default()),
                };
                self.incoming = Some(Incoming { line, named, came: 0, bytes });
                Ok(None)
            }
            _ => {
                let content = line.content.clone().map(ContentBytes::Inline);
                self.complete(*line, content)
            }
        }
    }

    /// In the published view a version is a document of its own.
    fn begin_published(&mut self, line: &VersionLine) -> Result<(), LineFault> {
        let kind =
            line.kind.ok_or_else(|| LineFault::Members { reason: "the kind is missing".to_owned() })?;
        self.follow(&line.uri)?;
        self.position.documents += 1;
        let live = VersionRef { number: line.version.number, id: line.id };
        let head = Head {
            kind,
            state: State::Published,
            working: Some(live),
            live: Some(live),
            lock: None,
            history: Head::extend_history(&Head::NO_HISTORY, &line.id),
            versions: live.number,
            moved_to: None,
            changed: apograph_format::Timestamp::ZERO,
            r#type: String::new(),
            ever_live: true,
        };
        let (at, offset) = (self.position.line, self.position.offset);
        self.document = Some(Document::new(line.uri.clone(), head, at, offset));
        Ok(())
    }

    /// A version whose body is not in the export: purged since its time, or cut from the copy that was exported.
    fn erased(&mut self, uri: Uri, version: VersionRef) -> Result<Option<Item>, LineFault> {
        self.position.versions += 1;
        if self.view == View::Published {
            self.follow(&uri)?;
            self.position.documents += 1;
            return Ok(Some(Item::LeftOut { uri }));
        }
        let document = self.next_version(&uri, version.number)?;
        document.is_cut = true;
        if let Some(lineage) = &mut document.lineage {
            lineage.add(version).map_err(|refusal| LineFault::Document { uri, refusal })?;
        }
        Ok(self.close_if_last(version.number))
    }

    fn piece(
        &mut self,
        uri: &Uri,
        number: u64,
        offset: u64,
        bytes: &[u8],
    ) -> Result<Option<Item>, LineFault> {
        let Some(incoming) = &mut self.incoming else { return Err(unexpected("a document or a version")) };
        let version = &incoming.line.version;
        if incoming.line.uri != *uri || version.number != number || incoming.came != offset {
            let (uri, came) = (&incoming.line.uri, incoming.came);
            return Err(unexpected(format!(
                "the content of version {} of {uri} from {came} on",
                version.number
            )));
        }
        let left = incoming.named.bytes - incoming.came;
        if bytes.len() as u64 != left.min(CHUNK_BYTES_MAX as u64) {
            return Err(unexpected(format!("{} bytes", left.min(CHUNK_BYTES_MAX as u64))));
        }
        match &mut incoming.bytes {
            Sink::Disk(spool) => spool.write(bytes)?,
            Sink::Hash(hash) => drop(hash.update(bytes)),
        }
        incoming.came += bytes.len() as u64;
        if incoming.came < incoming.named.bytes {
            return Ok(None);
        }
        let Some(Incoming { line, named, bytes, .. }) = self.incoming.take() else { return Ok(None) };
        let content = bytes.finish()?;
        if content.hash != named.hash {
            let refusal = LoadRefusal::Content { number };
            return Err(LineFault::Document { uri: line.uri, refusal });
        }
        self.complete(*line, Some(content.bytes))
    }

    /// All of a version is there.
    fn complete(
        &mut self,
        line: VersionLine,
        content: Option<ContentBytes>,
    ) -> Result<Option<Item>, LineFault> {
        let VersionLine { uri, id, version, .. } = line;
        let content_bytes = version.content.as_ref().map_or(0, |content| content.bytes);
        let loaded = LoadedVersion { id, version, content };
        let refused = |refusal| LineFault::Document { uri: uri.clone(), refusal };
        let version = check_version(&loaded).map_err(refused)?;
        let Some(document) = &mut self.document else { return Err(unexpected("a document")) };
        if let Some(lineage) = &mut document.lineage {
            lineage.add(version).map_err(refused)?;
        }
        if document.head.live.is_some_and(|live| live.number == version.number) {
            document.live = Some(version.id);
        }
        let is_last = document.is_last(version.number);
        if document.is_left_out || (is_last && document.lacks_live()) {
            return Ok(self.close_if_last(version.number));
        }
        let (kind, is_cut) = (document.head.kind, is_last && document.is_cut);
        let mut head = None;
        if is_last {
            document.check()?;
            head = self.document.take().map(|document| Box::new(document.head));
        }
        Ok(Some(Item::Version { uri, kind, version: Box::new(loaded), head, content_bytes, is_cut }))
    }

    fn end(&mut self, end: End) -> Result<Item, LineFault> {
        self.check_finished()?;
        let counts = [
            ("documents", end.documents, self.position.documents),
            ("versions", end.versions, self.position.versions),
        ];
        for (what, expected, found) in counts {
            if expected != found {
                return Err(LineFault::Count { what, expected, found });
            }
        }
        if let Some(hash) = &self.hash {
            let found = Hash(*hash.finalize().as_bytes());
            if found != end.hash {
                return Err(LineFault::Hash { expected: end.hash, found });
            }
        }
        self.stage = Stage::End;
        Ok(Item::End(end))
    }

    /// Documents come in the order of their URIs.
    fn follow(&mut self, uri: &Uri) -> Result<(), LineFault> {
        match self.after.replace(uri.clone()) {
            Some(after) if after >= *uri => Err(LineFault::Order { after, found: uri.clone() }),
            _ => Ok(()),
        }
    }

    fn check_finished(&self) -> Result<(), LineFault> {
        match &self.document {
            None => Ok(()),
            Some(document) => {
                Err(LineFault::Unfinished { uri: document.uri.clone(), number: document.head.versions })
            }
        }
    }

    /// The document whose next version has this number.
    fn next_version(&mut self, uri: &Uri, number: u64) -> Result<&mut Document, LineFault> {
        let document = self.document.as_mut().filter(|document| document.uri == *uri);
        let document = document.ok_or_else(|| unexpected(format!("the line of the document {uri}")))?;
        let last = document.head.working.map_or(0, |working| working.number);
        if number <= document.before || number > last {
            let (before, uri) = (document.before, &document.uri);
            return Err(unexpected(format!("a version of {uri} after {before} and up to {last}")));
        }
        document.before = number;
        Ok(document)
    }

    /// After the last line of a document that is left out, or was purged: its last or its live version is gone.
    fn close_if_last(&mut self, number: u64) -> Option<Item> {
        let document = self.document.take_if(|document| document.is_last(number))?;
        let uri = document.uri;
        if document.is_left_out {
            return Some(Item::LeftOut { uri });
        }
        Some(Item::Purged { uri, head: Box::new(purged(document.head)), meanwhile: true })
    }
}

impl Document {
    fn new(uri: Uri, head: Head, line: u64, offset: u64) -> Document {
        Document {
            // The servers of the database that it is loaded into are others, and name themselves.
            is_left_out: uri.is_server(),
            uri,
            head,
            line,
            offset,
            lineage: Some(Lineage::default()),
            before: 0,
            live: None,
            is_cut: false,
        }
    }

    fn is_last(&self, number: u64) -> bool {
        self.head.working.is_some_and(|working| working.number == number)
    }

    /// The live version is one of those whose bodies are not in the export.
    fn lacks_live(&self) -> bool {
        self.is_cut && self.lineage.is_some() && self.head.live.is_some() && self.live.is_none()
    }

    fn check(&self) -> Result<(), LineFault> {
        // Of a document whose first versions came before, the committer knows more.
        let Some(lineage) = &self.lineage else { return Ok(()) };
        check_head(self.head.kind, &self.head, lineage, self.live)
            .map_err(|refusal| LineFault::Document { uri: self.uri.clone(), refusal })
    }
}

/// What a content in several lines turned out to be.
struct Whole {
    hash: Hash,
    bytes: ContentBytes,
}

impl Sink {
    fn finish(self) -> Result<Whole, LineFault> {
        match self {
            Sink::Hash(hash) => {
                let hash = Hash(*hash.finalize().as_bytes());
                Ok(Whole { hash, bytes: ContentBytes::Inline(bytes::Bytes::new()) })
            }
            Sink::Disk(spool) => {
                let bytes = spool.finish()?;
                let hash = match &bytes {
                    ContentBytes::Inline(bytes) => Hash::of(bytes),
                    ContentBytes::Spooled(spooled) => spooled.fact().hash,
                };
                Ok(Whole { hash, bytes })
            }
        }
    }
}

/// What a purge leaves of a head.
fn purged(head: Head) -> Head {
    Head {
        state: State::Purged,
        working: None,
        live: None,
        lock: None,
        history: Head::NO_HISTORY,
        moved_to: None,
        r#type: String::new(),
        ..head
    }
}

fn unexpected(what: impl Into<String>) -> LineFault {
    LineFault::Unexpected { what: what.into() }
}
