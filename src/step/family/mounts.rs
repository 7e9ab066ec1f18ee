//! Mounted file systems as the kernel tells them: what is where, whether it answers, who uses it.
//!
//! Nothing here may touch a path that can be on a network file system: a dead server would hold the
//! check for ever. `/proc/self/mountinfo` answers without asking the server (`proc_pid_mountinfo(5)`).

use super::exports::unescape;
use crate::probe::{Answer, CheckError, Probe};
use crate::sh;
use crate::shell::Script;
use crate::step::Action;

/// One line of mountinfo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    /// Device number, `MAJOR:MINOR`.
    pub device: String,
    /// The directory of the file system that is seen, `/` unless it is a bind mount or a remote path.
    pub root: String,
    /// Where it is mounted.
    pub point: String,
    /// Its type (`nfs4`, `tmpfs`).
    pub fstype: String,
    /// What is mounted.
    pub source: String,
    /// Options of the mount, then those of the file system.
    pub options: Vec<String>,
}

/// Types whose server may not answer.
pub fn is_remote(fstype: &str) -> bool {
    matches!(fstype, "nfs" | "nfs4" | "cifs" | "smb3" | "ceph" | "9p" | "glusterfs")
        || fstype.starts_with("fuse.")
}

/// Reads a line of mountinfo; `None` if it is not one.
pub fn parse_mountinfo(line: &str) -> Option<Mounted> {
    let (left, right) = line.split_once(" - ")?;
    let left: Vec<&str> = left.split(' ').collect();
    let right: Vec<&str> = right.split(' ').collect();
    let [_, _, device, root, point, flags, ..] = left.as_slice() else { return None };
    let [fstype, source, options] = right.as_slice() else { return None };
    Some(Mounted {
        device: (*device).to_owned(),
        root: unescape(root),
        point: unescape(point),
        fstype: (*fstype).to_owned(),
        source: unescape(source),
        options: flags.split(',').chain(options.split(',')).map(str::to_owned).collect(),
    })
}

/// Escapes a path as the kernel and fstab(5) do.
pub fn escape(path: &str) -> String {
    path.chars()
        .map(|c| match c {
            ' ' | '\t' | '\n' | '\\' => format!("\\{:03o}", u32::from(c)),
            c => c.to_string(),
        })
        .collect()
}

/// Whether an option is for fstab's readers alone and never shows in mountinfo.
pub fn is_fstab_only(option: &str) -> bool {
    option.starts_with("x-")
        || option.starts_with("comment=")
        || ["defaults", "_netdev", "nofail", "auto", "noauto", "user", "nouser", "users", "owner", "group"]
            .contains(&option)
}

/// Flags that mountinfo shows when they are set, and the word for "not set".
const FLAGS: [(&str, &str); 12] = [
    ("nosuid", "suid"),
    ("nodev", "dev"),
    ("noexec", "exec"),
    ("noatime", "atime"),
    ("nodiratime", "diratime"),
    ("sync", "async"),
    ("nolock", "lock"),
    ("nocto", "cto"),
    ("noac", "ac"),
    ("nosharecache", "sharecache"),
    ("noresvport", "resvport"),
    ("nordirplus", "rdirplus"),
];

/// The version of NFS that an option asks for, in any of the ways in which nfs(5) lets one write it.
pub fn nfs_version(option: &str) -> Option<&str> {
    let short = || option.strip_prefix('v').filter(|v| v.starts_with(|c: char| c.is_ascii_digit()));
    option.strip_prefix("vers=").or_else(|| option.strip_prefix("nfsvers=")).or_else(short)
}

/// The option in the word that mountinfo uses (nfs(5) knows several for the same).
fn canonical(option: &str) -> String {
    match option {
        "tcp" | "udp" | "rdma" => format!("proto={option}"),
        _ => nfs_version(option).map_or_else(|| option.to_owned(), |version| format!("vers={version}")),
    }
}

