//! What the server is asked and told, with shells and tools of its own, and the bytes of a shared file.

use super::*;

/// Runs the action with an `exportfs` that says `said` and ends with `code`.
fn reload(said: &str, code: i32) -> (i32, String) {
    let step = NfsExport {
        path: "/mnt/a b".into(),
        clients: Vec::new(),
        options: Vec::new(),
        file: None,
        state: Existence::Present,
        entries: vec![Entry { path: "/mnt/a b".into(), client: "web".into(), options: Vec::new() }],
    };
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("said"), said).unwrap();
    let fake = dir.path().join("exportfs");
    std::fs::write(&fake, format!("#!/bin/sh\ncat {}/said >&2\nexit {code}\n", dir.path().display()))
        .unwrap();
    std::fs::set_permissions(&fake, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let out = std::process::Command::new("sh")
        .env("PATH", format!("{}:/usr/bin:/bin", dir.path().display()))
        .arg("-c")
        .arg(step.reload().script.render())
        .output()
        .unwrap();
    (out.status.code().unwrap(), String::from_utf8(out.stderr).unwrap())
}

#[test]
fn every_byte_of_others_stays() {
    let file = |bytes: &[u8]| FileText { bytes: Some(bytes.into()), now: FileState::absent() };
    let others = b"# caf\xe9 \\\r\n/srv/\xff h(rw)\r\n\n  /x\ty(ro) \xc3";
    let with = file(others).with_block("/a", "/a h(rw)\n").unwrap();
    let block = b"# BEGIN hostwright nfs_export /a\n/a h(rw)\n# END hostwright nfs_export /a\n";
    assert_eq!(with, [&others[..], b"\n", block].concat());
    let (inside, outside) = file(&with).split_block("/a").unwrap();
    assert_eq!((inside, outside), (b"/a h(rw)\n".to_vec(), [&others[..], b"\n"].concat()));
    // In the middle, with the line ends of a file that somebody has converted.
    let middle = [b"\xfe\r\n", &block.to_vec().join_crlf()[..], b"z\xff"].concat();
    let with = file(&middle).with_block("/a", "/a i(ro)\n").unwrap();
    let block = b"# BEGIN hostwright nfs_export /a\n/a i(ro)\n# END hostwright nfs_export /a\n";
    assert_eq!(with, [b"\xfe\r\n", &block[..], b"z\xff"].concat());
}

trait Crlf {
    fn join_crlf(&self) -> Vec<u8>;
}

impl Crlf for Vec<u8> {
    fn join_crlf(&self) -> Vec<u8> {
        self.split_inclusive(|b| *b == b'\n').flat_map(|l| [&l[..l.len() - 1], b"\r\n"].concat()).collect()
    }
}

/// Asks in a root of its own, with a resolver of its own and each shell that is there.
#[test]
fn the_server_tells_its_tables_and_names() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path);
    for folder in ["bin", "etc/exports.d", "var/lib/nfs", "srv/real a"] {
        std::fs::create_dir_all(at(folder)).unwrap();
    }
    symlink(at("srv/real a"), at("srv/link")).unwrap();
    let root = dir.path().to_str().unwrap();
    std::fs::write(at("etc/exports"), b"# caf\xe9 \\\r\n/srv/x web(ro)\n").unwrap();
    std::fs::write(at("etc/exports.d/.hidden.exports"), "/srv/y web(ro)\n").unwrap();
    let etab =
        format!("/srv/x\tother(ro)\n{root}/srv/link\tWeb.Example(rw)\n{root}/srv/link\t10.0.0.0/8(rw)\n");
    std::fs::write(at("var/lib/nfs/etab"), etab).unwrap();
    for (name, text) in [
        ("exportfs", "#!/bin/sh\n"),
        (
            "getent",
            "#!/bin/sh\ncase $2 in web) echo '192.0.2.1 STREAM Web.Example'; echo '192.0.2.1 DGRAM'; echo 2001:db8::1 STREAM;;\n\
                 [wW]eb.*) echo '192.0.2.1 STREAM Web.Example' ;; *) exit 2 ;; esac\n",
        ),
    ] {
        std::fs::write(at("bin").join(name), text).unwrap();
        std::fs::set_permissions(at("bin").join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let entry = |client: &str| Entry { path: String::new(), client: client.into(), options: Vec::new() };
    let step = NfsExport {
        path: format!("{root}/srv/link"),
        clients: Vec::new(),
        options: Vec::new(),
        file: None,
        state: Existence::Present,
        entries: vec![entry("web"), entry("gone"), entry("10.0.0.0/8")],
    };
    let probe = step.tables_probe();
    let script = probe.script.render();
    let script = script.replace("/etc/exports", &format!("{root}/etc/exports"));
    let script = script.replace("/var/lib/nfs", &format!("{root}/var/lib/nfs"));
    let mut said = Vec::new();
    for shell in ["dash", "bash", "busybox"] {
        let mut command = std::process::Command::new(shell);
        if shell == "busybox" {
            command.arg("sh");
        }
        command.env("PATH", format!("{root}/bin:/usr/bin:/bin")).env("LC_ALL", "C");
        let Ok(out) = command.arg("-c").arg(&script).output() else { continue };
        assert_eq!(String::from_utf8_lossy(&out.stderr), "", "{shell}");
        said.push(String::from_utf8_lossy(&out.stdout).replace(root, ""));
    }
    said.dedup();
    assert_eq!(
        said,
        ["TOOL yes\nREAL /srv/real a\nNAME web\nADDR 192.0.2.1 Web.Example\nADDR 192.0.2.1\n\
              ADDR 2001:db8::1\nNAME gone\nNAME Web.Example\nADDR 192.0.2.1 Web.Example\n\
              FILE /etc/exports\n|# caf\u{fffd} \\\r\n|/srv/x web(ro)\nFILE /var/lib/nfs/etab\n|/srv/x\tother(ro)\n\
              |/srv/link\tWeb.Example(rw)\n|/srv/link\t10.0.0.0/8(rw)\n"]
    );
}

#[test]
fn what_exportfs_says_decides() {
    let warning = "exportfs: /etc/exports.d/mnt-a_b.exports [1]: Neither 'subtree_check' or 'no_subtree_check' \
                       specified for export \"web:/mnt/a b\".\n  Assuming default behaviour ('no_subtree_check').\n";
    assert_eq!(reload("", 0), (0, String::new()));
    assert_eq!(reload(warning, 0), (0, String::new()));
    // Others' faults are told, and are not this step's.
    let (code, said) = reload("exportfs: Failed to stat /nope: No such file or directory\n", 1);
    assert_eq!(code, 0);
    assert!(said.starts_with("exportfs: Failed to stat /nope"), "{said}");
    for ours in [
        "exportfs: Failed to stat /mnt/a b: No such file or directory",
        "exportfs: /mnt/a b requires fsid= for NFS export",
        "exportfs: /mnt/a b does not support NFS export",
        "exportfs: Failed to resolve web",
        "exportfs: /etc/exports.d/mnt-a_b.exports:2: unknown keyword \"x\"",
    ] {
        for code in [0, 1] {
            assert_eq!(reload(ours, code).0, 1, "{ours}");
        }
    }
    assert!(reload("exportfs: /mnt/a b requires fsid= for NFS export", 0).1.contains("hint: "));
    assert_eq!(reload("", 1).0, 1, "failed without a word");
    assert_eq!(reload("", 127).0, 127);
}
