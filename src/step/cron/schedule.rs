//! When cron runs something: the times of crontab(5), checked, and files compared by what they mean.

use std::collections::BTreeMap;

use crate::model::FileContent;

const NAMED: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const FIELDS: [(&str, u32, u32, &[&str]); 5] = [
    ("minute", 0, 59, &[]),
    ("hour", 0, 23, &[]),
    ("day of month", 1, 31, &[]),
    ("month", 1, 12, &MONTHS),
    ("day of week", 0, 7, &DAYS),
];
/// Of a leap year.
const LENGTHS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// The times: a bit for each value of each field, and whether it began with a star. That decides whether the day of
/// the month and that of the week must both be right, or one of them, and what is made up for when the clock jumps.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Times {
    Reboot,
    At([(u64, bool); 5]),
}

/// Checks the times as crontab(5) has them.
pub(super) fn check(schedule: &str) -> Result<(), String> {
    let Times::At(fields) = read(schedule.trim())? else { return Ok(()) };
    let [_, _, (days, _), (months, _), (_, any_weekday)] = fields;
    let comes =
        (1_u32..=12).any(|m| months >> m & 1 == 1 && days & ((2 << LENGTHS[m as usize - 1]) - 1) != 0);
    if any_weekday && !comes { Err("is a day that never comes".into()) } else { Ok(()) }
}

fn read(schedule: &str) -> Result<Times, String> {
    if schedule == "@reboot" {
        return Ok(Times::Reboot);
    }
    let fields = match NAMED.iter().find(|(name, _)| *name == schedule) {
        Some((_, fields)) => fields,
        None if schedule.starts_with('@') => return Err("is no time that cron knows".into()),
        None => schedule,
    };
    let fields: Vec<&str> = fields.split_whitespace().collect();
    if fields.len() != 5 {
        return Err(format!("has {} fields, not 5", fields.len()));
    }
    let mut times = [(0, false); 5];
    for ((field, slot), (what, low, high, names)) in fields.into_iter().zip(&mut times).zip(FIELDS) {
        slot.1 = field.starts_with('*') && what != "month";
        for part in field.split(',') {
            slot.0 |= bits(part, low, high, names).map_err(|why| match why {
                Some(why) => format!("has a {what} that is not one: {part:?}: {why}"),
                None => format!("has a {what} that is not one: {part:?}"),
            })?;
        }
        // Sunday is 0 and 7.
        if high == 7 && slot.0 & 0x81 != 0 {
            slot.0 |= 0x81;
        }
    }
    Ok(Times::At(times))
}

/// Reads an element of a list.
fn bits(part: &str, low: u32, high: u32, names: &[&str]) -> Result<u64, Option<&'static str>> {
    // cron takes digits alone, not all that Rust takes for a number.
    let digits = |text: &str| {
        let good = !text.is_empty() && text.len() < 9 && text.bytes().all(|b| b.is_ascii_digit());
        good.then(|| text.parse::<u32>().ok()).flatten()
    };
    let number = |text: &str| {
        let at = names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let number = at.map_or_else(|| digits(text), |at| u32::try_from(at).ok().map(|n| n + low));
        number.filter(|n| (low..=high).contains(n)).ok_or(None)
    };
    let (range, every) = part.split_once('/').map_or((part, None), |(range, every)| (range, Some(every)));
    let (from, to) = if range == "*" {
        // A week has seven days.
        (low, if high == 7 { 6 } else { high })
    } else if let Some((from, to)) = range.split_once('-') {
        (number(from)?, number(to)?)
    } else if every.is_some() {
        number(range)?;
        return Err(Some("steps go through a range, such as \"*/5\" or \"10-59/5\""));
    } else {
        (number(range)?, number(range)?)
    };
    if from > to {
        return Err(Some("a range goes up; Sunday is 7, too"));
    }
    let every = every.map_or(Ok(1), |every| digits(every).filter(|n| (1..=high).contains(n)).ok_or(None))?;
    Ok((from..=to).step_by(every as usize).fold(0, |bits, n| bits | 1 << n))
}

/// What a file makes cron do.
#[derive(Debug, PartialEq, Eq)]
struct Meaning<'a> {
    env: BTreeMap<&'a str, &'a str>,
    entries: Vec<(Times, &'a str, &'a str)>,
}

