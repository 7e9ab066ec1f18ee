//! `hostwright secret` with keys of ssh-keygen, and secrets of an inventory that such keys open.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A folder with keys: `anna` (ed25519), `ben` (rsa), `carl` (ed25519, locked by [`PASSPHRASE`]), `eve` (ecdsa).
struct Keys(tempfile::TempDir);

const PASSPHRASE: &str = "open $esame";

impl Keys {
    fn new() -> Self {
        let keys = Self(tempfile::tempdir().unwrap());
        for (name, words) in [
            ("anna", &["-t", "ed25519", "-N", ""][..]),
            ("ben", &["-t", "rsa", "-b", "2048", "-N", ""]),
            ("carl", &["-t", "ed25519", "-a", "1", "-N", PASSPHRASE]),
            ("eve", &["-t", "ecdsa", "-N", ""]),
        ] {
            let mut make = Command::new("ssh-keygen");
            make.args(["-q", "-C", name, "-f"]).arg(keys.path(name)).args(words);
            assert!(make.status().unwrap().success());
        }
        std::fs::create_dir_all(keys.path("run")).unwrap();
        keys
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn command(&self, line: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hostwright"));
        command
            .args(line)
            .current_dir(self.0.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.0.path())
            .env("XDG_RUNTIME_DIR", self.path("run"));
        command
    }

    /// Exit code, standard output, standard error.
    fn run(&self, line: &[&str], input: &str, editor: &str) -> (i32, String, String) {
        let mut command = self.command(line);
        command.env("EDITOR", editor).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It may end without reading it.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap().replace(self.0.path().to_str().unwrap(), "DIR");
        (status.code().unwrap(), text(stdout), text(stderr))
    }

    fn good(&self, line: &[&str], input: &str, editor: &str) -> (String, String) {
        let (code, out, err) = self.run(line, input, editor);
        assert_eq!(code, 0, "{line:?}: {out}{err}");
        (out, err)
    }

    fn refused(&self, line: &[&str], editor: &str) -> String {
        let (code, out, err) = self.run(line, "x\n", editor);
        assert_eq!((code, out.as_str()), (3, ""), "{line:?}: {err}");
        err
    }

    /// Runs it on a terminal, and types `typed` when it asks.
    fn on_terminal(&self, line: &[&str], typed: &str) -> (bool, String) {
        super::terminal::run(&mut self.command(line), &[("Passphrase of", typed)])
    }

    fn in_clear(&self) -> Vec<PathBuf> {
        std::fs::read_dir(self.path("run")).unwrap().map(|e| e.unwrap().path()).collect()
    }
}

#[test]
fn a_file_opens_for_its_recipients_alone() {
    let keys = Keys::new();
    let ben = keys.read("ben.pub");
    let line = ["secret", "new", "db.age", "-r", "anna.pub", "--recipient", ben.trim()];
    let (out, err) = keys.good(&line, "swordfish\n", "false");
    assert_eq!(out, "");
    assert_eq!(
        err,
        "db.age is encrypted for anna (ssh-ed25519), ben (ssh-rsa).\n\
         A variable takes its content by { age = \"db.age\" }.\n"
    );
    let sealed = keys.read("db.age");
    assert!(sealed.starts_with("-----BEGIN AGE ENCRYPTED FILE-----\n"), "{sealed}");
    assert_eq!(keys.read("db.age.recipients"), format!("{}{ben}", keys.read("anna.pub")));
    for identity in ["anna", "ben"] {
        let (out, _) = keys.good(&["secret", "view", "db.age", "--identity", identity], "", "");
        assert_eq!(out, "swordfish\n");
    }

    let err = keys.refused(&["secret", "view", "db.age", "--identity", "carl"], "");
    assert!(
        err.contains("no identity opens it; tried carl; it is for an ssh-ed25519 key, an ssh-rsa key"),
        "{err}"
    );
    let err = keys.refused(&["secret", "view", "db.age"], "");
    assert!(err.contains("tried none"), "{err}");
    let err = keys.refused(&["secret", "view", "db.age", "--identity", "eve"], "");
    assert!(err.contains("cannot use eve: a key of type ecdsa-sha2-nistp256 cannot decrypt"), "{err}");
    let err = keys.refused(&["secret", "view", "anna.pub", "--identity", "anna"], "");
    assert!(err.contains("cannot decrypt anna.pub: it is no file of age"), "{err}");
    let err = keys.refused(&["secret", "new", "db.age", "-r", "anna.pub"], "");
    assert!(err.contains("cannot make db.age: it is there already"), "{err}");
    for (recipient, why) in [
        ("eve.pub", "a key of type ecdsa-sha2-nistp256 cannot be encrypted for"),
        ("anna", "it is a private key; its public part is wanted"),
        ("nobody.pub", "no such file"),
        ("age1qqqq", "line 1 is no recipient"),
    ] {
        let err = keys.refused(&["secret", "new", "new.age", "-r", recipient], "");
        assert!(err.contains(why), "{recipient}: {err}");
        assert!(!keys.path("new.age").exists() && !keys.path("new.age.recipients").exists());
    }
    let err = keys.refused(&["secret", "new", "new.age"], "");
    assert!(err.contains("no recipient is named, and there is neither ~/.ssh/id_ed25519.pub nor"), "{err}");

    std::fs::create_dir(keys.path(".ssh")).unwrap();
    for name in ["", ".pub"] {
        std::fs::copy(keys.path(&format!("anna{name}")), keys.path(&format!(".ssh/id_ed25519{name}")))
            .unwrap();
    }
    let (_, err) = keys.good(&["secret", "new", "own.age"], "mine\n", "");
    assert!(err.contains("own.age is encrypted for anna (ssh-ed25519)."), "{err}");
    assert_eq!(keys.good(&["secret", "view", "own.age"], "", "").0, "mine\n");
}

#[test]
fn an_edit_is_private_and_whole_or_nothing() {
    let keys = Keys::new();
    keys.good(&["secret", "new", "db.toml.age", "-r", "anna.pub"], "swordfish\n", "");
    std::fs::set_permissions(keys.path("db.toml.age"), std::fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("db.toml.age", keys.path("link.age")).unwrap();
    let before = keys.read("db.toml.age");
    let edit = ["secret", "edit", "link.age", "--identity", "anna"];
    let as_before = |what: &str| {
        assert_eq!(keys.read("db.toml.age"), before, "{what}");
        assert_eq!(keys.in_clear(), Vec::<PathBuf>::new(), "{what}");
    };

    let err = keys.refused(&edit, "echo changed > \"$1\"; false");
    assert!(err.contains("failed: nothing was changed"), "{err}");
    as_before("the editor failed");
    let err = keys.refused(&edit, "no-such-editor");
    assert!(err.contains("there is no editor `no-such-editor`"), "{err}");
    as_before("no editor");
    let err = keys.refused(&edit, ": >");
    assert!(err.contains("there is nothing to encrypt"), "{err}");
    as_before("emptied");
    let (_, err) = keys.good(&edit, "", "touch");
    assert!(err.contains("stays as it is: nothing was changed"), "{err}");
    as_before("the same content");

    // What the editor sees: where it is, who may read it; and an argument of its own.
    let script = keys.path("editor");
    std::fs::write(
        &script,
        "ls -ld \"${2%/*}\" \"$2\" > seen; basename \"$2\" >> seen; cat \"$2\" >> seen; echo \"$1\" >> \"$2\"\n\
         echo left > \"$2.swp\"\n",
    )
    .unwrap();
    let (_, err) = keys.good(&edit, "", &format!("sh {} 'and more'", script.display()));
    assert!(err.contains("db.toml.age is encrypted for anna (ssh-ed25519)."), "{err}");
    let seen = keys.read("seen");
    let lines: Vec<&str> = seen.lines().collect();
    assert!(lines[0].starts_with("drwx------") && lines[1].starts_with("-rw-------"), "{seen}");
    assert!(lines[0].contains(keys.path("run/hw-secret.").to_str().unwrap()), "{seen}");
    assert_eq!(lines[2..], ["db.toml", "swordfish"]);
    assert_eq!(keys.in_clear(), Vec::<PathBuf>::new());
    assert_eq!(
        keys.good(&["secret", "view", "db.toml.age", "--identity", "anna"], "", "").0,
        "swordfish\nand more\n"
    );
    assert!(keys.path("link.age").is_symlink());
    assert_eq!(keys.path("db.toml.age").metadata().unwrap().permissions().mode() & 0o777, 0o640);

    std::fs::remove_file(keys.path("db.toml.age.recipients")).unwrap();
    let err = keys.refused(&edit, "touch");
    assert!(err.contains("it is not known for whom to encrypt") && err.contains("rekey"), "{err}");
}

#[test]
fn what_is_in_clear_goes_when_it_is_ended() {
    let keys = Keys::new();
    keys.good(&["secret", "new", "db.age", "-r", "anna.pub"], "swordfish\n", "");
    let before = keys.read("db.age");
    let mut child = keys
        .command(&["secret", "edit", "db.age", "--identity", "anna"])
        .env("VISUAL", "echo $PPID > editing; exec sleep 60; :")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while !keys.path("editing").exists() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(keys.in_clear().len(), 1);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(keys.in_clear(), Vec::<PathBuf>::new());
    assert_eq!(keys.read("db.age"), before);
}

#[test]
fn rekey_changes_all_or_none() {
    let keys = Keys::new();
    for file in ["one.age", "two.age"] {
        keys.good(&["secret", "new", file, "-r", "anna.pub"], &format!("in {file}\n"), "");
    }
    keys.good(&["secret", "new", "bens.age", "-r", "ben.pub"], "ben's\n", "");
    let before = keys.read("one.age");
    let err =
        keys.refused(&["secret", "rekey", "one.age", "bens.age", "-r", "ben.pub", "--identity", "anna"], "");
    assert!(err.contains("bens.age: no identity opens it"), "{err}");
    assert_eq!(keys.read("one.age"), before);
    assert_eq!(keys.read("one.age.recipients"), keys.read("anna.pub"));

    keys.good(&["secret", "rekey", "one.age", "two.age", "-r", "ben.pub", "--identity", "anna"], "", "");
    for file in ["one.age", "two.age"] {
        keys.refused(&["secret", "view", file, "--identity", "anna"], "");
        assert_eq!(
            keys.good(&["secret", "view", file, "--identity", "ben"], "", "").0,
            format!("in {file}\n")
        );
    }
    // The list may be edited by hand.
    std::fs::write(keys.path("one.age.recipients"), format!("# us\n{}", keys.read("anna.pub"))).unwrap();
    keys.good(&["secret", "rekey", "one.age", "./one.age", "--identity", "ben"], "", "");
    keys.good(&["secret", "edit", "one.age", "--identity", "anna"], "", "sed -i 's/in/still in/'");
    assert!(keys.read("one.age.recipients").starts_with("# us\n"), "remarks stay");
    assert_eq!(
        keys.good(&["secret", "view", "one.age", "--identity", "anna"], "", "").0,
        "still in one.age\n"
    );
}

#[test]
fn a_locked_key_is_asked_for_once() {
    let keys = Keys::new();
    if !super::terminal::is_there() {
        return;
    }
    for file in ["one.age", "two.age"] {
        keys.good(&["secret", "new", file, "-r", "carl.pub"], &format!("swordfish-{file}\n"), "");
    }
    let view = ["secret", "view", "one.age", "--identity", "carl"];
    let (good, said) = keys.on_terminal(&view, PASSPHRASE);
    assert!(good && said.ends_with("swordfish-one.age\r\n"), "{said}");
    assert!(!said.contains(PASSPHRASE), "{said}");
    let (good, said) = keys.on_terminal(&view, "wrong");
    assert!(!good && said.contains("cannot decrypt one.age: the passphrase does not unlock carl"), "{said}");

    // Ctrl-C is one key more.
    let (good, said) = keys.on_terminal(&view, "abc\x03");
    assert!(!good && said.contains("Interrupted: nothing was changed."), "{said}");

    let target = keys.path("target").display().to_string();
    std::fs::write(
        keys.path("inventory.toml"),
        "[hosts.here]\nconnection = \"local\"\n[defaults.vars]\none = { age = \"one.age\", identity = \"carl\" }\n\
         two = { age = \"two.age\", identity = \"carl\" }\n",
    )
    .unwrap();
    std::fs::write(
        keys.path("site.toml"),
        format!(
            "title = \"Site\"\nhosts = \"*\"\n[[step]]\nname = \"It\"\nfile = {{ path = \"{target}\", mode = \"0600\", \
             content = \"{{{{ vars.one }}}} {{{{ vars.two }}}}\\n\" }}\n"
        ),
    )
    .unwrap();
    // A wrong passphrase is not asked for again, for the other file neither.
    let (good, said) = keys.on_terminal(&["apply", "site.toml", "--yes"], "wrong");
    assert!(!good && said.contains("the passphrase does not unlock carl"), "{said}");
    assert_eq!(said.matches("Passphrase of").count(), 1, "{said}");
    // Nobody is asked where no secret is used.
    keys.good(&["hosts"], "", "");
    let (good, said) = keys.on_terminal(&["apply", "site.toml", "--yes"], PASSPHRASE);
    assert!(good, "{said}");
    assert_eq!(said.matches("Passphrase of").count(), 1, "{said}");
    assert!(!said.contains("swordfish"), "{said}");
    assert_eq!(keys.read("target"), "swordfish-one.age swordfish-two.age\n");
}

#[test]
fn ssh_keys_open_the_secrets_of_an_inventory() {
    let keys = Keys::new();
    keys.good(&["secret", "new", "db.age", "-r", "ben.pub"], "swordfish\n", "");
    std::fs::create_dir(keys.path(".ssh")).unwrap();
    std::fs::copy(keys.path("eve"), keys.path(".ssh/id_ed25519")).unwrap();
    let target = keys.path("target").display().to_string();
    std::fs::write(
        keys.path("site.toml"),
        format!(
            "title = \"Site\"\nhosts = \"*\"\n[vars]\ndb = {{ age = \"db.age\" }}\n[[step]]\nname = \"It\"\n\
             file = {{ path = \"{target}\", content = \"{{{{ vars.db }}}}\\n\" }}\n"
        ),
    )
    .unwrap();
    std::fs::write(keys.path("inventory.toml"), "[hosts.here]\nconnection = \"local\"\n").unwrap();
    let apply = ["apply", "site.toml", "--yes"];
    let err = keys.refused(&apply, "");
    assert!(err.contains("cannot use DIR/.ssh/id_ed25519: a key of type ecdsa-sha2-nistp256"), "{err}");
    // The usual ones are tried both, and one that does not serve does no harm.
    std::fs::copy(keys.path("ben"), keys.path(".ssh/id_rsa")).unwrap();
    keys.good(&apply, "", "");
    assert_eq!(std::fs::read_to_string(Path::new(&target)).unwrap(), "swordfish\n");
}
