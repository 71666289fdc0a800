//! What is done to a database: something of everything, always the same.

use apograph::format::{Properties, Uri};
use apograph::transaction::{Action, ContentBytes, ContentChange, Precondition, Put, Transaction};
use apograph::{Database, Operation};

/// A step of the script.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// A transaction.
    Commit(Vec<(&'static str, Do)>),
    /// The server is idle until it has written a checkpoint.
    Rest,
    /// The server is stopped and started.
    Restart,
}

/// What is done to a document.
#[derive(Debug, Clone)]
pub(crate) enum Do {
    /// Saved with this text.
    Put(String),
    /// Saved with a content of so many bytes.
    PutLarge(usize),
    /// Published.
    Publish,
    /// Withdrawn.
    Withdraw,
    /// Into the trash.
    Trash,
    /// Out of it.
    Restore,
    /// Erased.
    Purge,
    /// Moved.
    Move(&'static str),
}

/// Steps.
#[derive(Debug, Clone)]
pub(crate) struct Script(pub(crate) Vec<Step>);

const NAMES: [&str; 9] = ["/a", "/b", "/c/1", "/c/2", "/d", "/e", "/f", "/g", "/h"];

impl Script {
    /// Eleven to thirteen transactions and a restart in each round; four rounds have everything.
    pub(crate) fn new(rounds: usize) -> Script {
        let mut steps = Vec::new();
        for round in 0..rounds {
            for (index, name) in NAMES.iter().enumerate() {
                let mut changes = vec![(*name, Do::Put(text(round, index)))];
                if (index + round) % 3 == 0 {
                    changes.push((*name, Do::Publish));
                }
                if index % 4 == 1 {
                    // Documents of several partitions in one transaction.
                    let other = NAMES[(index + 3) % NAMES.len()];
                    changes.push((other, Do::Put(text(round + 10, index))));
                    changes.push(("/_system/config/x", Do::Put(text(round, index))));
                }
                steps.push(Step::Commit(changes));
            }
            steps.extend(match round % 4 {
                0 => vec![one("/large", Do::PutLarge(1_300_000)), one("/large", Do::Publish), Step::Rest],
                1 => vec![
                    one("/a", Do::Withdraw),
                    one("/b", Do::Move("/moved/b")),
                    one("/c/1", Do::Trash),
                    one("/d", Do::Purge),
                    Step::Rest,
                ],
                2 => vec![
                    one("/c/1", Do::Put("from the trash".into())),
                    one("/moved/b", Do::Publish),
                    one("/large", Do::Purge),
                    one("/e", Do::Trash),
                    one("/e", Do::Restore),
                ],
                _ => vec![one("/g", Do::Trash), one("/h", Do::Publish)],
            });
            steps.push(Step::Restart);
        }
        steps.push(one("/last", Do::Put("the last".into())));
        steps.push(Step::Rest);
        Script(steps)
    }
}

fn one(name: &'static str, what: Do) -> Step {
    Step::Commit(vec![(name, what)])
}

/// Some hundred to some thousand bytes that compress to nothing special.
fn text(round: usize, index: usize) -> String {
    format!("round {round} of document {index}. ").repeat(1 + (round * 7 + index * 13) % 60)
}

/// The transaction of a step, as this database takes it.
pub(crate) fn transaction(database: &Database, changes: &[(&'static str, Do)]) -> Transaction {
    let operation = |(name, what): &(&'static str, Do)| Operation {
        uri: Uri::parse(name).unwrap(),
        precondition: Precondition::None,
        action: action(database, name, what),
    };
    Transaction {
        author: "ann".into(),
        comment: "a step".into(),
        operations: changes.iter().map(operation).collect(),
        privileged: true,
        ..Transaction::default()
    }
}

fn action(database: &Database, name: &str, what: &Do) -> Action {
    let put = |bytes: ContentBytes| {
        let is_system = name.starts_with("/_system/config");
        Action::Put(Put {
            kind: is_system.then_some(apograph::format::Kind::Config),
            properties: Some(Properties::parse(r#"{"title":"x"}"#).unwrap()),
            content: ContentChange::Set { media_type: "text/plain".into(), bytes },
            ..Put::default()
        })
    };
    match what {
        Do::Put(text) => put(ContentBytes::Inline(text.clone().into())),
        Do::PutLarge(bytes) => {
            let mut spool = database.spool();
            let large: Vec<u8> = (0..*bytes).map(|at| (at / 251) as u8).collect();
            spool.write(&large).unwrap();
            put(spool.finish().unwrap())
        }
        Do::Publish => Action::Publish { version: None },
        Do::Withdraw => Action::Withdraw,
        Do::Trash => Action::Trash,
        Do::Restore => Action::Restore,
        Do::Purge => Action::Purge,
        Do::Move(to) => Action::Move { to: Uri::parse(to).unwrap() },
    }
}
