//! What a copy is given to see.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which part of a database a journal, a digest or an export covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum View {
    /// Everything, version history included.
    Full,
    /// Live versions only.
    Published,
}

/// A view's name is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown view {found:?}; use `full` or `published`")]
pub struct UnknownView {
    /// The name given.
    pub found: String,
}

impl View {
    /// Every view there is.
    pub const ALL: [View; 2] = [View::Full, View::Published];

    /// Stored form. Never reused.
    pub fn tag(self) -> u8 {
        match self {
            View::Full => 1,
            View::Published => 2,
        }
    }

    /// The view of a stored tag.
    pub fn from_tag(tag: u8) -> Option<View> {
        View::ALL.into_iter().find(|view| view.tag() == tag)
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            View::Full => "full",
            View::Published => "published",
        })
    }
}

impl FromStr for View {
    type Err = UnknownView;
    fn from_str(text: &str) -> Result<View, UnknownView> {
        View::ALL
            .into_iter()
            .find(|view| view.to_string() == text)
            .ok_or_else(|| UnknownView { found: text.chars().take(80).collect() })
    }
}
