//! What is done to a database: random transactions, valid and not, and what happens to servers in between.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use apograph::Operation;
use apograph::format::{Hash, Kind, Properties, Uri};
use apograph::transaction::{
    Action, ContentBytes, ContentChange, CursorMove, Precondition, Put, Transaction,
};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::option::{self, weighted};
use proptest::prelude::*;
use proptest::sample::select;

/// Documents that are written about; they lie in different partitions.
pub const URIS: [&str; 9] =
    ["/a", "/a/b", "/a/c", "/b", "/b/x", "/c", "/über", "/_system/users/ann", "/_system/config/x"];

#[derive(Debug, Clone)]
pub enum Step {
    /// Transactions that are handed over together, so that they may share a sync.
    Commit(Vec<Transaction>),
    Follow,
    FollowSome(u64),
    Restart(&'static str),
    Crash(&'static str),
    /// The primary is compared with the model.
    Check,
}

const SERVERS: [&str; 4] = ["primary", "replica", "second", "staging"];

/// Contents that documents share: small ones, one in a file of its own, and two that share their first chunk.
static CONTENTS: LazyLock<Vec<Bytes>> = LazyLock::new(|| {
    let mut contents: Vec<Bytes> = (0..4).map(|n| format!("text CANARY-content{n}").into()).collect();
    contents.push([vec![b'f'; 70_000], b"CANARY-content4".to_vec()].concat().into());
    for n in 5..7 {
        let first = [b"CANARY-content7".to_vec(), vec![b'l'; (1 << 20) - 15]].concat();
        contents.push([first, format!("CANARY-content{n}").into()].concat().into());
    }
    contents
});

pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        16 => vec(transaction(), 1..=4).prop_map(Step::Commit),
        2 => Just(Step::Follow),
        3 => any::<u64>().prop_map(Step::FollowSome),
        1 => select(&SERVERS[..]).prop_map(Step::Restart),
        1 => select(&SERVERS[..]).prop_map(Step::Crash),
        1 => Just(Step::Check),
    ];
    vec(step, 1..60)
}

fn transaction() -> impl Strategy<Value = Transaction> {
    // Most are small, for one invalid operation refuses all.
    let operations = prop_oneof![2 => vec(operation(), 3..=6), 4 => vec(operation(), 1..=2), 4 => vec(operation(), 1), 1 => vec(purge(), 1)];
    let time = weighted(0.3, Just(1_000_000));
    (
        operations,
        remark(),
        time,
        prop::bool::weighted(0.6),
        select(&["ann", "bob"][..]),
        weighted(0.1, cursor()),
    )
        .prop_map(|(operations, comment, time, privileged, author, cursor)| Transaction {
            author: author.into(),
            comment,
            time,
            operations,
            cursor,
            privileged,
        })
}

fn cursor() -> impl Strategy<Value = CursorMove> {
    let position = || select(&["1", "2"][..]).prop_map(str::to_owned);
    (option::of(position()), position()).prop_map(|(previous, position)| CursorMove {
        name: "import".into(),
        previous,
        position,
    })
}

fn operation() -> impl Strategy<Value = Operation> {
    let precondition = prop_oneof![
        20 => Just(Precondition::None),
        2 => (1..4_u64).prop_map(Precondition::Version),
        1 => Just(Precondition::Id(Hash::of(b"no version"))),
        1 => Just(Precondition::Absent),
        1 => Just(Precondition::Present),
    ];
    let owner = weighted(0.2, select(&["ann", "eve"][..]).prop_map(str::to_owned));
    let action = prop_oneof![
        10 => put().prop_map(Action::Put),
        6 => weighted(0.3, 1..4_u64).prop_map(|version| Action::Publish { version }),
        2 => Just(Action::Withdraw),
        2 => Just(Action::Trash),
        2 => Just(Action::Restore),
        3 => uri().prop_map(|to| Action::Move { to }),
        3 => (owner, select(&[0, 3_600][..])).prop_map(|(owner, seconds)| Action::Lock { owner, seconds }),
        1 => Just(Action::Unlock),
        1 => Just(Action::Purge),
    ];
    (uri(), precondition, action).prop_map(|(uri, precondition, action)| Operation {
        uri,
        precondition,
        action,
    })
}

fn purge() -> impl Strategy<Value = Operation> {
    uri().prop_map(|uri| Operation { uri, precondition: Precondition::None, action: Action::Purge })
}

fn put() -> impl Strategy<Value = Put> {
    let content = prop_oneof![
        3 => Just(ContentChange::Keep),
        1 => Just(ContentChange::None),
        6 => prop_oneof![8 => 0..4_usize, 1 => 4..7_usize].prop_map(|index| ContentChange::Set {
            media_type: "text/plain".into(),
            bytes: ContentBytes::Inline(CONTENTS[index].clone()),
        }),
    ];
    let kind = weighted(0.15, select(&[Kind::Document, Kind::Node, Kind::User, Kind::Config][..]));
    let r#type = option::of(select(&["", "article", "page"][..]).prop_map(str::to_owned));
    let properties =
        canary().prop_map(|canary| Properties::parse(&format!(r#"{{"canary":"{canary}"}}"#)).unwrap());
    let external = weighted(0.1, Just("elsewhere".to_owned()));
    (kind, r#type, weighted(0.6, properties), content, option::of(canary()), external, weighted(0.1, uri()))
        .prop_map(|(kind, r#type, properties, content, comment, external, made_from)| Put {
            kind,
            r#type,
            properties,
            content,
            comment,
            external,
            made_from,
        })
}

fn uri() -> impl Strategy<Value = Uri> {
    select(&URIS[..]).prop_map(|uri| Uri::parse(uri).unwrap())
}

/// A text that is found again wherever it gets to. Some are used twice, so that versions may be equal.
fn canary() -> impl Strategy<Value = String> {
    prop_oneof![any::<u32>().prop_map(|n| format!("CANARY-{n:08x}")), Just("CANARY-common00".to_owned())]
}

/// The comment of a transaction. It stays in the journal when what was written is purged, so it is like no text of a
/// document.
fn remark() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<u32>().prop_map(|n| format!("CANARY-r{:07x}", n >> 4)),
        Just("CANARY-remark00".to_owned())
    ]
}

/// All canaries in these bytes.
pub fn canaries_in(bytes: &[u8]) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(bytes);
    text.match_indices("CANARY-").map(|(at, _)| text[at..].chars().take(15).collect()).collect()
}

pub fn bytes_of(content: &ContentBytes) -> Bytes {
    match content {
        ContentBytes::Inline(bytes) => bytes.clone(),
        ContentBytes::Spooled(_) => unreachable!("the model is given contents before they are spooled"),
    }
}
