//! The contents that a run writes, and the names that it uses.
//!
//! Few of each, so that operations meet: contents are prefixes of each other, and every content
//! has many names. Keys and spellings are computed here, without the program's own code.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use multibase::Base;
use sha2::Digest as _;

use super::random::Random;

/// Largest block of the mounts here, in bytes.
pub const LIMIT: usize = 100 << 10;

const IDENTITY: u64 = 0x00;
const SHA2_256: u64 = 0x12;
const SHA2_512: u64 = 0x13;
const BLAKE3: u64 = 0x1e;
const RAW: u8 = 0x55;
const DAG_PB: u8 = 0x70;
const DAG_CBOR: u8 = 0x71;

/// What a block is stored by: hash function and digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    code: u64,
    digest: Vec<u8>,
}

impl Key {
    fn of(code: u64, length: usize, bytes: &[u8]) -> Self {
        let mut digest = match code {
            // It is compared as a whole.
            IDENTITY => return Self { code, digest: bytes.to_vec() },
            SHA2_256 => sha2::Sha256::digest(bytes).to_vec(),
            SHA2_512 => sha2::Sha512::digest(bytes).to_vec(),
            BLAKE3 => blake3::hash(bytes).as_bytes().to_vec(),
            other => unreachable!("hash function {other:x}"),
        };
        digest.truncate(length);
        Self { code, digest }
    }

    /// What bytes under a plain name are stored by.
    pub fn own(bytes: &[u8]) -> Self {
        Self::of(SHA2_256, 32, bytes)
    }

    pub fn matches(&self, bytes: &[u8]) -> bool {
        Self::of(self.code, self.digest.len(), bytes) == *self
    }

    /// The bytes that the name itself holds.
    pub fn identity(&self) -> Option<&[u8]> {
        (self.code == IDENTITY).then_some(&self.digest[..])
    }

    fn cid(&self, codec: u8) -> Vec<u8> {
        let mut cid = vec![1, codec, self.code as u8, self.digest.len() as u8];
        cid.extend_from_slice(&self.digest);
        cid
    }

    /// The name that a listing shows for a block that was first stored under this codec.
    fn listed(&self, codec: u8) -> String {
        multibase::encode(Base::Base32Lower, self.cid(codec))
    }

    pub fn listed_raw(&self) -> String {
        self.listed(RAW)
    }

    /// All names that a listing may show for it here.
    pub fn forms(&self) -> BTreeSet<String> {
        let mut forms: BTreeSet<String> = [RAW, DAG_PB, DAG_CBOR].map(|codec| self.listed(codec)).into();
        if self.code == SHA2_256 && self.digest.len() == 32 {
            forms.insert(self.listed_v0());
        }
        forms
    }

    fn listed_v0(&self) -> String {
        let mut multihash = vec![self.code as u8, self.digest.len() as u8];
        multihash.extend_from_slice(&self.digest);
        multibase::encode(Base::Base58Btc, multihash).split_off(1)
    }
}

/// What a name means, whatever is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A CID of the block with this key; how a listing writes its form.
    Cid { key: Key, listed: String },
    /// Any other name; whether tools rename such files.
    Plain { temporary: bool },
    /// A name that no file can have: the errno of creating it, and that of looking for it.
    Never { create: i32, look: i32 },
}

/// A file name.
#[derive(Clone, PartialEq, Eq)]
pub struct Name {
    pub text: String,
    pub kind: Kind,
}

pub type NameRef = Arc<Name>;

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", if self.text.len() > 80 { &self.text[..80] } else { &self.text })
    }
}

impl Name {
    fn cid(text: String, key: &Key, listed: String) -> NameRef {
        Arc::new(Self { text, kind: Kind::Cid { key: key.clone(), listed } })
    }

    fn plain(text: &str, temporary: bool) -> NameRef {
        Arc::new(Self { text: text.to_owned(), kind: Kind::Plain { temporary } })
    }

    fn never(text: String, create: i32, look: i32) -> NameRef {
        Arc::new(Self { text, kind: Kind::Never { create, look } })
    }

    /// The name of a block as a listing shows it.
    pub fn of_block(key: &Key, listed: &str) -> NameRef {
        Self::cid(listed.to_owned(), key, listed.to_owned())
    }
}

/// Bytes to write: a part of one of the contents, or the same byte again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Data {
    Part { content: usize, from: usize, length: usize },
    Fill { byte: u8, length: usize },
}

/// The contents and names of one run.
pub struct World {
    pub contents: Vec<Vec<u8>>,
    /// The names of each content.
    pub spellings: Vec<Vec<NameRef>>,
    pub plain: Vec<NameRef>,
    pub temporary: Vec<NameRef>,
    pub never: Vec<NameRef>,
    pub lane: Lane,
}

/// Which of several runs on one mount this is. Nothing that one writes has the bytes of another:
/// contents begin with the number of the lane, and lengths that are cut have it as their remainder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lane {
    pub number: usize,
    pub of: usize,
}

