//! Laws of `line` and `block`: for any bytes and any edit, nothing else changes, and a second edit changes nothing.

use std::path::Path;
use std::sync::Arc;

use hostwright::config::document;
use hostwright::model::value::Value as TomlValue;
use hostwright::model::{FileContent, Host, HostName, Hosts, Login, Place, Privilege, State};
use hostwright::probe::{Answer, Answers, CheckError};
use hostwright::step::{self, Context, Step, Verdict};
use proptest::prelude::*;

/// What an edit of some bytes came to.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Holds,
    Refused(String),
    Written(Vec<u8>),
}

use Outcome::{Holds, Refused, Written};

/// Reads `KIND = VALUE`; `Err` is what is wrong with it.
fn step(text: &str) -> Result<Arc<dyn Step>, String> {
    let (node, malformed) = document::parse(text);
    assert!(malformed.is_empty(), "{text}: {malformed:?}");
    let TomlValue::Table(entries) = &node.value else { unreachable!() };
    let (key, value) = &entries[0];
    let host = Arc::new(Host {
        name: HostName::new("here").unwrap(),
        login: Login::default(),
        groups: Vec::new(),
        vars: Arc::default(),
        place: Place { file: "inventory.toml".into(), line: 1, column: 1 },
    });
    let inventory = Hosts::new(vec![Arc::clone(&host)]);
    let read = |_: &str| Err("no file".to_owned());
    let render = |_: &str, text: &str| Ok(text.to_owned());
    let context = Context {
        host: &|| &host,
        inventory: &inventory,
        read: &read,
        locate: &|path| path.into(),
        render: &render,
        holds_secret: &|| false,
        role: hostwright::step::Role::InOrder,
    };
    (step::kind(&key.name).unwrap().parse)(value, &context).map_err(|problems| {
        let said = |p: step::Problem| format!("{} ({})", p.message, p.help.unwrap_or_default());
        problems.into_iter().map(said).collect::<Vec<_>>().join("; ")
    })
}

/// Asks `text` for its verdict on a file of these bytes, as a host would answer.
fn edit(text: &str, bytes: &[u8]) -> Outcome {
    let step = step(text).unwrap_or_else(|mistake| panic!("{text}: {mistake}"));
    let mut answers = Answers::default();
    let mut stdout = format!("regular file|644|root:0|root:0|\nCONTENT {}\n", bytes.len()).into_bytes();
    stdout.extend(bytes);
    answers.insert(&step.probes()[0], &Privilege::Login, Answer { code: 0, stdout, stderr: Vec::new() });
    match step.check(&answers.seen_with(&Privilege::Login)) {
        Ok(Verdict::Satisfied { .. }) => Holds,
        Err(CheckError::Refused { message, .. }) => Refused(message),
        Ok(Verdict::Drift(change)) => {
            let payload = change.actions[0].payload.as_ref().unwrap();
            let State::File(file) = &change.expects[0].1 else { panic!("{change:?}") };
            let FileContent::Bytes(expected) = &file.content else { panic!("{change:?}") };
            assert_eq!(payload.0, *expected, "what is sent is what is expected");
            Written(payload.0.to_vec())
        }
        other => panic!("{text}: {other:?}"),
    }
}

#[track_caller]
fn becomes(text: &str, before: impl AsRef<[u8]>, after: impl AsRef<[u8]>) {
    let outcome = edit(text, before.as_ref());
    let Written(bytes) = outcome else { panic!("{text}: {outcome:?}") };
    assert_eq!(bytes.escape_ascii().to_string(), after.as_ref().escape_ascii().to_string(), "{text}");
    assert_eq!(edit(text, &bytes), Holds, "{text}: a second time");
}

#[track_caller]
fn refused(text: &str, before: impl AsRef<[u8]>, why: &str) {
    match edit(text, before.as_ref()) {
        Refused(message) if message.contains(why) => {}
        other => panic!("{text}: {other:?}, not {why:?}"),
    }
}

