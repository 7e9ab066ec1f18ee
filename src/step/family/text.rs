//! A text file as bytes: its lines, what ends each, and whether it can be edited line by line at all.
//!
//! Nothing here knows of an encoding but by its line feeds. What no edit asks for comes out as it went in: bytes that
//! are no UTF-8, NULs, a byte order mark, and the end that each line has.

use std::fmt::Write as _;

/// The byte order mark of UTF-8. It belongs to the file, not to its first line.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// The lines of a file.
///
/// A line ends in a line feed and whatever carriage returns stand before it; form feeds, U+2028 and the like are
/// parts of their line. A carriage return at the end of a file without a line feed there is half a line end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines<'a> {
    mark: &'a [u8],
    lines: Vec<Line<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Line<'a> {
    text: &'a [u8],
    end: &'a [u8],
}

/// Where new lines go, and which neighbour they take their line ends from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spot {
    /// Behind the line above this position.
    Behind(usize),
    /// In front of the line at this position.
    Before(usize),
}

impl<'a> Lines<'a> {
    /// Takes a text apart.
    pub fn new(text: &'a [u8]) -> Self {
        let (mark, text) = text.split_at(if text.starts_with(MARK) { MARK.len() } else { 0 });
        let lines = text
            .split_inclusive(|b| *b == b'\n')
            .map(|line| {
                let body = match line.strip_suffix(b"\n") {
                    Some(body) => {
                        let kept = body.iter().rposition(|b| *b != b'\r').map_or(0, |n| n + 1);
                        &body[..kept]
                    }
                    None => line.strip_suffix(b"\r").unwrap_or(line),
                };
                Line { text: body, end: &line[body.len()..] }
            })
            .collect();
        Self { mark, lines }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The texts of the lines, without their ends.
    pub fn texts(&self) -> impl DoubleEndedIterator<Item = &'a [u8]> + ExactSizeIterator + '_ {
        self.lines.iter().map(|line| line.text)
    }

    /// Gives line `n` another text; its end stays.
    pub fn replace(&mut self, n: usize, text: &'a [u8]) {
        self.lines[n].text = text;
    }

    /// Takes out all lines that are not to be kept, each with its end.
    pub fn retain(&mut self, keep: impl Fn(&[u8]) -> bool) {
        self.lines.retain(|line| keep(line.text));
    }

    /// Takes out the lines from `from` to `to`, both included, each with its end.
    pub fn remove(&mut self, from: usize, to: usize) {
        self.lines.drain(from..=to);
    }

    /// Puts `texts` in place of all that is between the lines `above` and `below`; they end as `above` does.
    pub fn between(&mut self, above: usize, below: usize, texts: impl IntoIterator<Item = &'a [u8]>) {
        let end = whole(self.lines[above].end).unwrap_or(b"\n");
        self.lines.splice(above + 1..below, texts.into_iter().map(|text| Line { text, end }));
    }

    /// Puts new lines in. Each gets a line end, the last one too, and so does a last line above them that had none.
    pub fn insert(&mut self, spot: Spot, texts: impl IntoIterator<Item = &'a [u8]>) {
        let end = self.end_at(spot);
        let (Spot::Behind(at) | Spot::Before(at)) = spot;
        if let Some(above) = at.checked_sub(1).and_then(|n| self.lines.get_mut(n))
            && whole(above.end).is_none()
        {
            above.end = if above.end.is_empty() { end } else { b"\r\n" };
        }
        self.lines.splice(at..at, texts.into_iter().map(|text| Line { text, end }));
    }

    /// The line end of the neighbour; only the last line can lack one, and then the one above it counts.
    fn end_at(&self, spot: Spot) -> &'static [u8] {
        let (first, second) = match spot {
            Spot::Behind(at) => (at.checked_sub(1), Some(at)),
            Spot::Before(at) => (Some(at), at.checked_sub(1)),
        };
        let above_last = self.len().checked_sub(2);
        [first, second, above_last]
            .into_iter()
            .flatten()
            .filter_map(|n| self.lines.get(n))
            .find_map(|line| whole(line.end))
            .unwrap_or(b"\n")
    }

    /// Puts the text together again.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.mark.to_vec();
        for line in &self.lines {
            bytes.extend(line.text);
            bytes.extend(line.end);
        }
        bytes
    }
}

/// The proper form of a line end, if it is a whole one.
fn whole(end: &[u8]) -> Option<&'static [u8]> {
    match end {
        [b'\n'] => Some(b"\n"),
        [.., b'\n'] => Some(b"\r\n"),
        _ => None,
    }
}

