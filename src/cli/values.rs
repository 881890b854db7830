//! Values of flags: sizes and times.

use std::time::Duration;

use bytesize::ByteSize;
use clap::builder::RangedU64ValueParser;

/// A size such as `2MiB`, `100M` (a million) or a plain number of bytes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    text.parse::<ByteSize>().map(|size| size.as_u64()).map_err(|_| {
        "a size is a number of bytes, or one with a unit such as 512KiB, 2MiB (2 x 1048576) or 2MB (2 x 1000000)"
            .to_owned()
    })
}

/// A size that is more than nothing.
pub(super) fn some_size(text: &str) -> Result<u64, String> {
    let bytes = size(text)?;
    if bytes == 0 { Err("this size must be more than 0".to_owned()) } else { Ok(bytes) }
}

/// A time in seconds, such as `10` or `0.5`.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    text.parse::<f64>()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "a time is a number of seconds such as 10 or 0.5".to_owned())
}

/// A time in seconds that is more than none.
pub(super) fn some_seconds(text: &str) -> Result<Duration, String> {
    let time = seconds(text)?;
    if time.is_zero() { Err("this time must be more than 0".to_owned()) } else { Ok(time) }
}

/// The number of a user or group; the largest one means "none" to the kernel.
pub(super) fn id() -> RangedU64ValueParser<u32> {
    RangedU64ValueParser::new().range(0..u64::from(u32::MAX))
}

/// Permission bits as umask(1) takes them, such as `027`.
pub(super) fn umask(text: &str) -> Result<u16, String> {
    u16::from_str_radix(text, 8)
        .ok()
        .filter(|bits| *bits <= 0o777)
        .ok_or_else(|| "a umask is an octal number from 0 to 777, such as 027".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bytes_or_have_a_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("2M", 2_000_000),
            ("2MB", 2_000_000),
            ("100MiB", 100 << 20),
            ("1.5 GiB", 3 << 29),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        assert_eq!(some_size("1"), Ok(1));
        assert!(some_size("0").is_err() && some_size("0KiB").is_err());
        for text in ["", "MiB", "-1", "1 hogshead", "0x10", "nan"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn umasks_are_octal() {
        assert_eq!((umask("0"), umask("027"), umask("777")), (Ok(0), Ok(0o27), Ok(0o777)));
        for text in ["", "8", "1000", "-1", "u=rwx", "0o22"] {
            assert!(umask(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_seconds() {
        assert_eq!(some_seconds("0.5"), Ok(Duration::from_millis(500)));
        assert!(some_seconds("0").is_err() && some_seconds("x").is_err());
        assert_eq!(seconds("10"), Ok(Duration::from_secs(10)));
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        for text in ["", "-1", "nan", "inf", "1e300", "10s"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
