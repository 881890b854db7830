//! Values of flags: sizes and times.

use std::time::Duration;

use bytesize::ByteSize;

/// A size such as `2MiB`, `100M` (a million) or a plain number of bytes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    text.parse::<ByteSize>().map(|size| size.as_u64()).map_err(|_| {
        "a size is a number of bytes, or one with a unit such as 512KiB, 2MiB (2 x 1048576) or 2MB (2 x 1000000)"
            .to_owned()
    })
}

/// A time in seconds, such as `10` or `0.5`.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    text.parse::<f64>()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "a time is a number of seconds such as 10 or 0.5".to_owned())
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
        for text in ["", "MiB", "-1", "1 hogshead", "0x10", "nan"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_seconds() {
        assert_eq!(seconds("10"), Ok(Duration::from_secs(10)));
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        for text in ["", "-1", "nan", "inf", "1e300", "10s"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