/// Why a file cannot be edited line by line, as the end of a sentence that begins with its name.
pub fn obstacle(bytes: &[u8]) -> Option<&'static str> {
    if is_utf32(bytes) {
        return Some("is encoded in UTF-32");
    }
    if is_utf16(bytes) {
        return Some("is encoded in UTF-16");
    }
    let feeds = bytes.split(|b| *b == b'\n').count() - 1;
    // Two carriage returns side by side are one odd line end more likely than an empty line.
    let lone = bytes
        .iter()
        .enumerate()
        .filter(|(n, b)| **b == b'\r' && !matches!(bytes.get(n + 1), Some(b'\n' | b'\r')));
    (lone.count() > feeds).then_some("has lines that end in a carriage return alone")
}

/// Four bytes each, of which the highest are always zero.
fn is_utf32(bytes: &[u8]) -> bool {
    if bytes.starts_with(b"\xff\xfe\0\0") || bytes.starts_with(b"\0\0\xfe\xff") {
        return true;
    }
    let fits = |read: fn([u8; 4]) -> u32| {
        bytes.len() >= 8
            && bytes.as_chunks::<4>().0.iter().all(|c| {
                let code = read(*c);
                code != 0 && char::from_u32(code).is_some()
            })
    };
    bytes.len().is_multiple_of(4) && (fits(u32::from_le_bytes) || fits(u32::from_be_bytes))
}

/// By its mark; without one by the zeros, which are every other byte of what is Latin in it; or, where little is, by its
/// line breaks and by making sense as UTF-16 and not as UTF-8.
fn is_utf16(bytes: &[u8]) -> bool {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return true;
    }
    let zeros = |parity: usize| bytes.iter().skip(parity).step_by(2).filter(|b| **b == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    let (most, least) = (even.max(odd), even.min(odd));
    if most < 2 {
        return false;
    }
    if most * 4 > bytes.len() && least * 10 <= most {
        return true;
    }
    let read = if odd > even { u16::from_le_bytes } else { u16::from_be_bytes };
    let units = || bytes.as_chunks::<2>().0.iter().map(|c| read(*c));
    least == 0
        && bytes.len().is_multiple_of(2)
        && !is_plausible(bytes)
        && units().filter(|unit| *unit == u16::from(b'\n')).count() >= 2
        && char::decode_utf16(units())
            .all(|c| c.is_ok_and(|c| !c.is_control() || matches!(c, '\t' | '\n' | '\r' | '\u{c}')))
}

/// Whether it makes sense as UTF-8 that somebody wrote, stray NULs aside.
fn is_plausible(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes)
        .is_ok_and(|text| text.chars().all(|c| !c.is_control() || matches!(c, '\0' | '\x08'..='\r' | '\x1b')))
}

