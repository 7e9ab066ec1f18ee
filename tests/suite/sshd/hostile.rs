//! Hosts that are hardened, neglected or malicious: what their logins leave behind, and what they send.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use hostwright::model::Privilege;
use hostwright::transport::Part;

use super::server::Server;
use super::{ask, connect, frame, part};

/// `bash` is `/bin/sh`, as on CentOS, and a `sudo` that lets everybody through and adds to the environment what
/// `env_keep`, `env_file` and PAM may add.
const CENTOS: &str = r#"
mount --make-rprivate /
mkdir "$1/sbin" "$1/old"
mount --bind /usr/sbin "$1/old"
ln -s "$1"/old/* "$1/sbin"
cp "$1/sudo" "$1/sbin/sudo"
mount --bind "$1/sbin" /usr/sbin
mount --bind "$(readlink -f /bin/bash)" "$(readlink -f /bin/sh)"
"#;

const SUDO: &str = r#"#!/usr/bin/bash
while [ $# -gt 0 ]; do case $1 in -u) user=$2; shift 2;; -p) shift 2;; -*) shift;; *) break;; esac; done
echo() { builtin echo of a function; }; export -f echo
export TMOUT=1 LC_ALL=de_DE.UTF-8 BASH_ENV=/etc/shadow HOME=/nowhere USER="$user" LOGNAME="$user" https_proxy=http://proxy SUDO_USER=x
umask 077
trap '' PIPE TERM
exec "$@"
"#;

/// A hardened profile: its `TMOUT` is read-only and exported.
const PROFILE: &str = r#"#!/usr/bin/bash
readonly TMOUT=1; export TMOUT
export CDPATH=/usr POSIXLY_CORRECT=1 LC_ALL=de_DE.UTF-8 http_proxy=http://proxy GREP_OPTIONS=--color=always
read() { builtin return 1; }; export -f read
umask 077
ulimit -S -f 1
exec bash -c "$SSH_ORIGINAL_COMMAND"
"#;

#[tokio::test]
async fn a_hardened_profile_makes_no_difference() {
    let Some(server) = centos() else { return };
    let mut session = connect(&server.host(None, &[]), None).await.unwrap();
    let own =
        "echo ${BASH_VERSION:+1}; sleep 2.2; umask; env | grep -v '^_\\|^PWD\\|^SHLVL\\|^SSH_CONN' | sort";
    // Root logs in: to become root is no change, to become another goes through `sudo`.
    let wanted = |home: &str, user: &str, proxy: &str| {
        format!(
            "1\n0022\nHOME={home}\nHW_RUN_ID=run-1\nLANG=C\nLC_ALL=C\nLOGNAME={user}\n\
             PATH=/usr/sbin:/usr/bin:/sbin:/bin\nSHELL=/bin/sh\nUSER={user}\n{proxy}"
        )
    };
    let other = Privilege::Become("nobody".into());
    let home = std::fs::read_to_string("/etc/passwd").unwrap();
    let home = home.lines().find(|l| l.starts_with("nobody:")).unwrap().split(':').nth(5).unwrap();
    for (privilege, wanted) in [
        (Privilege::Login, wanted("/root", "root", "http_proxy=http://proxy")),
        (other.clone(), wanted(home, "nobody", "http_proxy=http://proxy\nhttps_proxy=http://proxy")),
    ] {
        let answer = ask(&mut *session, &privilege, own).await.unwrap();
        assert_eq!((answer.text().as_ref(), answer.error_text().as_ref()), (wanted.as_str(), ""));
    }
    // Both wait longer than the profile allows.
    tokio::time::sleep(Duration::from_millis(1300)).await;
    for privilege in [Privilege::Login, other] {
        let bounded = Part { timeout: Some(Duration::from_secs(30)), ..part("yes | head -n 1") };
        let answers = session.exchange(frame(privilege, vec![bounded]), &mut |_| {}).await.unwrap();
        assert_eq!((answers[0].text().as_ref(), answers[0].error_text().as_ref()), ("y", ""));
    }
    session.close().await;
}

/// Such a host; `None` where it cannot be made.
fn centos() -> Option<Server> {
    let programs = tempfile::tempdir().unwrap();
    for (name, text) in [("sudo", SUDO), ("profile", PROFILE)] {
        std::fs::write(programs.path().join(name), text).unwrap();
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(programs.path().join(name), mode).unwrap();
    }
    std::fs::set_permissions(programs.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let at = programs.keep();
    let mounts = format!("cp {0}/sudo {0}/profile \"$1\"; rm -r {0}\n{CENTOS}", at.display());
    let profile = "ForceCommand exec /usr/bin/env bash FOLDER/profile\n";
    Server::start_with_mounts(&mounts, profile)
}
