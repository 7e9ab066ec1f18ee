//! Lines, blocks and links on a real file system.

use hostwright::model::{Kind, Privilege, Resource};
use hostwright::step::{Value, Verdict};

use super::real_files::each_shell;

#[test]
fn a_line_is_replaced_added_and_removed() {
    each_shell(|host| {
        host.write("f", "#Port 22\nUsePAM yes\nPort 2022\nMatch all");
        let text = r#"line = { path = "@/f", line = "Port 22", match = '^#?Port\b' }"#;
        let change = host.apply(text);
        assert_eq!(
            host.read("f"),
            "#Port 22\nUsePAM yes\nPort 22\nMatch all",
            "the last one, and nothing else"
        );
        assert!(matches!(&change.fields[0].before, Value::Content(c) if c.contains("2022")));
        host.apply(r#"line = { path = "@/f", line = "Port 23", match = '^#?Port\b', occurrence = "first" }"#);
        host.apply(r#"line = { path = "@/f", line = "X yes", before = '^UsePAM' }"#);
        host.apply(r#"line = { path = "@/f", line = "Y yes", after = '^UsePAM' }"#);
        host.apply(r#"line = { path = "@/f", line = "it's $HOME `id` \\n" }"#);
        assert_eq!(
            host.read("f"),
            "Port 23\nX yes\nUsePAM yes\nY yes\nPort 22\nMatch all\nit's $HOME `id` \\n\n"
        );
        host.apply(r#"line = { path = "@/f", match = '^(Port|[XY]) ', state = "absent" }"#);
        assert_eq!(host.read("f"), "UsePAM yes\nMatch all\nit's $HOME `id` \\n\n");
        let lost = host.step(r#"line = { path = "@/f", line = "a", after = '^\[section\]' }"#);
        assert!(host.refused(&*lost).contains("no line of"));
    });
}

#[test]
fn bytes_that_are_no_text_and_windows_line_ends_stay() {
    let block = r##"block = { path = "@/f", marker = "# {mark} cluster", content = "10.0.0.1 a" }"##;
    let no_block = r##"block = { path = "@/f", marker = "# {mark} cluster", state = "absent" }"##;
    let add = r#"line = { path = "@/f", line = "c", after = '^b' }"#;
    let cases: &[(&str, &[u8], &[u8])] = &[
        (r#"line = { path = "@/f", line = "y" }"#, b"caf\xe9 1\r\nx\r\n", b"caf\xe9 1\r\nx\r\ny\r\n"),
        (add, b"a\r\nb\n\0", b"a\r\nb\nc\n\0"),
        (add, b"a\nb\r\n\x80\xff\0\x0c\t", b"a\nb\r\nc\r\n\x80\xff\0\x0c\t"),
        (add, b"\xef\xbb\xbfb", b"\xef\xbb\xbfb\nc\n"),
        (
            block,
            b"x\r\n# BEGIN cluster \r\n\xe9\n# END cluster\ny",
            b"x\r\n# BEGIN cluster \r\n10.0.0.1 a\r\n# END cluster\ny",
        ),
        (block, b"\n\n\r\n", b"\n\n\r\n# BEGIN cluster\r\n10.0.0.1 a\r\n# END cluster\r\n"),
        (no_block, b"x\n\n# BEGIN cluster\r\n\0\n# END cluster", b"x\n\n"),
        (
            r#"line = { path = "@/f", match = '\\', state = "absent" }"#,
            b"$(x)\r\n\\ \n`'\"%s\\\n\xe9",
            b"$(x)\r\n\xe9",
        ),
    ];
    each_shell(|host| {
        for (text, before, after) in cases {
            host.write("f", before);
            host.apply(text);
            let bytes = std::fs::read(host.at("f")).unwrap();
            assert_eq!(bytes.escape_ascii().to_string(), after.escape_ascii().to_string(), "{text}");
        }
        host.write("f", b"x\r\n# BEGIN cluster\r\n10.0.0.1 a\r\n# END cluster\r\ny\n");
        assert_eq!(host.satisfied(&*host.step(block)), "lines 2 to 4");
        for (bytes, why) in [
            (&b"P\0o\0r\0t\0\n\0"[..], "is encoded in UTF-16"),
            (b"\xfe\xff\0a", "is encoded in UTF-16"),
            (b"a\rb\r", "a carriage return alone"),
            (b"# BEGIN cluster\r\nx\n", "not one pair"),
        ] {
            host.write("f", bytes);
            assert!(host.refused(&*host.step(block)).contains(why), "{bytes:?}");
            assert_eq!(std::fs::read(host.at("f")).unwrap(), bytes);
        }
        let odd = r#"line = { path = "@/f", line = "Port 22", match = '^Port' }"#;
        host.write("f", b"caf\xe9\nPort 1\n");
        let change = host.drift(&*host.step(odd));
        assert_eq!(change.fields[0].before, Value::Content("caf\\xE9\nPort 1\n".into()));
        assert!(change.notes[0].contains("\\xNN"), "{:?}", change.notes);
    });
}

#[test]
fn a_file_that_is_missing_is_a_need_or_made() {
    each_shell(|host| {
        let step = host.step(r#"line = { path = "@/f", line = "a" }"#);
        match host.check(&*step) {
            Ok(Verdict::Unknown { until, otherwise, then: Some(_) }) => {
                assert_eq!(until, Resource::here(Kind::Path, host.at("f").to_str().unwrap()));
                assert!(otherwise.contains("create = true"), "{otherwise}");
            }
            other => panic!("{other:?}"),
        }
        host.apply(r#"line = { path = "@/f", line = "a", create = true }"#);
        assert_eq!(host.read("f"), "a\n");
        host.satisfied(&*host.step(r#"line = { path = "@/none", line = "a", state = "absent" }"#));
    });
}

#[test]
fn steps_on_one_file_see_what_the_earlier_ones_will_leave() {
    each_shell(|host| {
        let texts = [
            r#"directory = "@/etc""#,
            r#"file = { path = "@/etc/f", content = "one\n" }"#,
            r#"line = { path = "@/etc/f", line = "two" }"#,
            r#"file = { path = "@/etc/f", mode = "0600" }"#,
            r#"block = { path = "@/etc/f", content = "three\nfour" }"#,
            r#"line = { path = "@/etc/f", line = "THREE", match = '^(three|THREE)$' }"#,
            r#"link = { path = "@/etc/l", target = "f" }"#,
        ];
        // The whole plan first, from what the host answers now.
        let mut expected = Vec::new();
        let mut changes = Vec::new();
        for text in texts {
            let step = host.step(text);
            let mut answers = host.ask(&*step);
            for (resource, state) in &expected {
                answers.expect(Clone::clone(resource), Clone::clone(state));
            }
            match step.check(&answers.seen_with(&Privilege::Login)) {
                Ok(Verdict::Drift(change)) => {
                    expected.extend(change.expects.clone());
                    changes.push(change);
                }
                other => panic!("{text}: {other:?}"),
            }
        }
        // Then the apply, step by step: the same changes, which also hold.
        for (text, planned) in texts.iter().zip(&changes) {
            let step = host.step(text);
            let change = host.drift(&*step);
            assert_eq!(change.fields, planned.fields, "{text}");
            let answer = host.act(&change);
            assert!(answer.ok(), "{text}: {}", answer.error_text());
            host.satisfied(&*step);
        }
        assert_eq!(host.read("etc/l"), "one\ntwo\n# BEGIN hostwright\nTHREE\nfour\n# END hostwright\n");
        assert_eq!(host.mode("etc/f"), 0o600);
    });
}

#[test]
fn nothing_is_written_over_somebody_elses_change() {
    each_shell(|host| {
        host.write("f", "one\n");
        let change = host.drift(&*host.step(r#"line = { path = "@/f", line = "two" }"#));
        host.write("f", "one\nby hand\n");
        let answer = host.act(&change);
        assert!(answer.error_text().contains("changed by someone else"), "{answer:?}");
        assert_eq!(host.read("f"), "one\nby hand\n");
        assert_eq!(host.names(""), ["f"]);
    });
}

#[test]
fn a_block_is_put_changed_and_removed() {
    each_shell(|host| {
        host.write("f", "[a]\nx\n[b]\ny\n");
        host.apply(r#"block = { path = "@/f", content = "1\n2\n", after = '^\[a\]' }"#);
        assert_eq!(host.read("f"), "[a]\n# BEGIN hostwright\n1\n2\n# END hostwright\nx\n[b]\ny\n");
        host.apply(r#"block = { path = "@/f", content = "3", after = 'no matter, it is there' }"#);
        host.apply(r#"block = { path = "@/f", content = "", marker = "; {mark} two" }"#);
        let text = host.read("f");
        assert_eq!(text, "[a]\n# BEGIN hostwright\n3\n# END hostwright\nx\n[b]\ny\n; BEGIN two\n; END two\n");
        host.apply(r#"block = { path = "@/f", state = "absent" }"#);
        host.apply(r#"block = { path = "@/f", marker = "; {mark} two", state = "absent" }"#);
        assert_eq!(host.read("f"), "[a]\nx\n[b]\ny\n");
        host.write("f", "# END hostwright\n# BEGIN hostwright\n");
        assert!(
            host.refused(&*host.step(r#"block = { path = "@/f", content = "1" }"#)).contains("not one pair")
        );
    });
}

#[test]
fn a_link_is_made_turned_and_removed() {
    each_shell(|host| {
        host.write("one", "1");
        host.write("two", "2");
        host.apply(r#"link = { path = "@/it's a link", target = "one" }"#);
        assert_eq!(host.read("it's a link"), "1");
        let change = host.apply(r#"link = { path = "@/it's a link", target = "two" }"#);
        assert_eq!(change.fields[0].before, Value::Text("one".into()));
        assert_eq!(host.read("it's a link"), "2");
        // A link to a directory is turned itself; nothing is made in the directory.
        std::fs::create_dir(host.at("d")).unwrap();
        host.apply(r#"link = { path = "@/l", target = "d" }"#);
        host.apply(r#"link = { path = "@/l", target = "one" }"#);
        assert!(host.names("d").is_empty());
        assert!(
            host.refused(&*host.step(r#"link = { path = "@/one", target = "two" }"#))
                .contains("not a symbolic link")
        );
        host.apply(r#"link = { path = "@/one", target = "two", force = true }"#);
        assert_eq!((host.read("one"), host.kept("one")), ("2".into(), "1".into()));
        assert!(
            host.refused(&*host.step(r#"link = { path = "@/d", target = "two", force = true }"#))
                .contains("directory")
        );
        host.apply(r#"link = { path = "@/l", state = "absent" }"#);
        assert!(
            host.refused(&*host.step(r#"link = { path = "@/two", state = "absent" }"#))
                .contains("not a symbolic link")
        );
    });
}