/// What a mounted file system has in the place of the option `wanted`, if that differs.
///
/// Only what the kernel shows is compared: it leaves out what is not set and what it does not keep
/// (`retry`, `bg`), and reports the outcome of what it negotiated (`rsize` may be lower, `vers=4` is any 4.x).
pub fn instead_of(mounted: &Mounted, wanted: &str) -> Option<String> {
    let has = |option: &str| mounted.options.iter().any(|o| o == option);
    let wanted = canonical(wanted);
    match wanted.as_str() {
        o if is_fstab_only(o) => return None,
        // A read-only mount of a writable file system is read-only, and the other way round.
        "ro" => return (!has("ro")).then(|| "rw".to_owned()),
        "rw" => return has("ro").then(|| "ro".to_owned()),
        "hard" | "soft" | "softerr" => {
            let now = ["hard", "soft", "softerr"].into_iter().find(|o| has(o));
            return now.filter(|now| *now != wanted).map(str::to_owned);
        }
        _ => {}
    }
    for (set, unset) in FLAGS {
        if wanted == set && !has(set) {
            return Some(unset.to_owned());
        }
        if wanted == unset && has(set) {
            return Some(set.to_owned());
        }
    }
    let (key, value) = wanted.split_once('=')?;
    let now = mounted.options.iter().rev().find_map(|o| o.strip_prefix(key)?.strip_prefix('='))?;
    (!same_value(key, value, now)).then(|| format!("{key}={now}"))
}

fn same_value(key: &str, wanted: &str, now: &str) -> bool {
    let number = |text: &str| text.parse::<u64>().ok();
    match key {
        "vers" => {
            let major = wanted.len() == 1 && now.strip_prefix(wanted).is_some_and(|n| n.starts_with('.'));
            now == wanted || major || wanted.strip_suffix(".0") == Some(now)
        }
        "proto" => now.trim_end_matches('6') == wanted.trim_end_matches('6'),
        "rsize" | "wsize" => number(now) <= number(wanted),
        "mode" => u32::from_str_radix(now, 8).ok() == u32::from_str_radix(wanted, 8).ok(),
        "size" => bytes(wanted).is_none_or(|wanted| bytes(now) == Some(wanted)),
        // Chosen by the kernel, or a list of which one is taken.
        "port" | "addr" | "clientaddr" | "mountport" => true,
        "sec" if wanted.contains(':') => wanted.split(':').any(|w| w == now),
        "uid" | "gid" if number(wanted).is_none() => true,
        _ => now == wanted,
    }
}

/// Bytes of a size such as `64m`, as tmpfs(5) reads it; `None` for a share of the memory.
fn bytes(text: &str) -> Option<u64> {
    let (digits, unit) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 1 << 10),
        b'm' | b'M' => (&text[..text.len() - 1], 1 << 20),
        b'g' | b'G' => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// What a probe of a mount point has to know beside its path.
#[derive(Debug)]
pub struct Asked<'a> {
    /// The mount point.
    pub path: &'a str,
    /// The directory that is bound, of a bind mount.
    pub bound: Option<&'a str>,
    /// The program that mount(8) needs for the type (`mount.nfs`).
    pub helper: Option<&'a str>,
    /// The device, if the source is one: a path, `UUID=` or `LABEL=`.
    pub device: Option<&'a str>,
    /// Whether to look for processes that keep it from being unmounted.
    pub holders: bool,
}

