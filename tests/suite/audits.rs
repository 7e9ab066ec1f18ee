//! Audits of hosts that are this machine, each with files of its own: what is told, what is written, how it ends.

use hostwright::audit::{Mark, Report, matrix};

use crate::cli::Sandbox;
use crate::pages::unpacked;

/// Six hosts and one that is gone; a file of each, and what all of them share.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    let dir = sandbox.path().display();
    sandbox.write("secret", "s3cr3t-q7Wz\n");
    sandbox.write(
        "inventory.toml",
        "[hosts.\"node-[1:6]\"]\nconnection = \"local\"\n[hosts.gone]\naddress = \"127.0.0.1\"\nport = 1\n\
         [defaults.vars]\npw = { file = \"secret\" }\n",
    );
    let steps = [
        ("Motd", "file = { path = \"DIR/{{ host.name }}\", content = \"hi\\n\" }"),
        ("Keys | <b>`x`</b>", "file = { path = \"DIR/keys\", content = \"=1+{{ vars.pw }}\\n\" }"),
        ("Folder", "directory = { path = \"DIR/d\" }"),
        ("Inside", "file = { path = \"DIR/d/x\", content = \"x\\n\" }"),
        ("Some", "when = \"host.name != 'node-1'\"\nfile = { path = \"DIR/some\", content = \"]]>&\\n\" }"),
        ("Hidden", "become = \"hw-nobody-of-this-name\"\nfile = { path = \"DIR/u\", content = \"\" }"),
    ];
    let steps = steps.map(|(name, step)| format!("[[step]]\nname = \"{name}\"\n{step}\n")).concat();
    sandbox.write(
        "site.toml",
        &format!("title = \"T\"\nhosts = \"*\"\n{}", steps.replace("DIR", &dir.to_string())),
    );
    for n in 1..=3 {
        sandbox.write(&format!("node-{n}"), "hi\n");
    }
    sandbox
}

#[test]
fn an_audit_tells_who_conforms_and_hands_it_on_in_every_format() {
    let sandbox = sandbox();
    let files = ["r.json", "r.xml", "r.md", "r.csv", "r.html"];
    let mut line = vec!["audit", "site.toml"];
    line.extend(files.iter().flat_map(|file| ["--report", *file]));
    let (code, out, err) = sandbox.run(&line);
    assert_eq!(code, 1, "what nobody could see comes first: {out}{err}");
    for part in [
        "A  node-[4:6] (3 hosts)\nB  node-2, node-3 (2 hosts)\nC  node-1\n",
        "~ = = !    Motd\n",
        "? ? ? !    Inside\n",
        "~ ~ - !    Some\n",
        "x x x !    Hidden\n",
        "~ Folder  on node-[1:6]\n",
        "! gone: 127.0.0.1 refuses the connection",
        "Audit: 0 of 7 hosts are as described, 1 host unreachable. Steps: 3 conforms, 1 skipped, 6 predicted, 20 drift, 6 \
         unreachable, 6 not seen (6 for missing rights).\n",
    ] {
        assert!(out.contains(part), "{part:?} is not in:\n{out}");
    }
    assert!(!sandbox.path().join("d").exists(), "nothing was changed");
    let read = |name: &str| std::fs::read_to_string(sandbox.path().join(name)).unwrap();
    let page = unpacked(&read("r.html"));
    assert!(!page.to_string().contains("s3cr3t-q7Wz"));
    assert_eq!((page["hosts"].as_array().unwrap().len(), page["cells"][6].as_array().unwrap().len()), (7, 6));
    for file in files {
        assert!(!read(file).contains("s3cr3t-q7Wz"), "{file}");
        assert!(err.contains(&format!("Report: {file}\n")), "{err}");
    }

    let report = Report::read(&sandbox.path().join("r.json")).unwrap();
    assert_eq!((report.hosts.len(), report.steps.len(), report.count(Mark::Drift)), (7, 6, 20));
    assert_eq!(report.made.files.len(), 2, "inventory and playbook with their digests");
    assert!(matrix(&report, 20).iter().all(|line| line.chars().count() < 100), "also where it is narrow");

    let text = read("r.xml");
    let xml = roxmltree::Document::parse(&text).unwrap();
    let count = |name: &str| xml.descendants().filter(|node| node.has_tag_name(name)).count();
    assert_eq!((count("testsuite"), count("testcase"), count("failure"), count("error")), (7, 42, 20, 12));
    assert!(xml.descendants().any(|node| node.attribute("name") == Some("Keys | <b>`x`</b>")));
    assert!(xml.descendants().any(|node| node.text().is_some_and(|text| text.contains("+]]>&"))));

    let markdown = read("r.md");
    assert!(markdown.contains("### Keys \\| &lt;b&gt;\\`x\\`&lt;/b&gt; on node-\\[1:6\\]"), "{markdown}");
    assert!(markdown.contains("```diff\n") && markdown.contains("\n+]]>&\n"), "{markdown}");
    let csv = read("r.csv");
    assert_eq!(csv.lines().count(), 43, "{csv}");
    assert!(csv.contains("node-1,site,motd,Motd,file,site.toml,4,conforms,"), "{csv}");

    // It is on record, and its report can be made from there.
    let (code, out, _) = sandbox.run(&["show", "last", "--report", "again.csv", "--report", "again.html"]);
    assert!(code == 0 && out.contains("~ Folder  on node-[1:6]"), "{out}");
    assert_eq!(read("again.csv"), csv);
    let again = unpacked(&read("again.html"));
    for part in ["hosts", "steps", "verdicts", "cells", "marks", "conforming"] {
        assert_eq!(again[part], page[part], "{part}");
    }
    assert_eq!(again["made"]["run"], page["made"]["run"]);
}

