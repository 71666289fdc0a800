//! The text that documents are made of: chapters, each with its paragraphs and headings.

use std::fs;
use std::path::Path;

use crate::collection::Collection;
use crate::process::files;

/// Paragraphs below this are noise, those above it are tables and logs.
const PARAGRAPH_BYTES: std::ops::RangeInclusive<usize> = 60..=1200;

/// Real text.
#[derive(Debug)]
pub struct Corpus {
    /// In the order of their names.
    pub(super) chapters: Vec<Chapter>,
}

/// One file of the collection.
#[derive(Debug)]
pub(super) struct Chapter {
    /// For URIs: lower case, digits and hyphens.
    pub(super) slug: String,
    /// The same, of its headings; at least one.
    pub(super) headings: Vec<String>,
    /// At least one.
    pub(super) paragraphs: Vec<String>,
}

impl Corpus {
    /// The texts of the real collection; where that is absent, the documents of this project.
    pub fn load() -> Corpus {
        let root = tempfile::tempdir().unwrap();
        let named = match Collection::real(&root.path().join("collection.git")) {
            Some(collection) => collection.files().into_iter().collect(),
            None => own_documents(),
        };
        let is_text = |name: &str| name.ends_with(".md");
        let chapters: Vec<Chapter> = named
            .iter()
            .filter(|(name, _)| is_text(name))
            .filter_map(|(name, text)| chapter(name, text))
            .collect();
        assert!(!chapters.is_empty(), "there is no text to make documents of");
        Corpus { chapters }
    }

    /// All paragraphs, in their order.
    pub fn paragraphs(&self) -> impl Iterator<Item = &str> {
        self.chapters.iter().flat_map(|chapter| chapter.paragraphs.iter().map(String::as_str))
    }
}

fn own_documents() -> Vec<(String, Vec<u8>)> {
    println!("rfcs.bundle is not there: documents are made of this project's own");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut paths = files(&root.join("docs"));
    paths.extend(["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"].map(|name| root.join(name)));
    paths.sort();
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), fs::read(path).unwrap())).collect()
}

fn chapter(name: &str, text: &[u8]) -> Option<Chapter> {
    let text = std::str::from_utf8(text).ok()?;
    let name = name.rsplit('/').next()?;
    let headings = text.lines().filter_map(|line| line.strip_prefix("## ").map(slug));
    let mut headings: Vec<String> = headings.filter(|heading| !heading.is_empty()).collect();
    headings.dedup();
    if headings.is_empty() {
        headings.push("text".to_owned());
    }
    let paragraphs = text.split("\n\n").map(str::trim).filter(|text| PARAGRAPH_BYTES.contains(&text.len()));
    let paragraphs: Vec<String> = paragraphs.map(str::to_owned).collect();
    let slug = slug(name.trim_end_matches(".md"));
    (!paragraphs.is_empty() && !slug.is_empty()).then_some(Chapter { slug, headings, paragraphs })
}

/// Lower case ASCII letters and digits, other runs of characters as one hyphen, at most 60 bytes.
fn slug(text: &str) -> String {
    let mut slug = String::new();
    for character in text.chars().take(60) {
        if character.is_ascii_alphanumeric() {
            slug.push(character.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.trim_end_matches('-').to_owned()
}
