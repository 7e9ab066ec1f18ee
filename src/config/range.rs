//! Ranges in names and addresses: `node-[01:20]`, `rack-[a:c]`, `10.0.0.[1:20:2]`.

/// More names than that from one entry are taken for a mistake.
const MOST: usize = 100_000;

/// Digits that the number of a range may have, leading zeros included.
const WIDEST: usize = 20;

/// Text that is longer is neither a name nor an address.
const LONGEST: usize = 1000;

/// Expands every range in `text`, the leftmost one slowest. Text without one is returned alone.
pub(super) fn expand(text: &str) -> Result<Vec<String>, String> {
    if text.len() > LONGEST {
        return Err(format!(
            "{:?}... is longer than {LONGEST} characters",
            text.chars().take(20).collect::<String>()
        ));
    }
    let mut names = vec![String::new()];
    let mut rest = text;
    while let Some((head, after)) = rest.split_once('[') {
        let (inner, tail) =
            after.split_once(']').ok_or_else(|| format!("the `[` in {text:?} is not closed"))?;
        let turns = range(inner)?;
        if turns.len().saturating_mul(names.len()) > MOST {
            return Err(format!("{text:?} stands for more than {MOST} names"));
        }
        names = names.iter().flat_map(|n| turns.iter().map(move |turn| format!("{n}{head}{turn}"))).collect();
        rest = tail;
    }
    if !rest.is_empty() {
        for name in &mut names {
            name.push_str(rest);
        }
    }
    Ok(names)
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
        if first.len().max(last.len()) > WIDEST {
            return Err(format!("the numbers of a range have up to {WIDEST} digits"));
        }
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
        let zeros = format!("n[1:1{}]", "0".repeat(900));
        let many = format!("n{}", "[1:1]".repeat(20_000));
        let wide = format!("n[{}1:2]", "0".repeat(900));
        for text in
            [&zeros, &many, &wide, "n[1:100000000]", "n[1:18446744073709551615]", "n[1:99999][1:99999]"]
        {
            assert!(expand(text).is_err(), "{text:.40}");
        }
        for text in ["n[1:", "n[1]", "n[2:1]", "n[a:3]", "n[1:2:0]", "n[1:9999999]", "n[1:2:3:4]", "n[:]"] {
            assert!(expand(text).is_err(), "{text}");
        }
    }
}
