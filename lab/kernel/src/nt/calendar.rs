//! Time as dates, and in other units. The simulated system keeps UTC as its local time.

use super::imports;
use crate::abi::nt::TIME_FIELDS as F;
use crate::rt::Call;
use crate::rt::mem;
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    RtlTimeToTimeFields => to_fields,
    RtlTimeFieldsToTime => from_fields,
    RtlTimeToSecondsSince1970 => since_1970,
    RtlTimeToSecondsSince1980 => since_1980,
    RtlSecondsSince1970ToTime => from_1970,
    RtlSecondsSince1980ToTime => from_1980,
    ExSystemTimeToLocalTime => same_time,
    ExLocalTimeToSystemTime => same_time,
}

/// Units of the system's time in a second and in a millisecond.
const PER_SECOND: i64 = 10_000_000;
const PER_MILLISECOND: i64 = 10_000;
const SECONDS_PER_DAY: i64 = 86_400;
/// Seconds from 1601 to 1970 and to 1980.
const TO_1970: i64 = 11_644_473_600;
const TO_1980: i64 = 11_960_006_400;
/// Days from 1601 to the first day of the 400-year cycle that begins on 1 March 1600.
const CYCLE_OFFSET: i64 = 306;
const DAYS_PER_400_YEARS: i64 = 146_097;
/// 1601-01-01 was a Monday; Sunday is 0.
const FIRST_WEEKDAY: i64 = 1;

/// A day of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Date {
    year: i64,
    month: i64,
    day: i64,
}

/// The date of a day counted from 1601-01-01.
fn date(days: i64) -> Date {
    let days = days + CYCLE_OFFSET;
    let cycle = days.div_euclid(DAYS_PER_400_YEARS);
    let day = days.rem_euclid(DAYS_PER_400_YEARS);
    // Years that begin in March have their leap day last.
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    Date {
        year: 1600 + 400 * cycle + year + i64::from(month >= 10),
        month: if month < 10 { month + 3 } else { month - 9 },
        day: day_of_year - (153 * month + 2) / 5 + 1,
    }
}

/// The day of a date, counted from 1601-01-01.
fn days(date: Date) -> i64 {
    let month = (date.month + 9) % 12;
    let year = date.year - 1600 - i64::from(date.month <= 2);
    let (cycle, year) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5 + date.day - 1;
    cycle * DAYS_PER_400_YEARS + 365 * year + year / 4 - year / 100 + day_of_year - CYCLE_OFFSET
}

fn to_fields(call: &Call<'_>) -> u64 {
    let time = mem::read::<i64>(call.arg(0)).or_fault();
    let fields = call.arg(1);
    let seconds = time.div_euclid(PER_SECOND);
    let milliseconds = time.rem_euclid(PER_SECOND) / PER_MILLISECOND;
    let day = seconds.div_euclid(SECONDS_PER_DAY);
    let rest = seconds.rem_euclid(SECONDS_PER_DAY);
    let Date {
        year,
        month,
        day: of_month,
    } = date(day);
    for (field, value) in [
        (F::Year, year),
        (F::Month, month),
        (F::Day, of_month),
        (F::Hour, rest / 3_600),
        (F::Minute, rest / 60 % 60),
        (F::Second, rest % 60),
        (F::Milliseconds, milliseconds),
        (F::Weekday, (day + FIRST_WEEKDAY).rem_euclid(7)),
    ] {
        field
            .write(fields, i16::try_from(value).unwrap_or(i16::MAX))
            .or_fault();
    }
    0
}

/// FALSE where there is no such moment.
fn from_fields(call: &Call<'_>) -> u64 {
    let fields = call.arg(0);
    let value = |field: mem::Field<i16>| i64::from(field.read(fields).or_fault());
    let wanted = Date {
        year: value(F::Year),
        month: value(F::Month),
        day: value(F::Day),
    };
    let (hour, minute, second) = (value(F::Hour), value(F::Minute), value(F::Second));
    let milliseconds = value(F::Milliseconds);
    let is_time = (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..60).contains(&second)
        && (0..1_000).contains(&milliseconds);
    let is_date =
        wanted.year >= 1601 && (1..=12).contains(&wanted.month) && date(days(wanted)) == wanted;
    if !is_time || !is_date {
        return 0;
    }
    let seconds = days(wanted) * SECONDS_PER_DAY + hour * 3_600 + minute * 60 + second;
    let time = seconds * PER_SECOND + milliseconds * PER_MILLISECOND;
    mem::write(call.arg(1), time).or_fault();
    1
}

fn since_1970(call: &Call<'_>) -> u64 {
    seconds_since(call, TO_1970)
}

fn since_1980(call: &Call<'_>) -> u64 {
    seconds_since(call, TO_1980)
}

fn from_1970(call: &Call<'_>) -> u64 {
    from_seconds(call, TO_1970)
}

fn from_1980(call: &Call<'_>) -> u64 {
    from_seconds(call, TO_1980)
}

fn from_seconds(call: &Call<'_>, begin: i64) -> u64 {
    let time = (i64::from(call.arg_u32(0)) + begin) * PER_SECOND;
    mem::write(call.arg(1), time).or_fault();
    0
}

/// FALSE where they do not fit into 32 bits.
fn seconds_since(call: &Call<'_>, begin: i64) -> u64 {
    let time = mem::read::<i64>(call.arg(0)).or_fault();
    let Ok(seconds) = u32::try_from(time.div_euclid(PER_SECOND) - begin) else {
        return 0;
    };
    mem::write(call.arg(1), seconds).or_fault();
    1
}

fn same_time(call: &Call<'_>) -> u64 {
    let time = mem::read::<i64>(call.arg(0)).or_fault();
    mem::write(call.arg(1), time).or_fault();
    0
}

#[cfg(test)]
mod tests {
    use super::{Date, SECONDS_PER_DAY, TO_1970, TO_1980, date, days};

    #[test]
    fn days_and_dates_agree() {
        let day = |year, month, day| Date { year, month, day };
        assert_eq!(date(0), day(1601, 1, 1));
        assert_eq!(date(TO_1970 / SECONDS_PER_DAY), day(1970, 1, 1));
        assert_eq!(date(TO_1980 / SECONDS_PER_DAY), day(1980, 1, 1));
        assert_eq!(days(day(2000, 2, 29)) + 1, days(day(2000, 3, 1)));
        assert_eq!(days(day(1900, 2, 28)) + 1, days(day(1900, 3, 1)));
        for number in (0..400_000).step_by(7) {
            assert_eq!(days(date(number)), number);
        }
    }
}
