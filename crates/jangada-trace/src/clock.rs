//! Dates out of numbers. The number is an argument: nothing here asks what time it is.
//!
//! The arithmetic counts days in 400-year cycles that begin on the first of March, so that the leap day is the
//! last day of its year and no table of month lengths is needed.

/// A point in time as clocks on walls show it, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    /// The year; 1970 and later in practice.
    pub year: i64,
    /// 1..=12.
    pub month: u8,
    /// 1..=31.
    pub day: u8,
    /// 0..=23.
    pub hour: u8,
    /// 0..=59.
    pub minute: u8,
    /// 0..=59; leap seconds do not exist here, as in Unix time.
    pub second: u8,
}

const SECONDS_PER_DAY: i64 = 86_400;
const DAYS_PER_CYCLE: i64 = 146_097; // 400 years
const DAYS_FROM_MARCH_0000_TO_1970: i64 = 719_468;

/// The date that belongs to so many seconds since the beginning of 1970, UTC.
#[must_use]
pub fn date(unix_seconds: i64) -> Date {
    let days = unix_seconds.div_euclid(SECONDS_PER_DAY) + DAYS_FROM_MARCH_0000_TO_1970;
    let of_day = unix_seconds.rem_euclid(SECONDS_PER_DAY);
    let cycle = days.div_euclid(DAYS_PER_CYCLE);
    let day_of_cycle = days.rem_euclid(DAYS_PER_CYCLE);
    // The three corrections take out the leap days of 4 years, put back those of 100, take out that of 400.
    let year_of_cycle =
        (day_of_cycle - day_of_cycle / 1_460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
    let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    // Five months from March on have 153 days, again and again.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = 400 * cycle + year_of_cycle + i64::from(month <= 2);
    Date {
        year,
        month: small(month),
        day: small(day),
        hour: small(of_day / 3_600),
        minute: small(of_day / 60 % 60),
        second: small(of_day % 60),
    }
}

fn small(number: i64) -> u8 {
    u8::try_from(number).expect("parts of a date are below 60")
}

/// `2026-11-21T09:08:07.123Z`, as RFC 3339 wants it.
#[must_use]
pub fn rfc3339(unix_millis: i64) -> String {
    let date = date(unix_millis.div_euclid(1_000));
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        date.year,
        date.month,
        date.day,
        date.hour,
        date.minute,
        date.second,
        unix_millis.rem_euclid(1_000)
    )
}

/// `2026/11/21 09:08:07`, as Go's standard logger, and so the university lab, writes it.
#[must_use]
pub fn slashes(unix_seconds: i64) -> String {
    let date = date(unix_seconds);
    format!(
        "{:04}/{:02}/{:02} {:02}:{:02}:{:02}",
        date.year, date.month, date.day, date.hour, date.minute, date.second
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates() {
        for (seconds, expected) in [
            (0, "1970/01/01 00:00:00"),
            (-1, "1969/12/31 23:59:59"),
            (951_782_399, "2000/02/28 23:59:59"),
            (951_782_400, "2000/02/29 00:00:00"),
            (951_868_800, "2000/03/01 00:00:00"),
            (1_709_164_800, "2024/02/29 00:00:00"),
            (1_795_251_600, "2026/11/21 09:00:00"),
            (4_107_542_400, "2100/03/01 00:00:00"),
        ] {
            assert_eq!(slashes(seconds), expected);
        }
        assert_eq!(rfc3339(1_795_251_600_007), "2026-11-21T09:00:00.007Z");
    }

    #[test]
    fn every_day_follows_the_day_before() {
        let mut before = date(0);
        for day in 1..150_000 {
            let now = date(day * SECONDS_PER_DAY);
            let next_day = (now.year, now.month) == (before.year, before.month) && now.day == before.day + 1;
            let next_month = now.day == 1
                && (now.month == before.month + 1 && now.year == before.year
                    || now.month == 1 && before.month == 12 && now.year == before.year + 1);
            assert!(next_day || next_month, "{before:?} is followed by {now:?}");
            before = now;
        }
    }
}
