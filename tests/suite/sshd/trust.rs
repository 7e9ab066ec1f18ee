//! `trust`: from a password to a key.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

use super::scan::Fleet;
use super::server::{PASSWORD, Server, with_users};
use crate::terminal;

const HOSTS: &str = r#"
[defaults]
user = "hw-pw"
become = true
[hosts.one]
address = "127.0.0.1"
port = PORT
"#;

#[test]
fn from_a_password_to_a_key() {
    if !terminal::is_there() {
        return;
    }
    let Some(_users) = with_users() else { return };
    let more = "PasswordAuthentication yes\nAuthorizedKeysFile .ssh/authorized_keys\nStrictModes yes\n";
    let Some(server) = Server::start(more, false) else { return };
    let fleet = Fleet::new(&server, HOSTS);
    let (code, out, err) = fleet.run(&["hosts", "--scan", "--yes"]);
    assert_eq!(code, 0, "{out}{err}");
    let key = server.path("user.pub").display().to_string();
    let public = fs::read_to_string(&key).unwrap();

    let (code, _, err) = fleet.run(&["trust", "--key", "user"]);
    assert_eq!(code, 3);
    assert!(err.contains("cannot read user: no such file"), "{err}");
    let private = server.path("user").display().to_string();
    let (code, _, err) = fleet.run(&["trust", "--key", &private]);
    assert_eq!(code, 3);
    assert!(err.contains("is a private key, which stays here"), "{err}");
    let (code, _, err) = fleet.run(&["trust", "--key", &key]);
    assert_eq!(code, 3);
    assert!(err.contains("no terminal to ask on before the plan is applied"), "{err}");
    let (code, _, err) = fleet.run(&["trust", "--key", &key, "--yes"]);
    assert_eq!(code, 4, "no key is there yet: {err}");

    // What the user has stays.
    let home = Path::new("/home/hw-pw");
    let (folder, file) = (home.join(".ssh"), home.join(".ssh/authorized_keys"));
    fs::create_dir(&folder).unwrap();
    let before = "# mine\nfrom=\"10.0.0.1\" ssh-ed25519 AAAA other@host";
    fs::write(&file, before).unwrap();
    let owner = fs::metadata(home)
        .map(|m| (std::os::unix::fs::MetadataExt::uid(&m), std::os::unix::fs::MetadataExt::gid(&m)))
        .unwrap();
    for (path, mode) in [(&folder, 0o755), (&file, 0o644)] {
        chown(path, Some(owner.0), Some(owner.1)).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    let line = ["trust", "one", "--key", &key, "--ask-password"];
    let answers = |yes| [("Password for logging in", PASSWORD), ("[y/N]", yes)];
    let (good, said) = terminal::run(&mut fleet.command(&line), &answers("n"));
    assert!(!good, "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    let (good, said) = terminal::run(&mut fleet.command(&line), &answers("y"));
    assert!(good, "{said}");
    assert!(said.contains("+ssh-ed25519") && said.contains("Done: 3 changed on 1 host"), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("{before}\n{public}"));
    for (path, mode) in [(&folder, 0o700), (&file, 0o600)] {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o7777, mode);
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing else is left there");

    // From here on the key lets us in, and there is nothing to do.
    let (code, out, err) = fleet.run(&["trust", "--key", &key, "--yes"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("Nothing to do"), "{out}");
    // A comment is no other key.
    let named = public.replace(public.split(' ').nth(2).unwrap().trim(), "renamed");
    fs::write(fleet.path("named.pub"), &named).unwrap();
    let (code, out, err) = fleet.run(&["trust", "--key", "named.pub", "--yes"]);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("{before}\n{named}"));

    fs::remove_dir_all(&folder).unwrap();
    let (good, said) = terminal::run(&mut fleet.command(&line), &answers("y"));
    assert!(good && said.contains("3 changed"), "a host where there is nothing: {said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), public);
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o7777, 0o700);
    fs::remove_dir_all(&folder).unwrap();
}

/// Root's home, and a file of keys that is a link, as some images have it.
#[test]
fn root_is_a_user_too() {
    let mounts = "mount -t tmpfs none /root; chmod 700 /root; mkdir -p /root/.ssh /root/keys; \
                  echo '# kept' >/root/keys/all; ln -s ../keys/all /root/.ssh/authorized_keys; touch /root/private";
    let more = "AuthorizedKeysFile FOLDER/authorized_keys .ssh/authorized_keys\n";
    let Some(server) = Server::start_with_mounts(mounts, more) else { return };
    let fleet = Fleet::new(
        &server,
        "[defaults]\nuser = \"root\"\n[hosts.one]\naddress = \"127.0.0.1\"\nport = PORT\n",
    );
    assert_eq!(fleet.run(&["hosts", "--scan", "--yes"]).0, 0);
    let key = server.path("other.pub").display().to_string();
    let (code, out, err) = fleet.run(&["trust", "--key", &key, "--yes"]);
    assert_eq!(code, 0, "{out}{err}");
    let (_, out, err) = fleet.run(&[
        "run",
        "one",
        "--",
        "cat /root/keys/all; stat -c %a /root/.ssh /root/keys/all; readlink /root/.ssh/authorized_keys",
    ]);
    let public = fs::read_to_string(server.path("other.pub")).unwrap();
    let wanted = format!("one | # kept\none | {public}one | 700\none | 600\none | ../keys/all\n");
    assert_eq!(out, wanted, "{err}");
    let config = fs::read_to_string(fleet.path("ssh_config")).unwrap();
    fs::write(
        fleet.path("ssh_config"),
        config
            .replace(&server.path("user").display().to_string(), &server.path("other").display().to_string()),
    )
    .unwrap();
    assert_eq!(fleet.run(&["run", "one", "--", "id -un"]).1, "one | root\n");
}