/// Asks what is mounted at a path, whether it answers, and who uses it.
///
/// The answer has a word and its values a line: `HELPER yes`; `MOUNT` and the line of mountinfo for each mount
/// at the path, the last on top; `BELOW` and a mount point under it; `SOURCE` and the mount that a bound
/// directory is on; `TOP TYPE TYPE-AROUND DEVICE`. Then, if nothing is mounted, `DIR ...` and `HAS NAME`; else
/// `ALIVE CODE:TEXT` (nothing after `ALIVE` if there was no answer), `USER` and `BUSY`.
pub fn probe(asked: &Asked<'_>) -> Probe {
    let bound = asked.bound.map(escape).unwrap_or_default();
    let helper = asked.helper.map_or_else(Script::new, |helper| {
        sh!("if command -v {} >/dev/null; then echo 'HELPER yes'; else echo 'HELPER no'; fi", helper)
    });
    let device = asked.device.map_or_else(Script::new, |device| {
        let path = device.split_once('=').map_or_else(
            || device.to_owned(),
            |(tag, value)| format!("/dev/disk/by-{}/{}", tag.to_lowercase(), value.trim_matches('"')),
        );
        sh!("echo \"DEVICE $(stat -L -c '%t %T' -- {} 2>/dev/null)\"", path)
    });
    let holders = if asked.holders { Script::new().raw(HOLDERS) } else { sh!(":") };
    Probe::new(sh!(
        r#"p={}
{}
{}
hw_m=$(hw_e={} hw_s={} awk 'BEGIN { e = ENVIRON["hw_e"]; s = ENVIRON["hw_s"]; top = "-" }
{ for (i = 7; i < NF && $i != "-"; i++);
  m = ($5 == "/" ? "/" : $5 "/")
  if ($5 == e) { print "MOUNT " $0; top = $(i + 1); d = $3 }
  else if (index($5, e "/") == 1) print "BELOW " $5
  else if (index(e "/", m) == 1 && length(m) >= best) { best = length(m); over = $(i + 1) }
  if (s != "" && $5 != e && index(s "/", m) == 1 && length(m) >= from) { from = length(m); src = $0 }
} END { if (s != "") print "SOURCE " src; print "TOP " top " " over " " d }' /proc/self/mountinfo) || exit 3
printf '%s\n' "$hw_m"
set -- ${hw_m##*TOP }
case $1 in
-)
  case $2 in
  nfs|nfs4|cifs|smb3|ceph|9p|glusterfs|fuse.*) ;;
  *)
    if [ -L "$p" ]; then echo 'DIR link'
    elif [ -d "$p" ]; then
      stat -c 'DIR %a %U' -- "$p"
      ls -A -- "$p" | head -n 3 | sed 's/^/HAS /'
    elif [ -e "$p" ]; then echo 'DIR other'
    else echo 'DIR absent'; fi ;;
  esac
  exit 0 ;;
nfs|nfs4|cifs|smb3|ceph|9p|glusterfs|fuse.*)
  hw_a=$( ( { a=$(timeout -s KILL 5 stat -f -c %T -- "$p" 2>&1); echo "$?:$a"; } 2>/dev/null & ) |
    timeout -s KILL 6 head -n 1)
  echo "ALIVE $hw_a" ;;
autofs) exit 0 ;;
esac
hw_d=$3 awk 'BEGIN { d = ENVIRON["hw_d"]
  while ((getline l <"/proc/self/mountinfo") > 0) { split(l, w, " "); own[w[1]] = 1 }
  for (n = 1; n < ARGC; n++) {
    f = ARGV[n] "/mountinfo"
    while ((getline l <f) > 0) {
      split(l, w, " ")
      if (w[3] != d || (w[1] in own) || w[7] ~ /^(shared|master):/) continue
      own[w[1]] = 1; c = "?"; g = "-"
      getline c <(ARGV[n] "/comm"); close(ARGV[n] "/comm")
      while ((getline k <(ARGV[n] "/cgroup")) > 0)
        if (match(k, /(docker|libpod|crio|containerd)[-:\/][0-9a-f]+/)) {
          g = substr(k, RSTART, RLENGTH); sub(/^[a-z]+[-:\/]/, "", g); g = substr(g, 1, 12)
        }
      close(ARGV[n] "/cgroup")
      print "USER " substr(ARGV[n], 7) " " g " " c
    }
    close(f)
  } }' /proc/[0-9]*
{}"#,
        asked.path,
        helper,
        device,
        escape(asked.path),
        bound,
        holders
    ))
}