const NAMES: &str = "block = { path = '/f', marker = '# {mark} cluster', content = \"10.0.0.1 a\\n\" }";
const NO_NAMES: &str = "block = { path = '/f', marker = '# {mark} cluster', state = 'absent' }";

#[test]
fn a_block_is_found_whatever_ends_its_lines() {
    for text in [
        "x\r\n# BEGIN cluster\r\n10.0.0.1 a\r\n# END cluster\r\ny\n",
        "x\n# BEGIN cluster\r\n10.0.0.1 a\n# END cluster\r\ny\r\n",
        "# BEGIN cluster  \n10.0.0.1 a\n# END cluster\t\n",
        "\u{feff}# BEGIN cluster\n10.0.0.1 a\n# END cluster",
        "# BEGIN cluster\r\r\n10.0.0.1 a\r\r\n# END cluster\r",
        "a # BEGIN cluster\n# BEGIN cluster\n10.0.0.1 a\n# END cluster\n# END cluster 2\n",
    ] {
        if text.contains('\n') {
            assert_eq!(edit(NAMES, text.as_bytes()), Holds, "{text:?}");
        }
    }
    becomes(NO_NAMES, "x\r\n# BEGIN cluster \r\n1\n# END cluster\r\ny\n", "x\r\ny\n");
    becomes(NO_NAMES, "\u{feff}# BEGIN cluster\n# END cluster", "\u{feff}");
    // The markers and what is around them stay as they are.
    becomes(
        NAMES,
        b"caf\xe9\r\n# BEGIN cluster \r\nold\n# END cluster\t\nz",
        b"caf\xe9\r\n# BEGIN cluster \r\n10.0.0.1 a\r\n# END cluster\t\nz",
    );
}

#[test]
fn a_damaged_block_is_refused_and_never_doubled() {
    let (begin, end) = ("# BEGIN cluster\n", "# END cluster\n");
    for text in [
        begin.to_owned(),
        end.to_owned(),
        format!("{end}{begin}"),
        format!("{begin}{begin}{end}"),
        format!("{begin}{begin}1\n{end}{end}"),
        format!("{begin}1\n{end}x\n{begin}2\n{end}"),
        format!("{begin}1\r\n# BEGIN cluster \r\n{end}"),
    ] {
        refused(NAMES, &text, "not one pair");
        refused(NO_NAMES, &text, "not one pair");
    }
    for text in ["  # BEGIN cluster\n  1\n  # END cluster\n", "x\n\t# END cluster\n"] {
        refused(NAMES, text, "is a marker, but indented");
        refused(NO_NAMES, text, "is a marker, but indented");
    }
    refused(NAMES, "x\ny\n\n# BEGIN cluster\r1\r# END cluster\r\n", "has a carriage return in it");
}

#[test]
fn a_block_goes_to_its_place_with_the_line_ends_there() {
    let block = |rest: &str| format!("block = {{ path = '/f', content = 'x', marker = '{{mark}}'{rest} }}");
    becomes(&block(""), "a\r\n", "a\r\nBEGIN\r\nx\r\nEND\r\n");
    becomes(&block(""), "a\r\nb", "a\r\nb\r\nBEGIN\r\nx\r\nEND\r\n");
    becomes(&block(""), "", "BEGIN\nx\nEND\n");
    becomes(&block(", before = '^b'"), "a\r\nb\nc", "a\r\nBEGIN\nx\nEND\nb\nc");
    becomes(&block(", after = '^a$'"), "a\r\nb\nc", "a\r\nBEGIN\r\nx\r\nEND\r\nb\nc");
    becomes(&block(", after = '^z', otherwise = 'end'"), "a\n", "a\nBEGIN\nx\nEND\n");
    becomes(&block(", after = '^z', otherwise = 'start'"), "a\n", "BEGIN\nx\nEND\na\n");
    refused(&block(", after = '^z'"), "a\n", "no line of /f matches `^z`");
    becomes(&block("").replace("'x'", "\"1\\r\\n2\\r\\n\""), "a\n", "a\nBEGIN\n1\n2\nEND\n");
    becomes(&block("").replace("'x'", "''"), "BEGIN\n1\n\nEND", "BEGIN\nEND");
}

