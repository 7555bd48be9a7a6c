//! Duty hours as people type them: `mon-fri=08:00-16:00`, `sat=09:00-12:00`, `daily=00:00-24:00`. UTC: a region has several
//! zones, and an hour that is off by one is a call that nobody answers.

/// The days by their first letters; Monday is day 1.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Some days, and from when until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    days: Vec<u32>,
    from: u32,
    until: u32,
}

impl Stretch {
    /// Day (0 every day, 1 Monday), first minute, last minute.
    pub(super) fn days(&self) -> impl Iterator<Item = [u32; 3]> {
        self.days.iter().map(|day| [*day, self.from, self.until])
    }
}

/// Reads one stretch.
pub(super) fn parse(text: &str) -> Result<Stretch, String> {
    let wrong = || "such as mon-fri=08:00-16:00, sat=09:00-12:00 or daily=00:00-24:00".to_owned();
    let (days, hours) = text.split_once('=').ok_or_else(wrong)?;
    let (from, until) = hours.split_once('-').ok_or_else(wrong)?;
    let (from, until) = (minute(from).ok_or_else(wrong)?, minute(until).ok_or_else(wrong)?);
    if from >= until {
        return Err("it ends before it begins; what goes over midnight is two stretches".to_owned());
    }
    Ok(Stretch { days: days_of(&days.to_lowercase()).ok_or_else(wrong)?, from, until })
}

fn days_of(text: &str) -> Option<Vec<u32>> {
    if text == "daily" {
        return Some(vec![0]);
    }
    let day = |text: &str| (1..).zip(DAYS).find(|(_, day)| *day == text).map(|(number, _)| number);
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (day(first)?, day(last)?);
    (first <= last).then(|| (first..=last).collect())
}

fn minute(text: &str) -> Option<u32> {
    let (hour, minute) = text.split_once(':').filter(|(hour, minute)| hour.len() == 2 && minute.len() == 2)?;
    let (hour, minute): (u32, u32) = (hour.parse().ok()?, minute.parse().ok()?);
    (minute < 60 && hour * 60 + minute <= 24 * 60).then_some(hour * 60 + minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_read_as_people_type_them() {
        let days = |text: &str| parse(text).map(|stretch| stretch.days().collect::<Vec<_>>());
        assert_eq!(days("mon-wed=08:00-16:30"), Ok(vec![[1, 480, 990], [2, 480, 990], [3, 480, 990]]));
        assert_eq!(days("Sun=09:00-12:00"), Ok(vec![[7, 540, 720]]));
        assert_eq!(days("daily=00:00-24:00"), Ok(vec![[0, 0, 1440]]));
        for wrong in [
            "",
            "mon",
            "mon=8:00-16:00",
            "fri-mon=08:00-16:00",
            "mon=16:00-08:00",
            "mon=08:00-24:01",
            "xyz=08:00-09:00",
            "mon=08:60-09:00",
            "mon=08:00",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