/// Processes with a directory or file open at `$p` or below: links in `/proc` are read, never followed.
pub const HOLDERS: &str = r#"ls -l /proc/[0-9]*/cwd /proc/[0-9]*/root /proc/[0-9]*/fd 2>/dev/null | hw_p=$p awk 'BEGIN { p = ENVIRON["hw_p"] }
/^\/proc\/[0-9]+\/fd:$/ { split($0, a, "/"); pid = a[3]; next }
{ i = index($0, " -> "); if (!i) next
  t = substr($0, i + 4); if (t != p && index(t, p "/") != 1) next
  n = split(substr($0, 1, i - 1), w, " ")
  if (w[n] ~ /^\/proc\//) { split(w[n], a, "/"); pid = a[3] }
  if (seen[pid]++) next
  c = "?"; getline c <("/proc/" pid "/comm"); close("/proc/" pid "/comm"); print "BUSY " pid " " c }'"#;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
/// Whether what is mounted answers.
pub enum Alive {
    /// It does, or it is local.
    #[default]
    Yes,
    /// Not within five seconds.
    Hung,
    /// The server no longer knows the directory.
    Stale,
    /// With an error.
    Error(String),
}

/// The answer to [`probe`].
#[derive(Debug, Default)]
pub struct Seen {
    /// Whether the program that mount(8) needs is there.
    pub helper: bool,
    /// What is mounted at the path, the last on top.
    pub mounts: Vec<Mounted>,
    /// Mount points below the path.
    pub below: Vec<String>,
    /// The mount that a bound directory is on.
    pub bound_on: Option<Mounted>,
    /// Number of the wanted device, `MAJOR:MINOR`.
    pub device: Option<String>,
    /// Type of the file system that the path lies on.
    pub around: String,
    /// `link`, `other`, `absent`, or mode and owner; `None` where it was not looked at.
    pub directory: Option<String>,
    /// Some names in the directory.
    pub content: Vec<String>,
    /// Whether the top one answers.
    pub alive: Alive,
    /// Who keeps it, in words.
    pub users: Vec<String>,
    /// Whether all of them are containers.
    pub only_containers: bool,
}

impl Mounted {
    /// In a few words: `SOURCE (TYPE)`.
    pub fn describe(&self) -> String {
        format!("{} ({})", self.source, self.fstype)
    }
}

impl Seen {
    /// Reads the answer.
    pub fn parse(probe: &Probe, answer: &Answer) -> Result<Self, CheckError> {
        let unreadable = |why: &str| CheckError::unreadable(probe, answer, why);
        let mut seen = Self { helper: true, only_containers: true, ..Self::default() };
        let mut complete = false;
        for line in String::from_utf8_lossy(&answer.stdout).lines() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "HELPER" => seen.helper = rest == "yes",
                "MOUNT" => {
                    let mount = parse_mountinfo(rest);
                    seen.mounts.push(mount.ok_or_else(|| unreadable("expected a line of mountinfo"))?);
                }
                "BELOW" => seen.below.push(unescape(rest)),
                "SOURCE" => seen.bound_on = parse_mountinfo(rest),
                "DEVICE" => {
                    let hex = |t: &str| u32::from_str_radix(t, 16).ok();
                    seen.device =
                        rest.split_once(' ').and_then(|(a, b)| Some(format!("{}:{}", hex(a)?, hex(b)?)));
                }
                "TOP" => {
                    complete = true;
                    rest.split(' ').nth(1).unwrap_or_default().clone_into(&mut seen.around);
                }
                "DIR" => seen.directory = Some(rest.to_owned()),
                "HAS" => seen.content.push(rest.to_owned()),
                "ALIVE" => seen.alive = alive(rest),
                "USER" => {
                    let mut words = rest.splitn(3, ' ');
                    let (pid, id, name) = (words.next(), words.next(), words.next());
                    let name = name.unwrap_or("?");
                    seen.only_containers &= id != Some("-");
                    seen.users.push(match (pid, id) {
                        (Some(pid), Some("-")) => format!("{name} (pid {pid}, in its own mount namespace)"),
                        (Some(pid), Some(id)) => format!("container {id} ({name}, pid {pid})"),
                        _ => return Err(unreadable("expected a process")),
                    });
                }
                "BUSY" => {
                    let (pid, name) = rest.split_once(' ').ok_or_else(|| unreadable("expected a process"))?;
                    seen.only_containers = false;
                    seen.users.push(format!("{name} (pid {pid})"));
                }
                _ => return Err(unreadable("expected what is mounted")),
            }
        }
        if complete { Ok(seen) } else { Err(unreadable("expected what is mounted")) }
    }

    /// Why what is mounted on top is no use, in words, if its server is silent or in error.
    pub fn silence(&self) -> Option<String> {
        match &self.alive {
            Alive::Yes | Alive::Stale => None,
            Alive::Hung => Some("does not answer within 5 s".to_owned()),
            Alive::Error(text) => Some(format!("answers with an error ({text})")),
        }
    }

    /// Device and directory within it that a path is, as mountinfo would call a bind mount of it.
    pub fn bound_at(&self, path: &str) -> Option<(String, String)> {
        let on = self.bound_on.as_ref()?;
        let rest = path.strip_prefix(on.point.trim_end_matches('/'))?;
        let root = format!("{}{}", on.root.trim_end_matches('/'), rest);
        Some((on.device.clone(), if root.is_empty() { "/".to_owned() } else { root }))
    }
}