#[test]
fn what_has_changed_since_is_told_and_each_finding_may_decide_the_exit_code() {
    let sandbox = sandbox();
    assert_eq!(sandbox.run(&["audit", "site.toml", "--report", "old.json", "--fail-on", "predicted"]).0, 2);
    sandbox.write("some", "]]>&\n");
    std::fs::remove_file(sandbox.path().join("node-2")).unwrap();
    let (code, out, _) =
        sandbox.run(&["audit", "site.toml", "-q", "--compare", "old.json", "--report", "new.csv"]);
    assert_eq!(code, 1);
    assert!(out.contains("  drifted: site/motd on node-2\n  mended: site/some on node-[2:6]\n"), "{out}");
    let csv = std::fs::read_to_string(sandbox.path().join("new.csv")).unwrap();
    assert!(
        csv.lines().any(|line| line.starts_with("node-2,site,motd") && line.contains(",drifted,")),
        "{csv}"
    );
    for (fail_on, wanted) in [
        ("unseen,drift", 1),
        ("none", 0),
        ("drift,unreachable", 2),
        ("unreachable", 4),
        ("predicted,unreachable", 2),
    ] {
        let (code, _, err) = sandbox.run(&["audit", "site.toml", "--fail-on", fail_on]);
        assert_eq!(code, wanted, "{fail_on}: {err}");
    }
    let (code, out, _) = sandbox.run(&["audit", "site.toml", "--limit", "node-2", "--step", "some"]);
    assert_eq!(code, 0, "{out}");
    assert!(out.ends_with("Audit: 1 of 1 hosts are as described. Steps: 1 conforms.\n"), "{out}");
}

#[test]
fn a_report_that_cannot_be_is_refused_before_anybody_is_asked() {
    let sandbox = sandbox();
    sandbox.write("no.json", "{}");
    for (line, why) in [
        (
            &["audit", "site.toml", "--report", "r.pdf"][..],
            "the ending tells the format: .html, .json, .xml, .md, .csv",
        ),
        (
            &["audit", "site.toml", "--compare", "no.json"],
            "no.json is not a report that can be compared with",
        ),
        (&["audit", "site.toml", "--compare", "none.json"], "none.json: "),
        (
            &["audit", "site.toml", "--fail-on", "nothing"],
            "[possible values: drift, predicted, unreachable, unseen, none]",
        ),
    ] {
        let (code, out, err) = sandbox.run(line);
        assert!(code == 3 && out.is_empty() && err.contains(why), "{line:?}: {code} {err}");
    }
    for file in ["no/where.csv", "no/way/out.csv"] {
        let (code, out, err) = sandbox.run(&["audit", "site.toml", "--report", file]);
        assert!(code == 3 && out.is_empty(), "{out}");
        assert!(
            err.contains("the report cannot be written: no") || err.contains("the ending tells"),
            "{err}"
        );
    }
}