/// The text for people, in which NULs and bytes that are no UTF-8 are written `\xNN`; and how many those are.
pub fn readable(bytes: &[u8]) -> (String, usize) {
    let mut text = String::with_capacity(bytes.len());
    let mut odd = 0;
    let mut escape = |text: &mut String, byte: u8| {
        odd += 1;
        let _ = write!(text, "\\x{byte:02X}");
    };
    for chunk in bytes.utf8_chunks() {
        for (n, part) in chunk.valid().split('\0').enumerate() {
            if n > 0 {
                escape(&mut text, 0);
            }
            text.push_str(part);
        }
        for byte in chunk.invalid() {
            escape(&mut text, *byte);
        }
    }
    (text, odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(text: &[u8], edit: impl FnOnce(&mut Lines<'_>)) -> String {
        let mut lines = Lines::new(text);
        edit(&mut lines);
        lines.bytes().escape_ascii().to_string()
    }

    fn inserted(text: &[u8], spot: Spot) -> String {
        edited(text, |lines| lines.insert(spot, [&b"new"[..]]))
    }

    #[test]
    fn what_ends_a_line_is_told_from_its_text() {
        let texts = |bytes| Lines::new(bytes).texts().map(<[u8]>::to_vec).collect::<Vec<_>>();
        assert_eq!(texts(b"a\nb\r\nc\r\r\nd\re\n\x0cf"), [&b"a"[..], b"b", b"c", b"d\re", b"\x0cf"]);
        assert_eq!(texts(b"\n\r\n"), [b"", b""]);
        assert_eq!(texts(b""), [b""; 0]);
        assert_eq!(texts(b"\xef\xbb\xbfa\r"), [b"a"]);
        assert_eq!(texts("a\u{2028}b\u{85}c\u{b}".as_bytes()), ["a\u{2028}b\u{85}c\u{b}".as_bytes()]);
    }

    #[test]
    fn new_lines_end_as_their_neighbour() {
        for (text, spot, becomes) in [
            (&b"a\r\nb\nc"[..], Spot::Behind(1), r"a\r\nnew\r\nb\nc"),
            (b"a\r\nb\nc", Spot::Before(1), r"a\r\nnew\nb\nc"),
            (b"a\r\nb\nc", Spot::Behind(3), r"a\r\nb\nc\nnew\n"),
            (b"a\r\nc", Spot::Behind(2), r"a\r\nc\r\nnew\r\n"),
            (b"a\r\nc", Spot::Before(1), r"a\r\nnew\r\nc"),
            (b"a\nc\r", Spot::Behind(2), r"a\nc\r\nnew\n"),
            (b"a\r\r\n", Spot::Before(0), r"new\r\na\r\r\n"),
            (b"a", Spot::Behind(1), r"a\nnew\n"),
            (b"a", Spot::Before(0), r"new\na"),
            (b"", Spot::Behind(0), r"new\n"),
            (b"\xef\xbb\xbfa\r\n", Spot::Before(0), r"\xef\xbb\xbfnew\r\na\r\n"),
            (b"\xef\xbb\xbf", Spot::Behind(0), r"\xef\xbb\xbfnew\n"),
            (b"\r\n\r\n", Spot::Behind(2), r"\r\n\r\nnew\r\n"),
        ] {
            assert_eq!(inserted(text, spot), becomes, "{text:?} {spot:?}");
        }
    }

    #[test]
    fn what_is_not_touched_keeps_its_end() {
        let text = b"a\nb\r\nc";
        assert_eq!(edited(text, |l| l.remove(2, 2)), r"a\nb\r\n");
        assert_eq!(edited(text, |l| l.remove(0, 1)), r"c");
        assert_eq!(edited(text, |l| l.replace(2, b"x")), r"a\nb\r\nx");
        assert_eq!(edited(b"1\r\n2\n3\n4", |l| l.between(0, 3, [&b"x"[..], b"y"])), r"1\r\nx\r\ny\r\n4");
    }

    #[test]
    fn encodings_that_are_no_single_bytes_are_recognised() {
        let le = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
        let be = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>();
        let wide = |text: &str| text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect::<Vec<_>>();
        for text in
            ["\u{feff}x", "Port 22\r\n", "a=1", "größe=1\n", "名前\n値=１\nです\n", "Имя=1\nещё одна\n"]
        {
            assert_eq!(obstacle(&le(text)), Some("is encoded in UTF-16"), "{text:?} LE");
            assert_eq!(obstacle(&be(text)), Some("is encoded in UTF-16"), "{text:?} BE");
            if text.chars().count() > 2 {
                assert_eq!(obstacle(&wide(text)), Some("is encoded in UTF-32"), "{text:?}");
            }
        }
        let mut spoilt = le("a long enough text to be recognised\n");
        spoilt.extend(b"added by a tool\n");
        assert_eq!(obstacle(&spoilt), Some("is encoded in UTF-16"));
        for bytes in [&b"a\rb\rc"[..], b"a\r", b"a\rb\rc\n"] {
            assert_eq!(obstacle(bytes), Some("has lines that end in a carriage return alone"), "{bytes:?}");
        }
    }

    #[test]
    fn all_else_can_be_edited() {
        let every: Vec<u8> = (0..=255).collect();
        for bytes in [
            &b""[..],
            b"\n\n\n",
            b"a\r\nb\n\0",
            b"caf\xe9\n\0",
            b"caf\xe9 1\r\nx\r\n",
            b"x\0\ny\n\n",
            b"progress 1%\r2%\nend\n",
            b"\0\0\0\0",
            b"a\r\r\nb\r\r\n",
            &every,
            "名前\n".as_bytes(),
        ] {
            assert_eq!(obstacle(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn odd_bytes_are_shown() {
        assert_eq!(readable(b"caf\xe9\0\n"), ("caf\\xE9\\x00\n".into(), 2));
        assert_eq!(readable("café\r\n".as_bytes()), ("café\r\n".into(), 0));
        assert_eq!(readable(b"\xe2\x82"), ("\\xE2\\x82".into(), 2));
    }
}