#[test]
fn a_line_is_found_whatever_ends_it() {
    let port = "line = { path = '/f', line = 'Port 22', match = '^#?Port \\d+$' }";
    for text in ["a\nPort 22\r\nb\n", "Port 22", "\u{feff}Port 22\r\n", "a\r\nb\nPort 22\r"] {
        assert_eq!(edit(port, text.as_bytes()), Holds, "{text:?}");
    }
    becomes(port, "a\n#Port 1\r\nb", "a\nPort 22\r\nb");
    becomes(port, "\u{feff}Port 1", "\u{feff}Port 22");
    becomes(port, "a\r\nb", "a\r\nb\r\nPort 22\r\n");
    becomes(port, "\n\n", "\n\nPort 22\n");
    becomes(port, "a\u{2028}Port 1\nb\x0cPort 2\n", "a\u{2028}Port 1\nb\x0cPort 2\nPort 22\n");
    becomes(port, "a\0b\n\0", "a\0b\n\0\nPort 22\n");
    becomes("line = { path = '/f', match = '^a', state = 'absent' }", "b\r\na\nc\r\na", "b\r\nc\r\n");
    becomes("line = { path = '/f', line = 'a', match = '^x$', state = 'absent' }", "a\nx\nb\n", "b\n");
    let long = "x".repeat(300_000);
    becomes(port, format!("{long}\nPort 1\n{long}"), format!("{long}\nPort 22\n{long}"));
}

#[test]
fn a_place_that_is_not_there_has_a_way_out() {
    let root = |rest: &str| {
        format!("line = {{ path = '/f', line = 'R no', match = '^#?R\\b', before = '^Match\\b'{rest} }}")
    };
    refused(&root(""), "Port 22\n", "no line of /f matches `^Match\\b`");
    becomes(&root(", otherwise = 'end'"), "Port 22\n", "Port 22\nR no\n");
    becomes(&root(", otherwise = 'start'"), "Port 22\n", "R no\nPort 22\n");
    becomes(&root(", otherwise = 'end'"), "P\nMatch a\nMatch b\n", "P\nR no\nMatch a\nMatch b\n");
    becomes(&root(", otherwise = 'end'"), "#R yes\nMatch a\n", "R no\nMatch a\n");
    let top = "line = { path = '/f', line = '#!/bin/sh', before = '.', otherwise = 'end' }";
    becomes(top, "\necho\n", "\n#!/bin/sh\necho\n");
    becomes(top, "", "#!/bin/sh\n");
}

#[test]
fn what_is_no_text_of_single_bytes_is_refused() {
    let wide: Vec<u8> = "Port 1\r\nx\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let marked = [&b"\xff\xfe"[..], &wide].concat();
    let other: Vec<u8> = "Port 1\nx\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
    for text in [
        "line = { path = '/f', line = 'Port 22', match = '^Port' }",
        "line = { path = '/f', line = 'Port 22', state = 'absent' }",
        NAMES,
        NO_NAMES,
    ] {
        for bytes in [&wide, &marked, &other] {
            refused(text, bytes, "/f is encoded in UTF-16");
        }
        refused(text, "a\rPort 1\r", "/f has lines that end in a carriage return alone");
    }
    // A few such lines among others are left alone, but not rewritten.
    let port = "line = { path = '/f', line = 'Port 22', match = '^Port' }";
    becomes(port, "a\rb\n1\n2\n", "a\rb\n1\n2\nPort 22\n");
    refused(port, "Port 1\rb\n1\n2\n", "line 1 of /f has a carriage return in it");
    refused(port, "b\rPort 22\n1\n2\n", "line 1 of /f has a carriage return in it");
    refused("line = { path = '/f', line = 'b', state = 'absent' }", "1\na\rb\n", "line 2 of /f has");
    refused("line = { path = '/f', line = 'x', state = 'absent' }", "x\na\rb", "carriage return alone");
}