/// Whether two files make cron do the same: names for numbers, `*/1` for `*`, other blanks and comments are no
/// difference. A file that is not read as its author meant it (CR LF, a last line without its end) means nothing.
pub(super) fn same(now: &FileContent, wanted: &[u8]) -> bool {
    let FileContent::Bytes(now) = now else { return false };
    let (Ok(now), Ok(wanted)) = (std::str::from_utf8(now), std::str::from_utf8(wanted)) else { return false };
    matches!((meaning(now), meaning(wanted)), (Some(a), Some(b)) if a == b)
}

fn meaning(text: &str) -> Option<Meaning<'_>> {
    if text.contains('\r') || !text.ends_with('\n') {
        return None;
    }
    let mut meaning = Meaning { env: BTreeMap::new(), entries: Vec::new() };
    for line in text.lines() {
        let line = line.trim_start_matches([' ', '\t']);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some((name, value)) = variable(line) {
            // A variable holds for the lines below it.
            if !meaning.entries.is_empty() {
                return None;
            }
            meaning.env.insert(name, value);
            continue;
        }
        let fields = if line.starts_with('@') { 1 } else { 5 };
        let (times, rest) = words(line, fields)?;
        let (user, command) = words(rest, 1)?;
        meaning.entries.push((read(times).ok()?, user, command));
    }
    Some(meaning)
}

/// Cuts off the first `n` words.
fn words(line: &str, n: usize) -> Option<(&str, &str)> {
    let mut rest = line;
    for _ in 0..n {
        rest = rest.trim_start_matches([' ', '\t']);
        rest = &rest[rest.find([' ', '\t'])?..];
    }
    Some((line[..line.len() - rest.len()].trim(), rest.trim_start_matches([' ', '\t'])))
}

/// Reads `NAME = "value"`; anything more unusual is left to the text.
fn variable(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=')?;
    let name = name.trim_end_matches([' ', '\t']);
    let good = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let value = value.trim_matches([' ', '\t']);
    let bare = ['"', '\''].iter().find_map(|q| value.strip_prefix(*q)?.strip_suffix(*q)).unwrap_or(value);
    good.then_some((name, bare))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times_as_cron_does() {
        for good in [
            "* * * * *",
            "*/5 0-23/2 1,15 jan-mar mon-fri",
            "0 3 * * 7",
            "@daily",
            " @reboot ",
            "30  3\t* * Sun",
            "05 08 09 * *",
            "0 0 31 2 1",
            "0 0 29 2 *",
            "0 0 31 2,3 *",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "* * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "5-1 * * * *",
            "*/0 * * * *",
            "@often",
            "@Daily",
            "a * * * *",
            "+5 * * * *",
            "*/+5 * * * *",
            "5/10 * * * *",
            "1, * * * *",
            "* * * * fri-mon",
            "0 0 31 2 *",
            "0 0 30-31 feb *",
            "0 0 31 4,6,9,11 *",
            "* * * mon *",
            "99999999999 * * * *",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn compares_what_files_mean() {
        let same =
            |now: &str, wanted: &str| same(&FileContent::Bytes(now.as_bytes().into()), wanted.as_bytes());
        let ours = "# Managed by Hostwright.\nMAILTO=\"root\"\n0 3 * * 1-5 root date +\\%F\n";
        for now in [
            "MAILTO=root\n00 03 */1 jan-dec Mon-Fri root date +\\%F\n",
            "# x\n\n  MAILTO = 'root'\n0\t3 * * 1,2,3,4,5   root\tdate +\\%F\n",
        ] {
            assert!(same(now, ours), "{now}");
        }
        assert!(same("0 0 * * 7 root x\n", "@weekly root x\n"));
        assert!(same("*/1 * * * * root x\n", "* * * * * root x\n"));
        assert!(same("0 0 * * sun-sat root x\n", "0 0 * * 0-6 root x\n"));
        for other in [
            "MAILTO=\"root\"\n0 3 * * 1-5 root date +\\%F",
            "MAILTO=\"root\"\r\n0 3 * * 1-5 root date +\\%F\r\n",
            "0 3 * * 1-5 root date +\\%F\nMAILTO=\"root\"\n",
            "MAILTO=\"root\"\n0 3 * * 1-5 root date +%F\n",
            "MAILTO=\"root\"\n0 3 * * 1-5 root date  +\\%F\n",
            "MAILTO=\"root\"\n0 3 1-31 * 1-5 root date +\\%F\n",
            "MAILTO=\"root\"\n0 3 * * 1-5 root date +\\%F\n0 4 * * * root x\n",
            "0 3 * * 1-5 root date +\\%F\n",
        ] {
            assert!(!same(other, ours), "{other}");
        }
        assert!(!same("@reboot root x\n", "@daily root x\n"));
    }
}
