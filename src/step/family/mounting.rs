//! What is done to a mount point: it is made, mounted, remounted, unmounted.
//!
//! All of it is done by root, perhaps in a folder that another user may write. He could put a link to any other place
//! under the name, so a name is never used twice: the scripts go into the folder, look where that led, and act on
//! where they are.

use std::time::Duration;

use super::mounts::{HOLDERS, OVER, escape};
use crate::sh;
use crate::shell::Script;
use crate::step::Action;

/// Functions of all these scripts. `p` is the mount point, `hw_e` the same as mountinfo writes it.
///
/// - `hw_top`, `hw_flags`: type and flags of what is mounted there, if anything is.
/// - `hw_into DIR`: goes there part by part, makes what is missing if `hw_make` is set, and fails where a name leads
///   elsewhere than to itself. A folder that is moved away meanwhile shows, for its path is asked of the kernel.
/// - `hw_drop IDS [ELSE]`: unmounts the mount that the current folder is the root of, if it is one of these; kernels before
///   3.15 do not tell, then it counts as `ELSE`. Its name in the folder around it is sure: nobody can rename a mount
///   point.
/// - `hw_ours`: whether root alone may change what the names above the mount point mean. If so, a path is as good as
///   an opened folder, and mount(8) may see to helpers and its own records as ever.
fn prelude(path: &str) -> Script {
    sh!(
        r#"p={}
hw_e={}
hw_look() {
  hw_e=$hw_e hw_k=$1 awk '{}
END {
  t = over(ENVIRON["hw_e"], ""); if (at[t] != ENVIRON["hw_e"]) exit
  split(line[t], w, " "); k = ENVIRON["hw_k"]; print k == "flags" ? w[6] : k == "id" ? id[t] : type[t]
}' /proc/self/mountinfo
}
hw_top() { hw_look type; }
hw_id() {
  while read -r hw_k hw_v; do [ "$hw_k" != mnt_id: ] || echo "$hw_v"; done </proc/self/fdinfo/9
} 9<.
hw_drop() {
  hw_v=$(hw_id)
  case " $1 " in *" ${hw_v:-${2:--}} "*) ;; *) echo "$PWD is not what is to be unmounted" >&2; return 1 ;; esac
  hw_c=${PWD##*/}
  cd -P .. && timeout -k 5 30 umount -i -c -- "./$hw_c"
}
hw_flags() { hw_look flags; }
hw_moved() {
  echo "$p was changed under way: $1" >&2
  echo "hint: another user may write a folder above it, and did so just now: see who, then run again" >&2
  exit 1
}
hw_into() {
  cd / || exit 1
  hw_at=; hw_r=${1#/}/
  while [ -n "$hw_r" ]; do
    hw_c=${hw_r%%/*}; hw_r=${hw_r#*/}
    [ -n "$hw_c" ] || continue
    hw_at=$hw_at/$hw_c
    if [ -n "${hw_make-}" ] && [ ! -e "./$hw_c" ]; then mkdir -- "./$hw_c" 2>/dev/null; fi
    cd -P -- "./$hw_c" 2>/dev/null || {
      [ -e "./$hw_c" ] || [ -L "./$hw_c" ] || { echo "cannot go to $hw_at: it cannot be made, or is gone" >&2; exit 1; }
      hw_moved "$hw_at cannot be entered"
    }
    [ "$PWD" = "$hw_at" ] || hw_moved "$hw_at leads to $PWD"
  done
}
hw_ours() {
  hw_d=$p; set --
  while hw_d=${hw_d%/*}; [ -n "$hw_d" ]; do set -- "$hw_d" "$@"; done
  ls -lnd -- / "$@" 2>/dev/null | awk 'BEGIN { ok = 1 }
    !/^d/ || $3 != 0 || /^........w/ || (/^.....w/ && ($4 != 0 || /^..........[+]/)) { ok = 0 }
    END { exit !ok }'
}
"#,
        path,
        escape(path),
        Script::new().raw(OVER)
    )
}

/// Makes the mount point, if nothing is mounted there; `guard`: and lets nobody enter it.
pub fn make_point(path: &str, guard: bool) -> Action {
    let guard = if guard { sh!("chown root:root . && chmod 0000 . || exit 1") } else { Script::new() };
    let script = sh!(
        r#"{}[ -z "$(hw_top)" ] || exit 0
umask 022
hw_make=1 && hw_into "$p"
{}"#,
        prelude(path),
        guard
    );
    Action::new(format!("make the mount point {path}"), script)
}

/// What is to be mounted.
#[derive(Debug)]
pub struct What<'a> {
    /// Where.
    pub path: &'a str,
    /// What, as mount(8) takes it.
    pub source: &'a str,
    /// Its type.
    pub fstype: &'a str,
    /// Options for mount(8).
    pub options: Vec<String>,
    /// The server of an NFS source, for hints.
    pub server: &'a str,
    /// Flags of a bind mount, which it gets once it is there.
    pub flags: Vec<String>,
}

/// Mounts, if nothing is mounted there.
///
/// In a folder of others the opened folder itself is mounted on (`-c`: its path is not looked up once more). The helpers
/// of network file systems take paths alone: where theirs has led elsewhere, it is unmounted there at once.
pub fn mount(what: &What<'_>) -> Action {
    let options = if what.options.is_empty() { Script::new() } else { sh!("-o {}", what.options.join(",")) };
    let again = if what.flags.is_empty() {
        Script::new()
    } else {
        sh!(
            r#"hw_w={}
if [ "$code" = 0 ]; then
  hw_f=$(hw_flags)
  for hw_o in $(printf '%s' "$hw_w" | tr , ' '); do
    case ,$hw_f, in *,"$hw_o",*) continue ;; esac
    hw_into "$p"
    said=$(mount -c -o "remount,bind,$hw_f,$hw_w" -- . 2>&1)
    code=$?
    break
  done
fi
"#,
            what.flags.join(",")
        )
    };
    let script = sh!(
        r#"{}t={}
s={}
server={}
[ -z "$(hw_top)" ] || exit 0
hw_at_p() { timeout -k 5 60 mount "$@" -t "$t" {} -- "$s" "$hw_on" 2>&1; }
if hw_ours; then
  hw_on=$p
  said=$(hw_at_p)
  code=$?
else
  hw_into "$p"
  hw_before=$(awk '{ print $1 }' /proc/self/mountinfo)
  if [ -x "/sbin/mount.$t" ] || [ -x "/usr/sbin/mount.$t" ]; then
    hw_on=$p
    said=$(hw_at_p)
  else
    hw_on=.
    said=$(hw_at_p -c)
  fi
  code=$?
  if [ "$code" = 0 ] && [ -z "$(hw_top)" ]; then
    hw_new=$(hw_b=$hw_before hw_t=$t awk 'BEGIN { n = split(ENVIRON["hw_b"], b, "\n"); for (i = 1; i <= n; i++) old[b[i]] = 1 }
      !($1 in old) { for (i = 7; i < NF && $i != "-"; i++); if (ENVIRON["hw_t"] ~ /^(none|auto|bind)$/ || index($(i + 1), ENVIRON["hw_t"]) == 1) print $1, $5 }' /proc/self/mountinfo)
    hw_ids=$(printf '%s\n' "$hw_new" | sed 's/ .*//' | tr '\n' ' ')
    ( cd -P -- "../${p##*/}" && hw_drop "$hw_ids" ) >/dev/null 2>&1 ||
      printf '%s\n' "$hw_new" | while read -r hw_o hw_o; do
        hw_o=$(printf '%b' "$(printf '%s' "$hw_o" | sed 's/\\\([0-7][0-7][0-7]\)/\\0\1/g')")
        ( cd -P -- "$hw_o" && hw_drop "$hw_ids" ) 2>&1 || echo "it may still be mounted on $hw_o" >&2
      done
    hw_moved "what was mounted came to be elsewhere, and is unmounted there"
  fi
fi
{}[ -z "$said" ] || printf '%s\n' "$said" >&2
[ "$code" != 0 ] || exit 0
case $code:$said in
*'access denied by server'*) echo "hint: $server does not export this path to this host: compare its /var/lib/nfs/etab with the addresses of this host" ;;
*'No route to host'*) echo "hint: a firewall on the way rejects it, or $server is down: open the service nfs (2049/tcp) there" ;;
*'Connection refused'*) echo "hint: nothing listens on port 2049 of $server: is nfs-server running?" ;;
*'imed out'*|124:*|137:*) echo "hint: $server does not answer: is it up, and does a firewall drop port 2049?" ;;
*'No such file or directory'*) echo "hint: $server has no such directory, or does not export it to this host" ;;
*'version or transport protocol is not supported'*|*'Protocol not supported'*) echo "hint: $server does not serve this NFS version: change vers=" ;;
*'Stale file handle'*) echo "hint: the exported directory was made anew on $server: run exportfs -r there" ;;
*'busy or already mounted'*) echo "hint: something is mounted there already, or a process stands in $p" ;;
*'helper program'*) echo "hint: install the tools of this file system (nfs-utils, nfs-common on Debian)" ;;
*'unknown filesystem type'*) echo "hint: the kernel of this host does not have this file system" ;;
*'bad option'*|*'ncorrect mount option'*|*'nvalid argument'*) echo "hint: one of the options is not known to this host" ;;
*'rpc.statd is not running'*) echo "hint: NFSv3 needs rpcbind and rpc.statd on this host: start them, or use vers=4" ;;
*'ailed to resolve server'*|*'Resource temporarily unavailable'*|*'ame or service not known'*) echo "hint: this host cannot resolve $server: use its address" ;;
*'ermission denied'*|*'Operation not permitted'*) echo "hint: give the step the rights of root, with become = true" ;;
esac >&2
exit "$code""#,
        prelude(what.path),
        what.fstype,
        what.source,
        what.server,
        options,
        again
    );
    Action::new(format!("mount {}", what.path), script).timeout(Duration::from_secs(90))
}