impl Lane {
    pub const ALONE: Lane = Lane { number: 0, of: 1 };
}

/// Lengths of the contents that are prefixes of one stream, and of those of another.
const FIRST: [usize; 8] = [1, 10, 100, 4096, 5000, 20_000, 65_536, LIMIT];
const SECOND: [usize; 4] = [10, 90, 4097, 70_000];

impl World {
    pub fn new(seed: u64, lane: Lane) -> Self {
        let mut random = Random::new(seed);
        let mut stream = |length: usize| {
            let mut bytes = vec![lane.number as u8 + 1];
            bytes.extend(std::iter::repeat_with(|| random.next() as u8).take(length));
            bytes
        };
        let (first, second) = (stream(LIMIT), stream(LIMIT));
        let mut contents: Vec<Vec<u8>> = Vec::new();
        if lane == Lane::ALONE {
            contents.push(Vec::new());
            contents.extend(FIRST.iter().map(|length| first[..*length].to_vec()));
        } else {
            contents.extend(FIRST[1..].iter().map(|length| first[..*length].to_vec()));
        }
        contents.extend(SECOND.iter().map(|length| second[..*length].to_vec()));
        let spellings = contents.iter().map(|content| spellings(content)).collect();
        let tag = if lane == Lane::ALONE { String::new() } else { format!("{}-", lane.number) };
        let plain = ["a", "b", "photo.jpg", "zwei W\u{f6}rter", ".env.sample", "x.tmp"];
        let temporary = [".a.tmp", ".photo.jpg.aB3xY9", ".b.swp"];
        let tagged = |name: &&str| match name.strip_prefix('.') {
            Some(hidden) => format!(".{tag}{hidden}"),
            None => format!("{tag}{name}"),
        };
        Self {
            spellings,
            plain: plain.iter().map(|name| Name::plain(&tagged(name), false)).collect(),
            temporary: temporary.iter().map(|name| Name::plain(&tagged(name), true)).collect(),
            never: never(&contents[2]),
            contents,
            lane,
        }
    }

    pub fn bytes(&self, data: Data) -> Vec<u8> {
        match data {
            Data::Part { content, from, length } => self.contents[content][from..from + length].to_vec(),
            Data::Fill { byte, length } => vec![byte; length],
        }
    }

    /// A length near `length` that this lane may cut or extend a file to.
    pub fn cut(&self, length: usize) -> usize {
        if length == 0 { 0 } else { length / self.lane.of * self.lane.of + self.lane.number }
    }
}

/// Names of one content: several of its block, and some of others that have the same bytes.
fn spellings(content: &[u8]) -> Vec<NameRef> {
    let key = Key::own(content);
    let raw = key.listed(RAW);
    let mut names = vec![
        Name::cid(raw.clone(), &key, raw.clone()),
        Name::cid(raw.clone(), &key, raw.clone()),
        Name::cid(key.listed_v0(), &key, key.listed_v0()),
        Name::cid(key.listed(DAG_CBOR), &key, key.listed(DAG_CBOR)),
        Name::cid(raw.to_uppercase(), &key, raw.clone()),
        Name::cid(multibase::encode(Base::Base58Btc, key.cid(RAW)), &key, raw.clone()),
        Name::cid(multibase::encode(Base::Base16Lower, key.cid(DAG_PB)), &key, key.listed(DAG_PB)),
    ];
    for (code, length) in [(BLAKE3, 32), (SHA2_512, 64), (SHA2_256, 20)] {
        let key = Key::of(code, length, content);
        names.push(Name::cid(key.listed(RAW), &key, key.listed(RAW)));
    }
    if content.len() <= 100 {
        let key = Key::of(IDENTITY, content.len(), content);
        names.push(Name::cid(key.listed(RAW), &key, key.listed(RAW)));
    }
    names
}

/// Names that no file can have, and why.
fn never(content: &[u8]) -> Vec<NameRef> {
    let key = Key::own(content);
    let raw = key.listed(RAW);
    let md5 = Key { code: 0xd5, digest: vec![7; 16] };
    // Two-byte varints, written out.
    let mut unknown = vec![1, RAW, 0xff, 0x7e, 32];
    unknown.extend([7; 32]);
    let mut refused = vec![1, RAW, 0xd5, 0x01, 16];
    refused.extend(md5.digest);
    let base32 = |cid: Vec<u8>| multibase::encode(Base::Base32Lower, cid);
    vec![
        Name::never(raw[..raw.len() - 2].to_owned(), libc::EINVAL, libc::ENOENT),
        Name::never(key.listed_v0()[..44].to_owned(), libc::EINVAL, libc::ENOENT),
        Name::never(base32(refused), libc::EINVAL, libc::ENOENT),
        Name::never(base32(unknown), libc::EOPNOTSUPP, libc::ENOENT),
        Name::never("n".repeat(256), libc::ENAMETOOLONG, libc::ENAMETOOLONG),
    ]
}