#[test]
fn a_file_of_another_encoding_is_edited_around() {
    let latin = b"# gr\xfc\xdfe\nname=caf\xe9\nPort 1\n";
    becomes(
        "line = { path = '/f', line = 'Port 22', match = '^Port' }",
        latin,
        b"# gr\xfc\xdfe\nname=caf\xe9\nPort 22\n",
    );
    // What a dot means there is a byte: the line is found, not doubled.
    becomes(
        "line = { path = '/f', line = 'name=bar', match = '^name=.*$' }",
        latin,
        b"# gr\xfc\xdfe\nname=bar\nPort 1\n",
    );
    becomes(
        "line = { path = '/f', match = '^name=\\S+$', state = 'absent' }",
        latin,
        b"# gr\xfc\xdfe\nPort 1\n",
    );
    // How a letter that is not ASCII is written there is not known.
    for text in [
        "line = { path = '/f', line = 'name=café', match = '^name=' }",
        "line = { path = '/f', line = 'x', before = 'é' }",
        "line = { path = '/f', line = 'name=café', state = 'absent' }",
        "line = { path = '/f', match = 'café', state = 'absent' }",
        "block = { path = '/f', content = 'é' }",
        "block = { path = '/f', content = 'e', marker = '# {mark} é' }",
        "block = { path = '/f', state = 'absent', marker = '# {mark} é' }",
    ] {
        refused(text, latin, "/f is not UTF-8, so it is not known how `é` is written in it");
    }
    let both = b"caf\xe9\ncaf\xc3\xa9\n";
    assert_eq!(edit("line = { path = '/f', line = 'café' }", both), Holds, "it is there as UTF-8");
    becomes("line = { path = '/f', line = 'é', after = 'ä' }", "ä\n", "ä\né\n");
}

#[test]
fn an_expression_that_matches_nothing_at_all_is_a_mistake() {
    for expression in
        [".*", "x*", "^", "$", "^$", "", "a|", "(?:)", "\\b", "^\\s*", "x{0,3}", "(?m)^", "(?-u:.*)"]
    {
        for text in [
            format!("line = {{ path = '/f', line = 'x', match = '{expression}' }}"),
            format!("line = {{ path = '/f', match = '{expression}', state = 'absent' }}"),
            format!("line = {{ path = '/f', line = 'x', after = '{expression}' }}"),
            format!("line = {{ path = '/f', line = 'x', before = '{expression}', otherwise = 'end' }}"),
            format!("block = {{ path = '/f', content = 'x', after = '{expression}' }}"),
            format!("block = {{ path = '/f', content = 'x', before = '{expression}' }}"),
        ] {
            let mistake = step(&text).unwrap_err();
            assert!(
                mistake.contains(&format!("`{expression}` matches the empty text, and so any line")),
                "{text}: {mistake}"
            );
        }
    }
    for expression in [".", ".+", "x+", "^#?Port\\b", "(?i)^a", "^\\s*x", "\\bx"] {
        step(&format!("line = {{ path = '/f', match = '{expression}', state = 'absent' }}")).unwrap();
    }
}

#[test]
fn an_expression_that_is_none_says_where() {
    let deep = format!("{}x{}", "(".repeat(50_000), ")".repeat(50_000));
    for (expression, why) in [
        ("^(Host", "unclosed group, at its character 2, `(Host`"),
        ("(?=x)y", "look-around is not supported, at its character 1, `(?=x)y`"),
        ("é\\1", "backreferences are not supported, at its character 2, `\\1`"),
        ("x\\", "incomplete escape sequence"),
        ("a{5,2}", "invalid repetition count range"),
        ("\\p{Nonsense}x", "Unicode property not found"),
        (&deep, "maximum number of nested parentheses"),
        ("(\\w{200}){200}", "it is too large"),
        ("((a{1000}){1000}){1000}", "it is too large"),
    ] {
        let mistake = step(&format!("line = {{ path = '/f', match = '{expression}', state = 'absent' }}"));
        let mistake = mistake.unwrap_err();
        assert!(mistake.contains(why), "{why}: {mistake}");
        assert!(mistake.len() < 400, "{mistake}");
    }
}

