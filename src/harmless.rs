//! Makes text harmless that comes from a host or from a file: it must not move the cursor, change the terminal, hide
//! words, or turn them around. Pure.
//!
//! - Escape sequences go, whole: `ESC` with what belongs to it, up to the end of the line if they have none.
//! - Other control characters (C0 but line breaks and tabs, `DEL`, C1) and characters that turn the reading direction
//!   around or are not seen show as `^X` or `\u{..}`. Joiners within words of some scripts stay.
//! - Bytes that are not UTF-8 have become U+FFFD before, where text was made of them.
//!
//! Displays make each piece of foreign text harmless by [`line()`] before they measure, cut and dress it; what writes to
//! a terminal or a log lets everything through [`painted`] once more, so that no place can be forgotten. JSON keeps
//! the data and writes such characters as `\uXXXX`, by [`json`].

use std::borrow::Cow;
use std::io;

use serde::Serialize;

/// Whether `c` shows as something else than itself.
fn is_harmful(c: char) -> bool {
    c.is_control() || deceives(c)
}

/// Characters that turn the direction around, break lines where no line ends, or cannot be seen.
fn deceives(c: char) -> bool {
    matches!(
        c,
        '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    )
}

/// Makes one line of text harmless; tabs become blanks.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_harmful) { Cow::Owned(filtered(text, Keep::Nothing)) } else { Cow::Borrowed(text) }
}

/// Makes text of several lines harmless; line breaks and tabs stay.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    let plain = text.chars().all(|c| matches!(c, '\n' | '\t') || !is_harmful(c));
    if plain { Cow::Borrowed(text) } else { Cow::Owned(filtered(text, Keep::Lines)) }
}

/// As [`text`], but leaves colours and bold type: for what we have dressed up ourselves.
pub(crate) fn painted(text: &str) -> Cow<'_, str> {
    let plain = text.chars().all(|c| matches!(c, '\n' | '\t') || !is_harmful(c));
    if plain { Cow::Borrowed(text) } else { Cow::Owned(filtered(text, Keep::Paint)) }
}

/// What stays as it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Nothing,
    Lines,
    Paint,
}

