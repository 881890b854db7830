//! The text encodings in which CIDs are written.
//!
//! Invariant: the table holds the twenty multibases that Kubo reads, and decoding accepts no text
//! that encoding would not produce, but for the case of letters where the base has only one.

use multibase::Base;

/// One multibase: a prefix character, and the digits behind it.
pub(super) struct Multibase {
    prefix: char,
    pub(super) name: &'static str,
    base: Base,
    padded: bool,
    is_digit: fn(char) -> bool,
}

impl Multibase {
    /// Finds the multibase that a text is in, and its digits.
    pub(super) fn split(text: &str) -> Option<(&'static Multibase, &str)> {
        let prefix = text.chars().next()?;
        let digits = text.get(prefix.len_utf8()..)?;
        Some((MULTIBASES.iter().find(|row| row.prefix == prefix)?, digits))
    }

    /// The bytes, or `None` if the digits are not exactly an encoding of some.
    pub(super) fn decode(&self, digits: &str) -> Option<Vec<u8>> {
        // The decoder would take several padded texts in a row for one.
        if self.padded && digits.trim_end_matches('=').contains('=') {
            return None;
        }
        self.base.decode(digits).ok()
    }

    /// The first character that is no digit, and its place counted from zero. Padding at the end
    /// is not complained of where the base has it.
    pub(super) fn first_wrong(&self, digits: &str) -> Option<(usize, char)> {
        let digits = if self.padded { digits.trim_end_matches('=') } else { digits };
        digits.chars().enumerate().find(|(_, digit)| !(self.is_digit)(*digit))
    }
}

/// The digits of CIDv0, which has no prefix.
pub(super) static BASE58BTC: Multibase = unpadded('z', "base58btc", Base::Base58Btc, base58);

static MULTIBASES: [Multibase; 20] = [
    unpadded('b', "base32", Base::Base32Lower, base32),
    unpadded('z', "base58btc", Base::Base58Btc, base58),
    unpadded('k', "base36", Base::Base36Lower, base36),
    unpadded('f', "base16", Base::Base16Lower, base16),
    unpadded('u', "base64url", Base::Base64Url, base64url),
    unpadded('m', "base64", Base::Base64, base64),
    unpadded('B', "base32upper", Base::Base32Upper, base32),
    unpadded('K', "base36upper", Base::Base36Upper, base36),
    unpadded('F', "base16upper", Base::Base16Upper, base16),
    unpadded('Z', "base58flickr", Base::Base58Flickr, base58),
    unpadded('v', "base32hex", Base::Base32HexLower, base32hex),
    unpadded('V', "base32hexupper", Base::Base32HexUpper, base32hex),
    unpadded('0', "base2", Base::Base2, |digit| matches!(digit, '0' | '1')),
    unpadded('🚀', "base256emoji", Base::Base256Emoji, emoji),
    padded('c', "base32pad", Base::Base32PadLower, base32),
    padded('C', "base32padupper", Base::Base32PadUpper, base32),
    padded('t', "base32hexpad", Base::Base32HexPadLower, base32hex),
    padded('T', "base32hexpadupper", Base::Base32HexPadUpper, base32hex),
    padded('M', "base64pad", Base::Base64Pad, base64),
    padded('U', "base64urlpad", Base::Base64UrlPad, base64url),
];

const fn unpadded(prefix: char, name: &'static str, base: Base, is_digit: fn(char) -> bool) -> Multibase {
    Multibase { prefix, name, base, padded: false, is_digit }
}

const fn padded(prefix: char, name: &'static str, base: Base, is_digit: fn(char) -> bool) -> Multibase {
    Multibase { prefix, name, base, padded: true, is_digit }
}

fn base16(digit: char) -> bool {
    digit.is_ascii_hexdigit()
}

fn base32(digit: char) -> bool {
    digit.is_ascii_alphabetic() || matches!(digit, '2'..='7')
}

fn base32hex(digit: char) -> bool {
    matches!(digit, '0'..='9' | 'a'..='v' | 'A'..='V')
}

fn base36(digit: char) -> bool {
    digit.is_ascii_alphanumeric()
}

fn base58(digit: char) -> bool {
    digit.is_ascii_alphanumeric() && !matches!(digit, '0' | 'O' | 'I' | 'l')
}

fn base64(digit: char) -> bool {
    digit.is_ascii_alphanumeric() || matches!(digit, '+' | '/')
}

fn base64url(digit: char) -> bool {
    digit.is_ascii_alphanumeric() || matches!(digit, '-' | '_')
}

fn emoji(digit: char) -> bool {
    Base::Base256Emoji.decode(digit.encode_utf8(&mut [0; 4])).is_ok()
}