#[test]
fn what_cannot_be_a_line_is_a_mistake() {
    for (text, why) in [
        ("line = { path = '/f', line = \"a\\nb\" }", "a line cannot hold a line break"),
        ("line = { path = '/f', line = \"a\\r\" }", "a line cannot hold a line break"),
        ("line = { path = '/f', line = \"a\\u0000\" }", "a line of text cannot hold a NUL byte"),
        ("line = { path = '/f', line = '' }", "`line` is empty"),
        ("line = { path = '/f', line = '', state = 'absent' }", "`line` is empty"),
        ("line = { path = '/f', line = 'a', match = 'b' }", "`match` does not match `line` itself"),
        ("line = { path = '/f', line = 'a', otherwise = 'end' }", "`otherwise` needs `after` or `before`"),
        (
            "line = { path = '/f', line = 'a', before = 'b', otherwise = 'top' }",
            "`top` is not one of `end` and `start`",
        ),
        (
            "block = { path = '/f', content = 'a', otherwise = 'end' }",
            "`otherwise` needs `after` or `before`",
        ),
        ("block = { path = '/f', content = \"a\\rb\" }", "a carriage return in it ends no line"),
        ("block = { path = '/f', content = \"a\\u0000\" }", "lines of text cannot hold a NUL byte"),
        ("block = { path = '/f', content = \"a\\n# BEGIN hostwright \\n\" }", "a line of it is the marker"),
        ("block = { path = '/f', content = 'a', marker = \"# {mark}\\n\" }", "a marker is one line of text"),
    ] {
        let mistake = step(text).err().unwrap_or_default();
        assert!(mistake.contains(why), "{text}: {mistake:?}, not {why:?}");
    }
}

/// Files of all sorts of lines with all sorts of ends; those that can be edited and those that cannot.
fn files() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(vec![
            &b"Port 22"[..], b"Port 2022", b"#Port", b"wanted", b" wanted", b"wanted ", b"anchor", b"Anchor 2",
            b"# BEGIN x", b"# END x", b"# BEGIN x ", b"  # END x", b"# BEGIN y", b"see # BEGIN x", b"one", b"two",
            b"", b" ", b"\t", b"caf\xe9", "café".as_bytes(), "a\u{2028}b\u{85}c".as_bytes(), b"\x0c", b"\0", b"\xff\xfe",
            b"a\rb", b"\r", b"\xef\xbb\xbf",
        ]).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ];
    let end =
        prop::sample::select(vec![&b"\n"[..], b"\n", b"\n", b"\r\n", b"\r\n", b"\r\r\n", b"\n\n", b"\r"]);
    let mark = prop::sample::select(vec![&b""[..], b"", b"", b"\xef\xbb\xbf", b"\xff\xfe"]);
    (mark, prop::collection::vec((piece, end), 0..9), any::<bool>()).prop_map(|(mark, lines, ended)| {
        let mut bytes = mark.to_vec();
        let last = lines.len().saturating_sub(1);
        for (n, (text, end)) in lines.into_iter().enumerate() {
            bytes.extend(text);
            bytes.extend(if n == last && !ended { &b""[..] } else { end });
        }
        bytes
    })
}

/// The keys that say where new lines go.
fn places() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "",
        ", after = '^anchor'",
        ", before = '(?i)^anchor', otherwise = 'end'",
        ", after = '.', otherwise = 'start'",
        ", before = 'é', otherwise = 'end'",
    ])
}