fn filtered(text: &str, keep: Keep) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        rest = after;
        match c {
            '\x1b' => {
                let (sequence, behind) = after.split_at(escape_length(after));
                if keep == Keep::Paint && is_paint(sequence) {
                    out.extend(["\x1b", sequence]);
                }
                rest = behind;
            }
            '\n' | '\t' if keep != Keep::Nothing => out.push(c),
            '\t' => out.push_str("    "),
            // The other half of a line break.
            '\r' if after.is_empty() || after.starts_with('\n') => {}
            '\u{7f}' => out.push_str("^?"),
            c if u32::from(c) < 0x20 => {
                out.push('^');
                out.push(char::from_u32(u32::from(c) + 0x40).expect("0x40 to 0x5f are letters and signs"));
            }
            c if is_harmful(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// How much behind an `ESC` belongs to it (ECMA-48, 5.3 to 5.6). Never more than the line: what comes after must not
/// be hidden by a sequence that does not end.
fn escape_length(after: &str) -> usize {
    let line = after.find('\n').map_or(after, |end| &after[..end]);
    let mut chars = line.char_indices();
    match chars.next().map(|(_, c)| c) {
        // Parameters and intermediates, then a final character; others do not belong to it.
        Some('[') => match chars.find(|(_, c)| !('\x20'..='\x3f').contains(c)) {
            Some((at, c)) if ('\x40'..='\x7e').contains(&c) => at + 1,
            Some((at, _)) => at,
            None => line.len(),
        },
        // Strings up to the string terminator: a device's command, a title, a link.
        Some(']' | 'P' | 'X' | '^' | '_') => {
            let end = [("\x07", 1), ("\x1b\\", 2), ("\u{9c}", 2)]
                .iter()
                .filter_map(|(end, length)| Some(line.find(end)? + length))
                .min();
            end.unwrap_or(line.len())
        }
        // Intermediates and a final character: which characters are in use, and the like.
        Some('\x20'..='\x2f') => match chars.find(|(_, c)| !('\x20'..='\x2f').contains(c)) {
            Some((at, c)) if ('\x30'..='\x7e').contains(&c) => at + 1,
            Some((at, _)) => at,
            None => line.len(),
        },
        Some('\x30'..='\x7e') => 1,
        _ => 0,
    }
}

/// Colours and bold type alone (`SGR`), in the form in which we and the crates we use write them; nothing that hides
/// text or makes it blink.
fn is_paint(sequence: &str) -> bool {
    let Some(codes) = sequence.strip_prefix('[').and_then(|s| s.strip_suffix('m')) else { return false };
    // One of 256 colours is told by two more numbers.
    let codes = codes.replace("38;5;", "").replace("48;5;", "");
    codes.len() <= 24
        && codes
            .split(';')
            .all(|code| code.chars().all(|c| c.is_ascii_digit()) && !matches!(code, "5" | "6" | "8"))
}

/// Writes a value as JSON on one line, all in characters that a terminal shows as they are.
///
/// # Panics
/// When the value cannot be JSON, which is a bug at the call: its keys are no strings.
pub(crate) fn json(value: &impl Serialize) -> String {
    let mut out = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, Escaping);
    value.serialize(&mut serializer).expect("what is written as JSON has string keys only");
    String::from_utf8(out).expect("JSON is text")
}

struct Escaping;

impl serde_json::ser::Formatter for Escaping {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, text: &str) -> io::Result<()> {
        let mut from = 0;
        for (at, c) in text.char_indices().filter(|(_, c)| is_harmful(*c)) {
            writer.write_all(&text.as_bytes()[from..at])?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            from = at + c.len_utf8();
        }
        writer.write_all(&text.as_bytes()[from..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_cannot_draw_on_the_terminal() {
        for (foreign, shown) in [
            ("plain, ünïcode, 漢字, 👨\u{200d}👩\u{200d}👧", "plain, ünïcode, 漢字, 👨\u{200d}👩\u{200d}👧"),
            ("\x1b[31mred\x1b[0m", "red"),
            ("\x1b[2J\x1b[Hgone", "gone"),
            ("\x1b[?1049h\x1b[>4;2m\x1b[1 qmodes", "modes"),
            ("\x1b]0;title\x07text", "text"),
            ("\x1b]8;;http://x/a\\b\x1b\\link", "link"),
            ("\x1b]52;c;ZXZpbA==\u{9c}clip", "clip"),
            ("\x1bP$q\"p\x1b\\device", "device"),
            ("\x1b_Gi=1\x1b\\image", "image"),
            ("\x1bXstart\x1b\\ \x1b^pm\x1b\\rest", " rest"),
            ("\x1b(0lqk\x1b)B\x1b7\x1b8\x1bcreset", "lqkreset"),
            ("\x1b#8filled", "filled"),
            ("a\x1b]0;never ends", "a"),
            ("a\x1b[12;", "a"),
            ("a\x1b[1\u{8}b", "a^Hb"),
            ("end\x1b", "end"),
            ("\x1b\x1b[31mtwo", "two"),
            ("bell\x07", "bell^G"),
            ("a\tb", "a    b"),
            ("100%\r", "100%"),
            ("good\rbad", "good^Mbad"),
            ("\u{9b}31mC1\u{85}", "\\u{9b}31mC1\\u{85}"),
            ("\u{202e}txt.exe\u{2066}\u{61c}\u{200f}", "\\u{202e}txt.exe\\u{2066}\\u{61c}\\u{200f}"),
            ("zero\u{200b}width\u{feff}\u{2060}", "zero\\u{200b}width\\u{feff}\\u{2060}"),
            ("tag\u{e0041}\u{2028}", "tag\\u{e0041}\\u{2028}"),
            ("del\x7f\0", "del^?^@"),
        ] {
            assert_eq!(line(foreign), shown, "{foreign:?}");
            assert_eq!(text(foreign).replace('\t', "    "), shown, "{foreign:?}");
        }
        assert_eq!(text("a\tb\r\nc\x1b]0;open\nd\n"), "a\tb\nc\nd\n");
    }

    #[test]
    fn our_own_colours_stay_and_nothing_else() {
        let ours = "\x1b[1;33mwarning\x1b[0m: \x1b[38;5;9mx\x1b[m\n";
        assert_eq!(painted(ours), ours);
        assert_eq!(painted("\x1b[8mhidden\x1b[5m\x1b[2J\x1b[31mred\x1b]0;t\x07"), "hidden\x1b[31mred");
        assert_eq!(painted("\u{202e}x"), "\\u{202e}x");
    }

    #[test]
    fn json_keeps_the_data_and_shows_nothing_harmful() {
        let foreign = "\x1b[2J\u{9b}\u{202e}\u{7f}\u{200b}\u{e0041}ü\"\n";
        let written = json(&serde_json::json!({ "a": foreign, foreign: [1, null] }));
        assert_eq!(
            written,
            r#"{"a":"\u001b[2J\u009b\u202e\u007f\u200b\udb40\udc41ü\"\n","\u001b[2J\u009b\u202e\u007f\u200b\udb40\udc41ü\"\n":[1,null]}"#
        );
        let read: serde_json::Value = serde_json::from_str(&written).unwrap();
        assert_eq!(read["a"], foreign);
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_is_harmless(foreign in "[\\x00-\\x1f\\x1b\\[\\]P_;0-9a-zA-Z\\x7f-\\u{a0}\\u{200b}-\\u{206f}\\\\ ]{0,60}") {
            proptest::prop_assert!(!line(&foreign).chars().any(is_harmful));
            let kept = |c: char| matches!(c, '\n' | '\t') || !is_harmful(c);
            proptest::prop_assert!(text(&foreign).chars().all(kept));
            let painted = painted(&foreign).into_owned();
            proptest::prop_assert!(painted.chars().all(|c| c == '\x1b' || kept(c)));
            let again = super::painted(&painted).into_owned();
            proptest::prop_assert_eq!(again, painted);
            let read: String = serde_json::from_str(&json(&foreign)).unwrap();
            proptest::prop_assert_eq!(read, foreign);
        }
    }
}
