//! Ranges in names and addresses: `node-[01:20]`, `rack-[a:c]`, `10.0.0.[1:20:2]`.

/// More names than that from one entry are taken for a mistake.
const MOST: usize = 100_000;

/// Expands every range in `text`, the leftmost one slowest. Text without one is returned alone.
pub(super) fn expand(text: &str) -> Result<Vec<String>, String> {
    let Some((head, rest)) = text.split_once('[') else { return Ok(vec![text.to_owned()]) };
    let (inner, tail) = rest.split_once(']').ok_or_else(|| format!("the `[` in {text:?} is not closed"))?;
    let turns = range(inner)?;
    let tails = expand(tail)?;
    if turns.len().saturating_mul(tails.len()) > MOST {
        return Err(format!("{text:?} stands for more than {MOST} names"));
    }
    Ok(turns.iter().flat_map(|turn| tails.iter().map(move |t| format!("{head}{turn}{t}"))).collect())
}

fn range(inner: &str) -> Result<Vec<String>, String> {
    let wrong = || format!("[{inner}] is not a range such as [01:20], [a:f] or [0:100:10]");
    let parts: Vec<_> = inner.split(':').collect();
    let (&first, &last, step) = match parts.as_slice() {
        [first, last] => (first, last, 1),
        [first, last, step] => {
            (first, last, step.parse::<usize>().ok().filter(|s| *s > 0).ok_or_else(wrong)?)
        }
        _ => return Err(wrong()),
    };
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let (from, to, text): (usize, usize, Box<dyn Fn(usize) -> String>) = if digits(first) && digits(last) {
        // `[01:20]` keeps its leading zeros, as wide as the first number is written.
        let width = if first.starts_with('0') { first.len() } else { 0 };
        let number = |s: &str| s.parse().map_err(|_| wrong());
        (number(first)?, number(last)?, Box::new(move |n| format!("{n:0width$}")))
    } else {
        let letter = |s: &str| match s.as_bytes() {
            [b] if b.is_ascii_alphabetic() => Some(*b),
            _ => None,
        };
        let (Some(a), Some(b)) = (letter(first), letter(last)) else { return Err(wrong()) };
        let text = |n: usize| u8::try_from(n).map_or_else(|_| String::new(), |b| char::from(b).to_string());
        (a.into(), b.into(), Box::new(text))
    };
    if from > to {
        return Err(format!("the range [{inner}] runs backwards"));
    }
    if (to - from) / step >= MOST {
        return Err(format!("[{inner}] stands for more than {MOST} names"));
    }
    Ok((from..=to).step_by(step).map(text).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands_numbers_letters_and_steps() {
        for (text, expanded) in [
            ("web", "web"),
            ("node-[08:11]", "node-08 node-09 node-10 node-11"),
            ("node-[8:10]", "node-8 node-9 node-10"),
            ("r[a:c]", "ra rb rc"),
            ("n[0:10:5].lan", "n0.lan n5.lan n10.lan"),
            ("r[a:b]n[1:2]", "ran1 ran2 rbn1 rbn2"),
        ] {
            assert_eq!(expand(text).unwrap().join(" "), expanded, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_range() {
        for text in ["n[1:", "n[1]", "n[2:1]", "n[a:3]", "n[1:2:0]", "n[1:9999999]", "n[1:2:3:4]", "n[:]"] {
            assert!(expand(text).is_err(), "{text}");
        }
    }
}