/// `CODE:TEXT` of `timeout -s KILL 5 stat -f`, or nothing.
fn alive(answer: &str) -> Alive {
    match answer.split_once(':') {
        Some(("0", _)) => Alive::Yes,
        Some((_, text)) if text.contains("Stale file handle") => Alive::Stale,
        // It answered: the user of the step may not look.
        Some((_, text)) if text.contains("ermission denied") => Alive::Yes,
        None | Some(("137" | "124", _)) => Alive::Hung,
        Some((_, text)) => Alive::Error(text.rsplit(": ").next().unwrap_or(text).to_owned()),
    }
}

/// Unmounts, however often it is mounted; never lazily, for that leaves users on what seems gone.
pub fn unmount(path: &str) -> Action {
    let script = sh!(
        r#"p={}
n=0
while :; do
  t=$(hw_e={} awk '$5 == ENVIRON["hw_e"] { for (i = 7; $i != "-"; i++); t = $(i + 1) } END { print t }' /proc/self/mountinfo)
  case $t in
  '') exit 0 ;;
  autofs) said=$(systemctl stop "$(systemd-escape -p --suffix=automount -- "$p")" 2>&1) ;;
  *) said=$(timeout -k 5 30 umount -- "$p" 2>&1) ;;
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
        path,
        escape(path),
        Script::new().raw(HOLDERS)
    );
    Action::new(format!("unmount {path}"), script)
}

