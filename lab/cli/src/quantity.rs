//! Numbers as people read them.

/// Groups digits: `1,234,567` reads faster than `1234567`.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A count, or a dash when the image has no way to tell.
pub(crate) fn optional_count(value: Option<u64>) -> String {
    value.map_or_else(|| "-".to_owned(), count)
}

/// Bytes with a binary unit and one decimal.
pub(crate) fn bytes(value: u64) -> String {
    scaled(value, 1024, &["B", "KiB", "MiB", "GiB", "TiB"])
}

/// Nanoseconds with the unit that fits and one decimal.
pub(crate) fn nanoseconds(value: u64) -> String {
    scaled(value, 1000, &["ns", "us", "ms", "s"])
}

fn scaled(value: u64, step: u64, units: &[&str]) -> String {
    let mut divisor = 1;
    let mut unit = 0;
    while value / divisor >= step && unit + 1 < units.len() {
        divisor *= step;
        unit += 1;
    }
    if unit == 0 {
        return format!("{value} {}", units[0]);
    }
    let tenths = u128::from(value) * 10 / u128::from(divisor);
    format!("{}.{} {}", tenths / 10, tenths % 10, units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_by_thousands() {
        for (value, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(count(value), text);
        }
        assert_eq!(optional_count(None), "-");
    }

    #[test]
    fn units_follow_the_size() {
        for (value, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_572_864, "1.5 MiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(bytes(value), text);
        }
        for (value, text) in [
            (7, "7 ns"),
            (1500, "1.5 us"),
            (2_000_000_000_000, "2000.0 s"),
        ] {
            assert_eq!(nanoseconds(value), text);
        }
    }
}
