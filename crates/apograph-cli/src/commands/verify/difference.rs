//! A document that differs, and in what.

use apograph_client::format::View;
use serde::Serialize;
use serde_json::Value;

/// Details kept of one document; more are counted.
pub(super) const DETAILS_MAX: usize = 50;

/// A document that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Difference {
    pub(super) uri: String,
    pub(super) what: What,
    /// In what, if it is on both sides; the first ones.
    pub(super) details: Vec<Detail>,
    /// Details that are not listed.
    pub(super) more_details: u64,
}

/// How it differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum What {
    OnlyHere,
    OnlyThere,
    Different,
}

/// One thing that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "differs", rename_all = "kebab-case")]
pub(super) enum Detail {
    /// A field of the head.
    Head { field: String, here: Value, there: Value },
    /// A version that both have: in these members.
    Version { version: u64, members: Vec<String> },
    /// A version that only this one has.
    VersionOnlyHere { version: u64 },
    /// A version that only the other one has.
    VersionOnlyThere { version: u64 },
    /// A piece of a large content.
    Content { version: u64, offset: u64 },
    /// Bytes that cannot be read here.
    UnreadableHere {
        #[serde(skip_serializing_if = "Option::is_none")]
        version: Option<u64>,
        reason: String,
    },
    /// Bytes that cannot be read there.
    UnreadableThere {
        #[serde(skip_serializing_if = "Option::is_none")]
        version: Option<u64>,
        reason: String,
    },
}

impl Difference {
    pub(super) fn new(uri: String, what: What) -> Difference {
        Difference { uri, what, details: Vec::new(), more_details: 0 }
    }

    pub(super) fn add(&mut self, detail: Detail) {
        if self.details.len() < DETAILS_MAX {
            self.details.push(detail);
        } else {
            self.more_details += 1;
        }
    }

    pub(super) fn in_words(&self, view: View) -> String {
        let mut text = format!("  {:<11} {}\n", self.what.in_words(), self.uri);
        let numbers = |of: fn(&Detail) -> Option<u64>| {
            let numbers: Vec<_> =
                self.details.iter().filter_map(of).map(|number| number.to_string()).collect();
            (!numbers.is_empty()).then(|| numbers.join(", "))
        };
        let mut line = |line: String| text.push_str(&format!("              {line}\n"));
        for detail in &self.details {
            match detail {
                Detail::Head { field, here, there } => {
                    line(format!("head, {field}: {} here, {} there", short(here), short(there)));
                }
                Detail::Version { version, members } => {
                    line(format!("version {version}: {}", members.join(", ")));
                }
                Detail::Content { version, offset } => {
                    line(format!("version {version}: content from byte {offset} on"));
                }
                Detail::UnreadableHere { version, reason } => {
                    line(format!("{} cannot be read here: {reason}", version_in_words(*version)));
                }
                Detail::UnreadableThere { version, reason } => {
                    line(format!("{} cannot be read there: {reason}", version_in_words(*version)));
                }
                Detail::VersionOnlyHere { .. } | Detail::VersionOnlyThere { .. } => {}
            }
        }
        let only_here = numbers(|detail| match detail {
            Detail::VersionOnlyHere { version } => Some(*version),
            _ => None,
        });
        let only_there = numbers(|detail| match detail {
            Detail::VersionOnlyThere { version } => Some(*version),
            _ => None,
        });
        for (numbers, place) in [(only_here, "here"), (only_there, "there")] {
            if let Some(numbers) = numbers {
                line(match view {
                    View::Full => format!("versions only {place}: {numbers}"),
                    View::Published => format!("live version {place}: {numbers}"),
                });
            }
        }
        if self.more_details > 0 {
            line(format!("and {} more", self.more_details));
        }
        if self.what == What::Different && self.details.is_empty() {
            line("in nothing that an export shows".to_owned());
        }
        text
    }
}

impl What {
    fn in_words(self) -> &'static str {
        match self {
            What::OnlyHere => "only here",
            What::OnlyThere => "only there",
            What::Different => "different",
        }
    }
}

fn version_in_words(version: Option<u64>) -> String {
    version.map_or_else(|| "its history".to_owned(), |version| format!("version {version}"))
}

/// A value of a head on one line: ids as far as they tell versions apart.
fn short(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) if text.len() == 64 => text.chars().take(12).collect(),
        Value::String(text) => text.clone(),
        Value::Object(members) if members.contains_key("number") => {
            let id = members.get("id").map(short).unwrap_or_default();
            format!("{} ({id})", members.get("number").map(short).unwrap_or_default())
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_told_in_few_lines() {
        let mut difference = Difference::new("/a".into(), What::Different);
        let id = "ab".repeat(32);
        difference.add(Detail::Head {
            field: "live".into(),
            here: serde_json::json!({ "number": 3, "id": id }),
            there: Value::Null,
        });
        difference.add(Detail::VersionOnlyHere { version: 2 });
        difference.add(Detail::VersionOnlyHere { version: 3 });
        difference.add(Detail::Version { version: 1, members: vec!["author".into(), "content".into()] });
        for version in 0..60 {
            difference.add(Detail::VersionOnlyThere { version });
        }
        let text = difference.in_words(View::Full);
        assert!(text.starts_with(
            "  different   /a\n              head, live: 3 (abababababab) here, none there\n              version 1: author, content\n"
        ), "{text}");
        assert!(text.contains("versions only here: 2, 3\n"), "{text}");
        assert!(text.ends_with("and 14 more\n"), "{text}");
    }
}
