//! A new version, and the contents it brings.

use bytes::Bytes;

use apograph_format::limits::{CHUNK_BYTES_MAX, COMMENT_BYTES_MAX, PARENTS_MAX};
use apograph_format::{
    Change, Content, ContentFact, Hash, Head, Kind, Operation, Origin, PartitionId, Payload, Properties,
    State, Uri, Version, VersionNames, VersionRef,
};

use super::check::{check_kind, check_name, without_expired_lock};
use super::{PayloadSource, PlanError, PlannedPayload, Planning};
use crate::error::Refusal;
use crate::transaction::{ContentBytes, ContentChange, Precondition, Put};

impl Planning<'_, '_> {
    pub(super) fn put(
        &mut self,
        uri: &Uri,
        precondition: Precondition,
        put: &Put,
    ) -> Result<Change, PlanError> {
        self.check_privilege(uri)?;
        let head = self.state.head(uri)?;
        self.check_precondition(precondition, head.as_ref())?;
        if let Some(head) = &head {
            self.check_lock(head)?;
        }
        let visible = head.as_ref().filter(|head| head.is_visible());
        let kind = put.kind.or(visible.map(|head| head.kind)).unwrap_or(Kind::Document);
        check_kind(uri, kind, head.as_ref())?;
        let version = self.new_version(uri, head.as_ref(), put)?;
        let id = self.add_version(uri, &version);
        let r#type = version.r#type;
        let head = self.saved_head(head, kind, id, r#type);
        Ok(self.change(Operation::Put, uri, head, vec![id]))
    }

    fn new_version(&mut self, uri: &Uri, head: Option<&Head>, put: &Put) -> Result<Version, PlanError> {
        let before = match head.filter(|head| head.is_visible()).and_then(|head| head.working) {
            Some(working) => self.read_version(uri, &working)?,
            None => None,
        };
        let comment = put.comment.as_ref().unwrap_or(&self.transaction.comment).clone();
        if comment.len() > COMMENT_BYTES_MAX {
            let (max, found) = (COMMENT_BYTES_MAX, comment.len());
            return Err(Refusal::TooLong { what: "a comment", max, found }.into());
        }
        let r#type = put.r#type.clone().or(before.as_ref().map(|version| version.r#type.clone()));
        let r#type = r#type.unwrap_or_default();
        check_name("a type", &r#type)?;
        check_name("an external name", put.external.as_deref().unwrap_or_default())?;
        let properties = put.properties.clone().or(before.as_ref().map(|version| version.properties.clone()));
        let content = match &put.content {
            ContentChange::Keep => before.and_then(|version| version.content),
            ContentChange::None => None,
            ContentChange::Set { media_type, bytes } => Some(self.bring_content(uri, media_type, bytes)?),
        };
        let (origin, made_from) = self.origin(put)?;
        let mut parents: Vec<Hash> =
            head.and_then(|head| head.working).into_iter().map(|working| working.id).collect();
        parents.extend(made_from.filter(|id| !parents.contains(id)));
        parents.truncate(PARENTS_MAX);
        Ok(Version {
            number: head.map_or(0, |head| head.versions) + 1,
            parents,
            r#type,
            properties: properties.unwrap_or_else(Properties::empty),
            content,
            author: self.transaction.author.clone(),
            time: self.plan.time,
            comment,
            origin,
        })
    }

    /// Where the version came from, and the version of another document it continues.
    fn origin(&self, put: &Put) -> Result<(Option<Origin>, Option<Hash>), PlanError> {
        let made_from = match &put.made_from {
            None => None,
            Some(other) => {
                let working = self.state.head(other)?.and_then(|head| head.working);
                Some((other.clone(), working.map(|working| working.id)))
            }
        };
        let id = made_from.as_ref().and_then(|(_, id)| *id);
        let external = put.external.clone().unwrap_or_default();
        let is_known = made_from.is_some() || !external.is_empty();
        let origin = is_known.then(|| Origin { document: made_from, server: String::new(), external });
        Ok((origin, id))
    }

    pub(super) fn read_version(&self, uri: &Uri, version: &VersionRef) -> Result<Option<Version>, PlanError> {
        let Some(body) = self.state.body(uri, &version.id)? else {
            return Ok(None);
        };
        let damaged =
            |error| apograph_store::StoreError::Damaged { what: format!("version {}: {error}", version.id) };
        Ok(Some(Version::decode(&body).map_err(damaged)?))
    }

    /// Brings a content into the document's partition, unless it has it.
    pub(super) fn bring_content(
        &mut self,
        uri: &Uri,
        media_type: &str,
        bytes: &ContentBytes,
    ) -> Result<Content, PlanError> {
        check_name("a media type", media_type)?;
        let partition = self.state.partitioning().of(uri);
        let fact = match bytes {
            ContentBytes::Inline(bytes) => inline_fact(bytes)?,
            ContentBytes::Spooled(spooled) => spooled.fact().clone(),
        };
        let source = |index| match bytes {
            ContentBytes::Inline(bytes) => PayloadSource::Memory(bytes.clone()),
            ContentBytes::Spooled(spooled) => PayloadSource::Spool(spooled.clone(), index),
        };
        let sources = (0..fact.chunks.len()).map(source).collect();
        self.bring(partition, &fact, sources)?;
        Ok(Content { hash: fact.hash, bytes: fact.bytes, media_type: media_type.to_owned() })
    }

    /// Plans the payloads of a content that the partition does not have.
    pub(super) fn bring(
        &mut self,
        partition: PartitionId,
        fact: &ContentFact,
        sources: Vec<PayloadSource>,
    ) -> Result<(), PlanError> {
        if self.state.content(partition, &fact.hash)?.is_some() {
            return Ok(());
        }
        self.state.add_content(partition, fact, sources.clone());
        for (index, (chunk, from)) in fact.chunks.iter().zip(sources).enumerate() {
            let bytes = fact.chunk_bytes(index);
            self.send(partition, PlannedPayload { hash: *chunk, bytes, from });
        }
        self.part(partition).contents.push(fact.clone());
        Ok(())
    }

    /// Plans a version body, and makes it known to what follows.
    pub(super) fn add_version(&mut self, uri: &Uri, version: &Version) -> VersionRef {
        let body = Payload::of(version.encode());
        let partition = self.state.partitioning().of(uri);
        self.state.add_version(uri, version.number, body.hash, body.bytes.clone());
        let (hash, bytes) = (body.hash, body.bytes.len());
        let content = version.content.as_ref().map(|content| content.hash);
        let named = VersionNames { id: hash, content, r#type: version.r#type.clone() };
        self.part(partition).named.push(named);
        self.send(partition, PlannedPayload { hash, bytes, from: PayloadSource::Memory(body.bytes) });
        VersionRef { number: version.number, id: body.hash }
    }

    fn send(&mut self, partition: PartitionId, payload: PlannedPayload) {
        if self.state.add_payload(partition, payload.hash) {
            self.part(partition).payloads.push(payload);
        }
    }

    pub(super) fn saved_head(
        &self,
        head: Option<Head>,
        kind: Kind,
        version: VersionRef,
        r#type: String,
    ) -> Head {
        let history = head.as_ref().map_or(Head::NO_HISTORY, |head| head.history);
        let history = Head::extend_history(&history, &version.id);
        let base = head.map(|head| without_expired_lock(head, self.timestamp));
        let state = match base.as_ref().map(|head| head.state) {
            Some(State::Published | State::PublishedWithChanges) => State::PublishedWithChanges,
            Some(State::Withdrawn) => State::Withdrawn,
            _ => State::Working,
        };
        let ever_live = base.as_ref().is_some_and(|head| head.ever_live);
        let live = base.as_ref().and_then(|head| head.live);
        Head {
            kind,
            state,
            working: Some(version),
            live,
            lock: base.and_then(|head| head.lock),
            history,
            versions: version.number,
            moved_to: None,
            changed: self.timestamp,
            r#type,
            ever_live,
        }
    }
}

pub(super) fn inline_fact(bytes: &Bytes) -> Result<ContentFact, PlanError> {
    if bytes.len() > CHUNK_BYTES_MAX {
        let (max, found) = (CHUNK_BYTES_MAX, bytes.len());
        return Err(Refusal::TooLong { what: "a content in memory", max, found }.into());
    }
    let hash = Hash::of(bytes);
    Ok(ContentFact { hash, bytes: bytes.len() as u64, chunks: vec![hash] })
}
