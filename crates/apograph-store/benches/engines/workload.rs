//! The documents: the same for every candidate, from a fixed seed.

/// Words are drawn by Zipf's law from a vocabulary of common English words and longer made-up ones.
pub struct Workload {
    text: Vec<u8>,
    documents: u64,
}

pub struct Transaction<'a> {
    pub at: u64,
    pub uri: Vec<u8>,
    pub head: &'a [u8],
    pub body_hash: [u8; 32],
    pub body: &'a [u8],
    pub content_hash: [u8; 32],
    pub content: &'a [u8],
    /// Two records of the hash tree.
    pub nodes: [([u8; 5], &'a [u8]); 2],
}

const COMMON: &str = "the of and to in a is that for it as was with be by on not he his but at are this have from or had \
    an they which one you were all her she there would their we him been has when who will no more if out so up said what \
    its about than into them can only other time new some could these two may first then do any like my now over such our \
    man me even most made after also did many off before must well back through years where much your way down should \
    because long each just state those people too mr how little good world make very year still see own work men day get \
    here old life both between being under three never know same last another while us might great go come since against";

const SECTIONS: u64 = 1_000;

impl Workload {
    pub fn new(documents: u64) -> Self {
        let mut random = Random(42);
        let mut words: Vec<String> = COMMON.split_whitespace().map(str::to_owned).collect();
        let syllables = [
            "re", "con", "ti", "al", "ment", "pro", "ver", "ing", "de", "ter", "ac", "un", "is", "tor", "ly",
            "es",
        ];
        while words.len() < 6_000 {
            words.push((0..2 + random.below(3)).map(|_| syllables[random.below(16) as usize]).collect());
        }
        let mut text = Vec::with_capacity(8 << 20);
        while text.len() < 8 << 20 {
            // Log-uniform rank: frequency falls as 1/rank.
            let rank = (words.len() as f64).powf(random.below(1 << 20) as f64 / (1 << 20) as f64);
            text.extend_from_slice(words[rank as usize - 1].as_bytes());
            text.extend_from_slice(if random.below(12) == 0 { b".\n" } else { b" " });
        }
        Self { text, documents }
    }

    /// Transaction `index`; every fifth changes an earlier document.
    pub fn transaction(&self, index: u64) -> Transaction<'_> {
        let mut random = Random(index.wrapping_mul(0x5851_F42D_4C95_7F2D) ^ 7);
        let document = self.document_of(index);
        Transaction {
            at: timestamp(index),
            uri: uri(document),
            head: self.excerpt(&mut random, 150),
            body_hash: hash(index, 1),
            body: self.excerpt(&mut random, 200),
            content_hash: hash(index, 2),
            content: self.excerpt(&mut random, 2_048),
            nodes: std::array::from_fn(|_| (node(random.below(1 << 17)), self.excerpt(&mut random, 40))),
        }
    }

    /// The document that transaction `index` writes.
    pub fn document_of(&self, index: u64) -> u64 {
        if index % 5 == 4 { Random(index).below(index) / 5 * 5 } else { index }
    }

    /// A transaction that has happened, and a moment at or after it.
    pub fn past(&self, random: &mut Random) -> (u64, u64) {
        let index = random.below(self.documents);
        (index, timestamp(index + random.below(self.documents - index)))
    }

    fn excerpt(&self, random: &mut Random, bytes: usize) -> &[u8] {
        let start = random.below((self.text.len() - bytes) as u64) as usize;
        &self.text[start..start + bytes]
    }
}

/// A commit timestamp in 2024, a millisecond apart.
pub fn timestamp(index: u64) -> u64 {
    1_730_000_000_000_000 + index * 1_000
}

pub fn uri(document: u64) -> Vec<u8> {
    let section = Random(document).below(SECTIONS);
    format!("/site/section-{section:03}/article-{document:08}").into_bytes()
}

pub fn section(number: u64) -> Vec<u8> {
    format!("/site/section-{:03}/", number % SECTIONS).into_bytes()
}

pub fn hash(index: u64, of: u64) -> [u8; 32] {
    let mut random = Random(index << 2 | of);
    let mut hash = [0; 32];
    hash.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&random.next().to_be_bytes()));
    hash
}

fn node(number: u64) -> [u8; 5] {
    let mut key = [b'~'; 5];
    key[1..].copy_from_slice(&(number as u32).to_be_bytes());
    key
}

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }
}
