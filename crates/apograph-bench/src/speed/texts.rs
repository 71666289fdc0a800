//! Documents of about 2 KiB of real text, and the requests that carry them.

use serde_json::json;

use super::floor::push_pair;
use crate::documents::Corpus;

/// Bytes of a document's text, at least; one paragraph more than that is cut off.
const TEXT_BYTES: usize = 2000;
/// Distinct texts. Document `n` has text `n` modulo this, behind its own number: no two documents have the same content,
/// which Apograph would keep once.
const TEXTS: usize = 20_000;
/// Where the number goes.
const NUMBER: &str = "0000000000";

/// Texts, made once for a run.
#[derive(Debug)]
pub struct Texts {
    /// As bodies of `PUT …/documents/…`.
    requests: Vec<Template>,
}

#[derive(Debug)]
struct Template {
    bytes: Vec<u8>,
    number_at: usize,
}

impl Texts {
    /// Cuts the corpus into pieces; where it is too short for so many, pieces begin at other places of it.
    pub fn make(corpus: &Corpus) -> Texts {
        let all = corpus.paragraphs().collect::<Vec<_>>().join("\n\n");
        let step = TEXT_BYTES.min(all.len() / TEXTS).max(1);
        let request = |number: usize| {
            let text = piece(&all, number * step);
            let title: String = text.lines().next().unwrap_or_default().chars().take(60).collect();
            let properties = json!({ "title": title, "author": "the editors" });
            let text = format!("{NUMBER} {text}");
            let request = json!({ "type": "article", "properties": properties, "body": text }).to_string();
            let number_at = request.find(NUMBER).expect("the text begins with it");
            Template { bytes: request.into_bytes(), number_at }
        };
        Texts { requests: (0..TEXTS).map(request).collect() }
    }

    /// What saves it, without its name.
    pub(super) fn request(&self, number: u64) -> Vec<u8> {
        let template = &self.requests[number as usize % TEXTS];
        let mut request = template.bytes.clone();
        let digits = format!("{number:0width$}", width = NUMBER.len());
        request[template.number_at..template.number_at + NUMBER.len()].copy_from_slice(digits.as_bytes());
        request
    }

    /// One transaction of Apograph that saves all of these.
    pub(super) fn transaction(&self, numbers: std::ops::Range<u64>) -> Vec<u8> {
        let mut body = b"{\"operations\":[".to_vec();
        for number in numbers.clone() {
            if number > numbers.start {
                body.push(b',');
            }
            let request = self.request(number);
            body.extend_from_slice(format!("{{\"op\":\"put\",\"uri\":\"/{}\",", key(number)).as_bytes());
            body.extend_from_slice(&request[1..]);
        }
        body.extend_from_slice(b"]}");
        body
    }

    /// The same for the floor.
    pub(super) fn pairs(&self, numbers: std::ops::Range<u64>) -> Vec<u8> {
        let mut body = Vec::new();
        for number in numbers {
            push_pair(&mut body, key(number).as_bytes(), &self.request(number));
        }
        body
    }

    /// Mean bytes of a document as it is sent.
    pub(super) fn mean_bytes(&self) -> f64 {
        self.requests.iter().map(|request| request.bytes.len()).sum::<usize>() as f64
            / self.requests.len() as f64
    }
}

/// The name of a document.
pub(super) fn key(number: u64) -> String {
    format!("d{number:010}")
}

fn piece(all: &str, from: usize) -> String {
    let boundary = |at: usize| (at..=all.len()).find(|at| all.is_char_boundary(*at)).unwrap_or(all.len());
    let from = boundary(from % all.len().saturating_sub(TEXT_BYTES).max(1));
    all[from..boundary((from + TEXT_BYTES).min(all.len()))].to_owned()
}