/// Whether `after` is `before` with `new` put in somewhere, each line with one of the two line ends, and with a line
/// break before it where there was none.
fn is_insertion(before: &[u8], after: &[u8], new: &[&str]) -> bool {
    ["\n", "\r\n"].iter().any(|end| {
        let text: String = new.iter().flat_map(|line| [line, *end]).collect();
        let puts = |at: usize, text: &str| {
            after.len() == before.len() + text.len()
                && after[..at] == before[..at]
                && after[at..at + text.len()] == *text.as_bytes()
                && after[at + text.len()..] == before[at..]
        };
        let starts = |at: usize| at == 0 || before[at - 1] == b'\n' || before[..at] == *b"\xef\xbb\xbf";
        (0..=before.len()).any(|at| starts(at) && puts(at, &text))
            || puts(before.len(), &format!("{end}{text}"))
            || (before.ends_with(b"\r") && puts(before.len(), &format!("\n{text}")))
    })
}

/// Whether a file is as it was before, but for the line break that its last line may have lacked.
fn is_back(before: &[u8], now: &[u8]) -> bool {
    ["", "\n", "\r\n"].iter().any(|end| now.strip_suffix(end.as_bytes()) == Some(before))
}

fn pieces(bytes: &[u8]) -> Vec<&[u8]> {
    let from = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    bytes[from..].split_inclusive(|b| *b == b'\n').collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_line_that_is_there_changes_nothing_else(
        before in files(),
        place in places(),
        matching in prop::sample::select(vec!["", ", match = '^#?Port'", ", match = '^#?Port', occurrence = 'first'"]),
    ) {
        let line = if matching.is_empty() { "wanted" } else { "Port 22" };
        let text = format!("line = {{ path = '/f', line = '{line}'{matching}{place} }}");
        let outcome = edit(&text, &before);
        let Written(after) = outcome else { return Ok(()) };
        prop_assert_eq!(edit(&text, &after), Holds);
        let replaces = pieces(&before).len() == pieces(&after).len() && before.len() <= after.len() + 2 && {
            let (old, new) = (pieces(&before), pieces(&after));
            let differing: Vec<_> = (0..old.len()).filter(|n| old[*n] != new[*n]).collect();
            // The line end, and all other lines, stay.
            matches!(differing[..], [n] if new[n].starts_with(line.as_bytes())
                && old[n].ends_with(&new[n][line.len()..])
                && (old[n].starts_with(b"Port") || old[n].starts_with(b"#Port"))
                && new[n][line.len()..].iter().all(|b| matches!(b, b'\r' | b'\n')))
        };
        prop_assert!(
            replaces || is_insertion(&before, &after, &[line]),
            "{:?} -> {:?}", before.escape_ascii().to_string(), after.escape_ascii().to_string()
        );
        if is_insertion(&before, &after, &[line]) && !replaces && matching.is_empty() {
            let gone = edit(&format!("line = {{ path = '/f', line = '{line}', state = 'absent' }}"), &after);
            let Written(gone) = gone else { panic!("{gone:?}") };
            prop_assert!(is_back(&before, &gone));
        }
    }

    #[test]
    fn a_line_that_goes_takes_nothing_along(
        before in files(),
        which in prop::sample::select(vec!["line = 'wanted'", "match = '^#?Port'", "match = 'wanted'", "match = '.'"]),
    ) {
        let text = format!("line = {{ path = '/f', {which}, state = 'absent' }}");
        let Written(after) = edit(&text, &before) else { return Ok(()) };
        prop_assert_eq!(edit(&text, &after), Holds);
        let goes = |piece: &[u8]| {
            let line = piece.strip_suffix(b"\n").unwrap_or(piece);
            let line: Vec<u8> = {
                let kept = line.iter().rposition(|b| *b != b'\r').map_or(0, |n| n + 1);
                line[..kept].to_vec()
            };
            let shown = String::from_utf8_lossy(&line).into_owned();
            match which {
                "line = 'wanted'" => shown == "wanted",
                "match = '^#?Port'" => shown.starts_with("Port") || shown.starts_with("#Port"),
                "match = 'wanted'" => shown.contains("wanted"),
                _ => !line.is_empty(),
            }
        };
        let mark = if before.starts_with(b"\xef\xbb\xbf") { &before[..3] } else { &[] };
        let kept: Vec<u8> = pieces(&before).into_iter().filter(|p| !goes(p)).flatten().copied().collect();
        prop_assert_eq!(after.escape_ascii().to_string(), [mark, &kept].concat().escape_ascii().to_string());
    }

    #[test]
    fn a_block_changes_nothing_else(before in files(), place in places(), content in prop::sample::select(vec!["", "one", "one\\ntwo", "\\n\\n"])) {
        let text = format!("block = {{ path = '/f', marker = '# {{mark}} x', content = \"{content}\"{place} }}");
        let outcome = edit(&text, &before);
        let begins = |bytes: &[u8]| pieces(bytes).iter().filter(|p| p.trim_ascii_end() == b"# BEGIN x").count();
        match &outcome {
            Holds => prop_assert_eq!(begins(&before), 1),
            Refused(_) => {}
            Written(after) => {
                prop_assert_eq!(begins(after), 1);
                prop_assert_eq!(edit(&text, after), Holds);
                let content = content.replace("\\n", "\n");
                let mut lines = vec!["# BEGIN x"];
                lines.extend(content.lines());
                lines.push("# END x");
                if begins(&before) == 0 {
                    prop_assert!(is_insertion(&before, after, &lines));
                } else {
                    let parts = |bytes: &[u8]| {
                        let pieces: Vec<Vec<u8>> = pieces(bytes).into_iter().map(<[u8]>::to_vec).collect();
                        let at = |marker: &[u8]| pieces.iter().position(|p| p.trim_ascii_end() == marker).unwrap();
                        let (from, to) = (at(b"# BEGIN x"), at(b"# END x"));
                        (pieces[..=from].to_vec(), pieces[to..].to_vec())
                    };
                    prop_assert_eq!(parts(&before), parts(after));
                }
                let gone = edit("block = { path = '/f', marker = '# {mark} x', state = 'absent' }", after);
                match gone {
                    Written(gone) if begins(&before) == 0 => prop_assert!(is_back(&before, &gone)),
                    Written(_) => {}
                    // Nothing but carriage returns would be left.
                    other => prop_assert!(matches!(&other, Refused(m) if m.contains("alone")), "{:?}", other),
                }
            }
        }
    }

    #[test]
    fn no_bytes_and_no_expression_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), expression in "\\PC{0,12}", other in any::<String>()) {
        for key in ["match", "after", "before"] {
            let (expression, other) = (toml(&expression), toml(&other));
            let text = format!("line = {{ path = '/f', line = {other}, {key} = {expression} }}");
            if step(&text).is_ok() {
                edit(&text, &bytes);
            }
            let text = format!("block = {{ path = '/f', content = {other}, {} = {expression} }}", if key == "match" { "marker" } else { key });
            if step(&text).is_ok() {
                edit(&text, &bytes);
            }
        }
    }
}

/// A text as TOML writes it.
fn toml(text: &str) -> String {
    let escaped = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c.is_control() => format!("\\u{:04X}", u32::from(c)),
        c => c.to_string(),
    };
    format!("\"{}\"", text.chars().map(escaped).collect::<String>())
}

#[test]
fn the_document_of_each_says_what_it_promises() {
    for kind in ["line", "block"] {
        let doc = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/step/{kind}.md"));
        let doc = std::fs::read_to_string(doc).unwrap();
        for promise in ["`otherwise`", "UTF-16", "carriage return", "UTF-8", "line end"] {
            assert!(doc.contains(promise), "{kind}.md does not speak of {promise}");
        }
    }
}