/// Starts the automount that systemd made from fstab.
pub fn start_automount(path: &str) -> Action {
    let script = sh!(
        r#"{}[ -z "$(hw_top)" ] || exit 0
systemctl start "$(systemd-escape -p --suffix=automount -- "$p")""#,
        prelude(path)
    );
    Action::new(format!("start the automount of {path}"), script)
}

/// Changes options in place.
///
/// `bind`: only the flags of this one mount, about which neither the file system nor its server is asked; all of them
/// must be given.
pub fn remount(path: &str, source: &str, fstype: &str, options: &[String], bind: bool) -> Action {
    let how = format!("remount,{}{}", if bind { "bind," } else { "" }, options.join(","));
    let how = how.trim_end_matches(',').to_owned();
    let here = if bind {
        sh!("mount -c -o {} -- .", how)
    } else {
        sh!("mount -c -i -t {} -o {} -- {} .", fstype, how, source)
    };
    let script = sh!(
        r#"{}if hw_ours; then mount -o {} -- "$p"; exit; fi
hw_into "$p"
{}"#,
        prelude(path),
        how,
        here
    );
    Action::new(format!("remount {path}"), script)
}

/// Unmounts, however often it is mounted; never lazily, for that leaves users on what seems gone.
pub fn unmount(path: &str) -> Action {
    let script = sh!(
        r#"{}hw_off() {
  if hw_ours; then timeout -k 5 30 umount -- "$p" 2>&1; return; fi
  hw_into "$p" 2>&1
  hw_o=$(hw_look id)
  hw_drop "$hw_o" "$hw_o" 2>&1
}
n=0
while :; do
  case $(hw_top) in
  '') exit 0 ;;
  autofs) said=$(systemctl stop "$(systemd-escape -p --suffix=automount -- "$p")" 2>&1) ;;
  *) said=$(hw_off) ;;
  esac
  code=$?
  if [ "$code" = 0 ]; then
    n=$((n + 1)); [ "$n" -lt 20 ] || { echo "$p is mounted again and again" >&2; exit 1; }
    continue
  fi
  printf '%s\n' "$said" >&2
  case $code:$said in
  *busy*)
    {}
    echo "hint: end the processes listed as BUSY, then run again" >&2 ;;
  124:*|137:*) echo "hint: umount did not end within 30 s: is the server reachable?" >&2 ;;
  esac >&2
  exit "$code"