/// Ends a script that is run again after the mount was made.
pub fn done_if_mounted(path: &str) -> Script {
    sh!(
        r#"if hw_e={} awk '$5 == ENVIRON["hw_e"] { f = 1 } END { exit !f }' /proc/self/mountinfo; then exit 0; fi"#,
        escape(path)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const NFS: &str = r"218 29 0:52 / /mnt/a\040b rw,noatime shared:114 master:3 - nfs4 192.168.158.143:/mnt/nfs_file rw,vers=4.2,rsize=262144,wsize=262144,namlen=255,hard,proto=tcp,timeo=600,retrans=2,sec=sys,clientaddr=192.168.158.145,local_lock=none,addr=192.168.158.143";

    #[test]
    fn reads_mountinfo() {
        let mounted = parse_mountinfo(NFS).unwrap();
        assert_eq!((mounted.point.as_str(), mounted.fstype.as_str()), ("/mnt/a b", "nfs4"));
        assert_eq!(mounted.source, "192.168.158.143:/mnt/nfs_file");
        assert_eq!(mounted.device, "0:52");
        assert!(parse_mountinfo("218 29 0:52 / /mnt rw shared:1 nfs4 x rw").is_none());
    }

    #[test]
    fn options_count_as_far_as_the_kernel_shows_them() {
        let mounted = parse_mountinfo(NFS).unwrap();
        for same in [
            "vers=4",
            "nfsvers=4.2",
            "v4",
            "hard",
            "proto=tcp",
            "tcp",
            "_netdev",
            "nofail",
            "noatime",
            "rw",
            "x-systemd.mount-timeout=30s",
            "rsize=1048576",
            "retry=0",
            "bg",
            "suid",
            "lock",
            "sec=krb5:sys",
            "port=2049",
            "addr=1.2.3.4",
        ] {
            assert_eq!(instead_of(&mounted, same), None, "{same}");
        }
        for (wanted, now) in [
            ("vers=4.1", "vers=4.2"),
            ("vers=3", "vers=4.2"),
            ("soft", "hard"),
            ("ro", "rw"),
            ("atime", "noatime"),
            ("noexec", "exec"),
            ("udp", "proto=tcp"),
            ("timeo=50", "timeo=600"),
            ("rsize=4096", "rsize=262144"),
            ("sec=krb5", "sec=sys"),
            ("nolock", "lock"),
        ] {
            assert_eq!(instead_of(&mounted, wanted).as_deref(), Some(now), "{wanted}");
        }
        let tmpfs = parse_mountinfo("1 2 0:9 / /t rw - tmpfs tmpfs rw,size=65536k,mode=755").unwrap();
        for same in ["size=64m", "size=67108864", "mode=0755", "size=50%", "uid=redis"] {
            assert_eq!(instead_of(&tmpfs, same), None, "{same}");
        }
        assert_eq!(instead_of(&tmpfs, "size=32m").as_deref(), Some("size=65536k"));
        // A 4.0 mount shows as such, or as 4 on old kernels; 4 is not 3, and 40 is not 4.
        for (wanted, now, same) in [
            ("4.0", "4", true),
            ("4.0", "4.0", true),
            ("4", "4.0", true),
            ("4", "3", false),
            ("4", "40", false),
        ] {
            assert_eq!(same_value("vers", wanted, now), same, "{wanted} {now}");
        }
    }

    fn ask(asked: &Asked<'_>) -> String {
        let out =
            std::process::Command::new("sh").arg("-c").arg(probe(asked).script.render()).output().unwrap();
        assert!(out.status.success(), "{out:?}");
        String::from_utf8(out.stdout).unwrap()
    }

    #[test]
    fn asks_a_real_kernel() {
        let asked = |path, holders| Asked { path, bound: None, helper: Some("sh"), device: None, holders };
        let proc = ask(&asked("/proc", true));
        assert!(proc.contains("HELPER yes\n"), "{proc}");
        assert!(proc.lines().any(|l| l.starts_with("MOUNT ")
            && parse_mountinfo(&l["MOUNT ".len()..]).is_some_and(|m| m.fstype == "proc")));
        assert!(proc.lines().any(|l| l.starts_with("TOP proc ")), "{proc}");

        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("a b")).unwrap();
        let at = dir.path().to_str().unwrap();
        let answer = ask(&asked(at, false));
        assert!(answer.contains("\nDIR 7") && answer.ends_with("HAS a b\n"), "{answer}");
        assert!(ask(&asked(&format!("{at}/none"), false)).ends_with("DIR absent\n"));
    }
}