done"#,
        prelude(path),
        Script::new().raw(HOLDERS)
    );
    Action::new(format!("unmount {path}"), script)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the action with a `mount` that says `said` and ends with `code`; returns its last line.
    fn attempt(said: &str, code: i32) -> (i32, String) {
        let what = What {
            path: "/mnt/not mounted",
            source: "srv:/data",
            fstype: "nfs",
            options: vec!["hard".into(), "retry=0".into()],
            server: "srv",
            flags: Vec::new(),
        };
        let dir = tempfile::tempdir().unwrap();
        let fake = dir.path().join("mount");
        let script = format!(
            "#!/bin/sh\necho \"$*\" >{}/args\necho '{said}' >&2\nexit {code}\n",
            dir.path().display()
        );
        std::fs::write(&fake, script).unwrap();
        std::fs::set_permissions(&fake, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let out = std::process::Command::new("sh")
            .env("PATH", format!("{}:/usr/bin:/bin", dir.path().display()))
            .arg("-c")
            .arg(super::mount(&what).script.render())
            .output()
            .unwrap();
        let args = std::fs::read_to_string(dir.path().join("args")).unwrap();
        assert_eq!(args, "-t nfs -o hard,retry=0 -- srv:/data /mnt/not mounted\n");
        let said = String::from_utf8(out.stderr).unwrap();
        (out.status.code().unwrap(), said.lines().last().unwrap_or_default().to_owned())
    }

    #[test]
    fn a_failed_mount_ends_with_a_hint() {
        for (said, hint) in [
            ("mount.nfs: access denied by server while mounting srv:/data", "does not export this path"),
            ("mount.nfs: No route to host", "a firewall on the way rejects it"),
            ("mount.nfs: Connection refused", "is nfs-server running?"),
            ("mount.nfs: Connection timed out", "srv does not answer"),
            (
                "mount.nfs: mounting srv:/data failed, reason given by server: No such file or directory",
                "srv has no such",
            ),
            ("mount.nfs: requested NFS version or transport protocol is not supported", "change vers="),
            ("mount.nfs: Stale file handle", "exportfs -r there"),
            ("mount.nfs: /mnt/x is busy or already mounted", "is mounted there already"),
            ("mount: bad option; you might need a /sbin/mount.<type> helper program", "install the tools"),
            ("mount.nfs: an incorrect mount option was specified", "not known to this host"),
            ("mount.nfs: rpc.statd is not running but is required", "NFSv3 needs"),
            ("mount.nfs: Failed to resolve server srv: Name or service not known", "use its address"),
            ("mount: only root can do that, Operation not permitted", "become = true"),
        ] {
            let (code, last) = attempt(said, 32);
            assert_eq!(code, 32);
            assert!(last.starts_with("hint: ") && last.contains(hint), "{said}: {last}");
        }
        // Killed by the bound, without a word.
        assert!(attempt("", 124).1.contains("does not answer"));
        assert_eq!(attempt("mount.nfs: something new", 32), (32, "mount.nfs: something new".into()));
        assert_eq!(attempt("", 0).0, 0);
    }
}
