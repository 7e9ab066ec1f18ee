//! Mounted file systems as the kernel tells them: what is where, whether it answers, who uses it.
//!
//! Nothing here may touch a path that can be on a network file system: a dead server would hold the
//! check for ever. `/proc/self/mountinfo` answers without asking the server (`proc_pid_mountinfo(5)`).

use std::fmt::Write as _;
use std::net::IpAddr;

use super::exports::unescape;
use super::mount_options::{Facts, split};
use super::path::{NETWORK, SHARED_NETWORK};
use crate::probe::{Answer, CheckError, Probe};
use crate::sh;
use crate::shell::Script;

/// One line of mountinfo.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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
    /// Flags of this mount.
    pub flags: Vec<String>,
    /// Options of the file system.
    pub options: Vec<String>,
}

/// Types whose server may not answer.
pub fn is_remote(fstype: &str) -> bool {
    matches!(fstype, "nfs" | "nfs4" | "cifs" | "smb3" | "ceph" | "9p" | "glusterfs")
        || fstype.starts_with("fuse.")
}

/// Types without a source: what stands in its place is a name for people.
pub fn is_virtual(fstype: &str) -> bool {
    matches!(
        fstype,
        "tmpfs"
            | "ramfs"
            | "proc"
            | "sysfs"
            | "devtmpfs"
            | "devpts"
            | "debugfs"
            | "tracefs"
            | "securityfs"
            | "configfs"
            | "cgroup2"
            | "hugetlbfs"
            | "mqueue"
            | "pstore"
            | "bpf"
            | "efivarfs"
            | "fusectl"
            | "binfmt_misc"
    )
}

/// Reads a line of mountinfo; `None` if it is not one.
pub fn parse_mountinfo(line: &str) -> Option<Mounted> {
    let (left, right) = line.split_once(" - ")?;
    let left: Vec<&str> = left.split(' ').collect();
    let right: Vec<&str> = right.split(' ').collect();
    let [_, _, device, root, point, flags, ..] = left.as_slice() else { return None };
    let (fstype, source, options) = match right.as_slice() {
        // The kernel leaves the source out where it is empty.
        [fstype, options] => (fstype, &"", options),
        [fstype, source, options] => (fstype, source, options),
        _ => return None,
    };
    Some(Mounted {
        device: (*device).to_owned(),
        root: unescape(root),
        point: unescape(point),
        fstype: (*fstype).to_owned(),
        source: unescape(source),
        flags: split(flags),
        options: split(options),
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

/// What a probe of a mount point has to know beside its path.
#[derive(Debug)]
pub struct Asked<'a> {
    /// The mount point.
    pub path: &'a str,
    /// The directory that is bound, or the file that is mounted: a source that is a path of its own.
    pub bound: Option<&'a str>,
    /// The program that mount(8) needs for the type (`mount.nfs`).
    pub helper: Option<&'a str>,
    /// The device, if the source is one: a path, `UUID=` or `LABEL=`.
    pub device: Option<&'a str>,
    /// The server, if the source names one.
    pub server: Option<&'a str>,
    /// The options, of which some name users and groups.
    pub options: &'a [String],
    /// Whether to look for processes that keep it from being unmounted.
    pub holders: bool,
}

/// Functions of the probe, for paths that may lead anywhere. Their variables begin with `hw_`.
///
/// `hw_far PATH`: whether it is, or lies on, a network file system, where nothing may be looked at.
/// `hw_walk PATH`: follows it part by part as the kernel does; then `hw_real` is where it leads, `hw_link` the first
/// link on the way, if there is one, and `hw_to` what is in that. Behind a network file system it looks no further.
const WALK: &str = r#"hw_nl='
'
hw_esc() {
  case $1 in
  *[\\\ "	"]*) hw_q=$(printf '%s' "$1" | sed 's/\\/\\134/g; s/ /\\040/g; s/	/\\011/g') ;;
  *) hw_q=$1 ;;
  esac
}
hw_far() {
  hw_esc "$1"; hw_n=-1; hw_f=-; set -f; IFS=$hw_nl
  for hw_m in $hw_net; do
    hw_mp=${hw_m#* }; [ "$hw_mp" != / ] || hw_mp=
    case $hw_q/ in "$hw_mp"/*) [ "${#hw_mp}" -lt "$hw_n" ] || { hw_n=${#hw_mp}; hw_f=${hw_m%% *}; } ;; esac
  done
  set +f; unset IFS
  [ "$hw_f" != - ]
}
hw_walk() {
  hw_done=; hw_rest=$1/; hw_link=; hw_to=; hw_i=0
  while [ -n "$hw_rest" ]; do
    hw_c=${hw_rest%%/*}; hw_rest=${hw_rest#*/}
    case $hw_c in ''|.) continue ;; ..) hw_done=${hw_done%/*}; continue ;; esac
    if hw_far "$hw_done/$hw_c"; then hw_done=$hw_done/$hw_c/$hw_rest; break; fi
    if [ -L "$hw_done/$hw_c" ]; then
      hw_t=$(readlink -- "$hw_done/$hw_c") || break
      [ -n "$hw_link" ] || { hw_link=$hw_done/$hw_c; hw_to=$hw_t; }
      hw_i=$((hw_i + 1)); [ "$hw_i" -lt 40 ] || break
      case $hw_t in /*) hw_done= ;; esac
      hw_rest=$hw_t/$hw_rest
    else hw_done=$hw_done/$hw_c; fi
  done
  hw_real=${hw_done%/}
}
"#;

/// Awk that reads mountinfo, and the function `over(PATH, SKIP)`: the number of the mount that the path leads to, as
/// the kernel walks: from the root down, at each mount the first mount point on the way. What is mounted over, at
/// the same path or above it, is not seen. `chain` is then the numbers of those mounted right at the path.
///
/// `SKIP` is a mount point that does not count.
pub(super) const OVER: &str = r#"{ for (i = 7; i < NF && $i != "-"; i++);
  n++; id[n] = $1; up[n] = $2; at[n] = $5; type[n] = $(i + 1); src[n] = $(i + 2); dev[n] = $3; line[n] = $0; has[$1] = 1 }
function over(path, skip,   cur, k, best, m) {
  cur = 0; chain = ""
  while (1) {
    best = 0
    for (k = 1; k <= n; k++) {
      if (skip != "" && at[k] == skip) continue
      if (cur ? up[k] != id[cur] || k == cur : (up[k] in has) && up[k] != id[k]) continue
      m = at[k] == "/" ? "/" : at[k] "/"
      if (index(path "/", m) == 1 && (!best || length(at[k]) < length(at[best]))) best = k
    }
    if (!best) return cur
    cur = best
    if (at[cur] == path) chain = chain " " cur
  }
}
"#;

/// Asks what is mounted at a path, whether it answers, and who uses it.
///
/// The answer has a word and its values a line. Where the path goes through a symbolic link: `LINK`, `TO` (what is in
/// it) and `REAL` (where the path leads), and no more. Else: `HELPER yes`; `MOUNT` and the line of mountinfo for each
/// mount at the path, the last on top; `BELOW` and a mount point under it; `PEER` and the line of another mount of an
/// NFS server; `BOUND` and where the path of the source leads, `SOURCE` and the mount that it is on;
/// `TOP TYPE TYPE-AROUND DEVICE SOURCE`; `ALIAS` and a mount point of fstab that leads to the path by a link. Then, if
/// nothing is mounted, `DIR ...` and `HAS NAME`; else what is known of it beyond mountinfo (`LIVE`, `POOL`,
/// `BACKING`, `ADDRESS`, `ALL`, `MEMORY`, `ACCOUNT`), `ALIVE CODE:TEXT` (nothing after `ALIVE` if there was no
/// answer), `USER` and `BUSY`.
pub fn probe(asked: &Asked<'_>) -> Probe {
    let helper = asked.helper.map_or_else(Script::new, |helper| {
        sh!("if command -v {} >/dev/null; then echo 'HELPER yes'; else echo 'HELPER no'; fi\n", helper)
    });
    let bound = asked.bound.map_or_else(
        || sh!("hw_s=\n"),
        |path| sh!("hw_walk {}; hw_esc \"$hw_real\"; hw_s=$hw_q; printf 'BOUND %s\\n' \"$hw_s\"\n", path),
    );
    let device = asked.device.map(device_path);
    let wanted = device.as_ref().map_or_else(Script::new, |path| {
        sh!("hw_dev={}\necho \"DEVICE $(stat -L -c '%t %T' -- \"$hw_dev\" 2>/dev/null)\"\n", path)
    });
    let holders = if asked.holders { Script::new().raw(HOLDERS) } else { sh!(":") };
    Probe::new(sh!(
        r#"command -v awk >/dev/null || { echo 'awk: not found' >&2; exit 3; }
{}p={}
{}hw_walk "$p"
if [ -n "$hw_link" ]; then
  printf 'LINK %s\nTO %s\nREAL %s\n' "$hw_link" "$hw_to" "$hw_real"
  exit 0
fi
{}{}{}hw_esc "$p"
hw_m=$(hw_e=$hw_q hw_s=$hw_s awk '{}
END {
  e = ENVIRON["hw_e"]; s = ENVIRON["hw_s"]
  t = over(e, ""); split(chain, c, " "); top = at[t] == e ? t : 0
  for (k = 1; k in c; k++) print "MOUNT " line[c[k]]
  for (k = 1; k <= n; k++) {
    if (index(at[k], e "/") == 1 && under(k, top)) print "BELOW " at[k]
    if (top && k != top && type[top] ~ /^nfs/ && type[k] ~ /^nfs/ && at[k] != e) print "PEER " line[k]
  }
  if (s != "" && (k = over(s, e))) print "SOURCE " line[k]
  if (top) t = over(e, e)
  print "TOP " (top ? type[top] : "-") " " type[t] " " dev[top] " " src[top]
}
function under(k, top,   j, i) {
  if (!top) return 1
  for (j = 0; j < 100; j++) {
    if (up[k] == id[top]) return 1
    for (i = 1; i <= n && id[i] != up[k]; i++);
    if (i > n || i == k) return 0
    k = i
  }
  return 0
}' /proc/self/mountinfo) || exit 3
printf '%s\n' "$hw_m"
if [ -r /etc/fstab ]; then
  while read -r hw_a hw_b hw_c || [ -n "$hw_a" ]; do
    case $hw_a$hw_b in '#'*) continue ;; */*) hw_a=$hw_b ;; *) continue ;; esac
    case $hw_a in
    *\\*) hw_a=$(printf '%b' "$(printf '%s' "$hw_a" | sed 's/\\\([0-7][0-7][0-7]\)/\\0\1/g')") ;;
    esac
    hw_walk "$hw_a"
    [ -z "$hw_link" ] || [ "$hw_real" != "$p" ] || printf 'ALIAS %s\n' "$hw_b"
  done </etc/fstab
fi
set -f; set -- ${hw_m##*TOP }; set +f
if [ "$1" = - ]; then
  if ! hw_far "$p"; then
    if [ -d "$p" ]; then
      stat -c 'DIR %a %U' -- "$p"
      ls -A -- "$p" | head -n 3 | sed 's/^/HAS /'
    elif [ -e "$p" ]; then echo 'DIR other'
    else echo 'DIR absent'; fi
  fi
  exit 0
fi
{}case $1 in
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
        Script::new().raw(NETWORK.text.source()),
        asked.path,
        Script::new().raw(WALK),
        helper,
        bound,
        wanted,
        Script::new().raw(OVER),
        beyond(asked),
        holders
    ))
    .sharing(SHARED_NETWORK)
}

/// Asks what mountinfo does not tell about the mount on top: `$1` is its type, `$3` its device, `$4` its source.
fn beyond(asked: &Asked<'_>) -> Script {
    let mut script = Script::new();
    if asked.device.is_some() {
        script = script.raw(
            r#"case $4 in
/dev/*)
  echo "LIVE $(stat -L -c '%t %T' -- "$4" 2>/dev/null)"
  # A file system on several devices shows one of them.
  if [ "$1" = btrfs ]; then
    hw_a=$(readlink -f -- "$hw_dev"); hw_b=$(readlink -f -- "$4")
    for hw_c in /sys/fs/btrfs/*/devices; do
      [ ! -e "$hw_c/${hw_a##*/}" ] || [ ! -e "$hw_c/${hw_b##*/}" ] || echo POOL
    done
  fi ;;
esac
"#,
        );
    } else if asked.bound.is_some() {
        script = script.raw(
            r#"case $4 in
/dev/loop*)
  hw_a=/sys/block/${4##*/}/loop/backing_file
  [ ! -r "$hw_a" ] || { IFS= read -r hw_b <"$hw_a"; printf 'BACKING %s\n' "$hw_b"; } ;;
esac
"#,
        );
    }
    if let Some(server) = asked.server.filter(|s| s.parse::<IpAddr>().is_err()) {
        script = script.script(&sh!(
            r#"hw_a={}
case $1:$4 in
nfs*:"$hw_a":*) ;;
nfs*) timeout -s KILL 5 getent ahosts "$hw_a" | sed 's/ .*//; s/^/ADDRESS /' | sort -u ;;
esac
"#,
            server
        ));
    }
    script = script.raw(
        r#"hw_a=
case $1 in
ext[234])
  hw_a=$(readlink "/sys/dev/block/$3"); hw_a=/proc/fs/ext4/${hw_a##*/}/options
  if [ -r "$hw_a" ]; then
    hw_b=; while read -r hw_c; do hw_b=$hw_b,$hw_c; done <"$hw_a"
    printf 'ALL %s\n' "${hw_b#,}"
  fi ;;
tmpfs) while read -r hw_a hw_b hw_c; do [ "$hw_a" != MemTotal: ] || echo "MEMORY $hw_b"; done </proc/meminfo ;;
esac
"#,
    );
    for option in asked.options {
        let Some((key, name)) = option.split_once('=') else { continue };
        let table = match key {
            "uid" | "resuid" => "passwd",
            "gid" | "resgid" => "group",
            _ => continue,
        };
        if !name.is_empty() && !name.bytes().all(|b| b.is_ascii_digit()) {
            script = script.script(&sh!(
                "hw_a=$(timeout 10 getent {} {}) && { hw_a=${hw_a#*:*:}; printf 'ACCOUNT %s %s\\n' \"${hw_a%%:*}\" {}; }\n",
                table,
                name,
                option
            ));
        }
    }
    script
}

/// The file of a device that a source names by a tag. udev writes what is no plain character as `\xNN`.
fn device_path(source: &str) -> String {
    let Some((tag, value)) = source.split_once('=').filter(|_| !source.starts_with('/')) else {
        return source.to_owned();
    };
    let value = value.trim_matches(|c| c == '"' || c == '\'');
    let is_uuid = tag.ends_with("UUID") && value.len() == 36;
    let name = value.chars().fold(String::new(), |mut name, c| {
        if is_uuid {
            name.push(c.to_ascii_lowercase());
        } else if c.is_ascii() && !c.is_ascii_alphanumeric() && !"#+-.:=@_".contains(c) {
            let _ = write!(name, "\\x{:02x}", u32::from(c));
        } else {
            name.push(c);
        }
        name
    });
    format!("/dev/disk/by-{}/{name}", tag.to_lowercase())
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
    /// The first symbolic link on the way to the path, what is in it, and where the path leads.
    pub link: Option<(String, String, String)>,
    /// Mount points below the path.
    pub below: Vec<String>,
    /// Other mounts of NFS servers.
    pub peers: Vec<Mounted>,
    /// Mount points of fstab that lead to the path by a link, as they are written there.
    pub aliases: Vec<String>,
    /// Where the path of the source leads.
    pub bound: Option<String>,
    /// The file behind the loop device on top.
    pub backing: Option<String>,
    /// Number of the device on top.
    pub live: Option<String>,
    /// The wanted device and the one on top belong to one file system.
    pub pool: bool,
    /// Addresses of the server.
    pub addresses: Vec<String>,
    /// What is known of the options beyond mountinfo.
    pub facts: Facts,
    /// The mount that a bound directory is on.
    pub bound_on: Option<Mounted>,
    /// Number of the wanted device, `MAJOR:MINOR`.
    pub device: Option<String>,
    /// Type of the file system that the path lies on.
    pub around: String,
    /// `other`, `absent`, or mode and owner; `None` where it was not looked at.
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
                "LINK" => {
                    complete = true;
                    seen.link = Some((rest.to_owned(), String::new(), String::new()));
                }
                "TO" | "REAL" => match &mut seen.link {
                    Some((_, to, _)) if word == "TO" => rest.clone_into(to),
                    Some((.., real)) => rest.clone_into(real),
                    None => return Err(unreadable("expected a symbolic link")),
                },
                "PEER" => seen.peers.extend(parse_mountinfo(rest)),
                "ALIAS" => seen.aliases.push(rest.to_owned()),
                "BOUND" => seen.bound = Some(unescape(rest)),
                "SOURCE" => seen.bound_on = parse_mountinfo(rest),
                "BACKING" => seen.backing = Some(rest.to_owned()),
                "DEVICE" => seen.device = device_number(rest),
                "LIVE" => seen.live = device_number(rest),
                "POOL" => seen.pool = true,
                "ADDRESS" => seen.addresses.push(rest.to_owned()),
                "ALL" => seen.facts.all = Some(split(rest)),
                "MEMORY" => seen.facts.memory = rest.parse().ok(),
                "ACCOUNT" => {
                    seen.facts.accounts.extend(rest.split_once(' ').map(|(id, of)| (of.into(), id.into())));
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

    /// Device and directory within it that the source is, as mountinfo would call a bind mount of it.
    pub fn bound_at(&self) -> Option<(String, String)> {
        let (on, path) = (self.bound_on.as_ref()?, self.bound.as_ref()?);
        let rest = path.strip_prefix(on.point.trim_end_matches('/'))?;
        let root = format!("{}{}", on.root.trim_end_matches('/'), rest);
        Some((on.device.clone(), if root.is_empty() { "/".to_owned() } else { root }))
    }
}

/// `MAJOR MINOR` in hexadecimal, as `stat` writes them; nothing for what is no device.
fn device_number(text: &str) -> Option<String> {
    let hex = |t: &str| u32::from_str_radix(t, 16).ok();
    let (major, minor) = text.split_once(' ')?;
    Some(format!("{}:{}", hex(major)?, hex(minor)?)).filter(|number| number != "0:0")
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

    /// What every shell there is says to the probe, which must be the same.
    fn ask(asked: &Asked<'_>) -> String {
        let mut said: Vec<String> = Vec::new();
        for shell in [&["dash"][..], &["bash"], &["busybox", "sh"]] {
            let script = probe(asked).script.render();
            let mut command = std::process::Command::new(shell[0]);
            match command.args(&shell[1..]).arg("-c").arg(script).output() {
                Ok(out) => {
                    assert!(out.status.success() && out.stderr.is_empty(), "{shell:?}: {out:?}");
                    let text = String::from_utf8(out.stdout).unwrap();
                    // Processes come and go.
                    let lines = text.split_inclusive('\n');
                    said.push(lines.filter(|l| !l.starts_with("USER ") && !l.starts_with("BUSY ")).collect());
                }
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
            }
        }
        said.dedup();
        assert_eq!(said.len(), 1, "the shells differ: {said:#?}");
        said.remove(0)
    }

    #[test]
    fn asks_a_real_kernel() {
        let asked = |path, holders| Asked {
            path,
            bound: None,
            helper: Some("sh"),
            device: None,
            server: None,
            options: &[],
            holders,
        };
        let proc = ask(&asked("/proc", true));
        assert!(proc.contains("HELPER yes\n"), "{proc}");
        assert!(proc.lines().any(|l| l.starts_with("MOUNT ")
            && parse_mountinfo(&l["MOUNT ".len()..]).is_some_and(|m| m.fstype == "proc")));
        assert!(proc.lines().any(|l| l.starts_with("TOP proc ")), "{proc}");

        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("a b")).unwrap();
        std::os::unix::fs::symlink("a b", dir.path().join("li\\n k")).unwrap();
        let at = dir.path().to_str().unwrap();
        let [none, behind, bound] = ["none", "li\\n k/x", "li\\n k"].map(|name| format!("{at}/{name}"));
        let answer = ask(&asked(at, false));
        assert!(answer.contains("\nDIR 7") && answer.contains("HAS a b\n"), "{answer}");
        assert!(ask(&asked(&none, false)).ends_with("DIR absent\n"));
        let link = ask(&asked(&behind, false));
        assert_eq!(link, format!("LINK {at}/li\\n k\nTO a b\nREAL {at}/a b/x\n"));
        let bind = ask(&Asked { bound: Some(&bound), ..asked(at, false) });
        assert!(bind.contains(&format!("BOUND {at}/a\\040b\n")) && bind.contains("\nSOURCE "), "{bind}");
    }

    /// The mounts that the path is on, as every awk there is sees them in this mountinfo.
    fn over(mountinfo: &str, path: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("mountinfo");
        std::fs::write(&file, mountinfo).unwrap();
        let program = format!("{OVER}END {{ t = over(ENVIRON[\"hw_e\"], \"\"); print src[t] chain }}");
        let mut said: Vec<String> = Vec::new();
        for awk in [&["mawk"][..], &["gawk"], &["original-awk"], &["busybox", "awk"]] {
            let mut command = std::process::Command::new(awk[0]);
            if let Ok(out) = command.args(&awk[1..]).arg(&program).arg(&file).env("hw_e", path).output() {
                assert!(out.status.success(), "{awk:?}: {out:?}");
                said.push(String::from_utf8(out.stdout).unwrap());
            }
        }
        said.dedup();
        assert_eq!(said.len(), 1, "the awks differ: {said:?}");
        said.remove(0).trim().to_owned()
    }

    #[test]
    fn a_path_leads_to_what_is_not_hidden() {
        // Not in the order in which they lie above each other.
        let mounts = "30 20 0:5 / /srv/a rw - tmpfs top rw
20 1 0:4 / /srv/a rw - tmpfs under rw
1 0 8:1 / / rw - ext4 root rw
40 1 0:6 / /mnt/in rw - tmpfs hidden rw
41 1 0:7 / /mnt rw - tmpfs cover rw
50 41 0:8 / /mnt/b\\040c rw - nfs4 srv:/x rw
";
        for (path, leads) in [
            ("/srv/a", "top 2 1"),
            ("/srv/a/x", "top"),
            ("/srv/ab", "root"),
            ("/mnt/in", "cover"),
            ("/mnt", "cover 5"),
            ("/mnt/b\\040c", "srv:/x 6"),
            ("/mnt/b\\040cd", "cover"),
        ] {
            assert_eq!(over(mounts, path), leads, "{path}");
        }
        // In a chroot that is no mount point the root is not in the list.
        assert_eq!(
            over("30 20 0:5 / /srv rw - tmpfs t rw\n31 30 0:5 / /srv/x rw - tmpfs u rw\n", "/srv/x"),
            "u 2"
        );
        assert_eq!(over("30 20 0:5 / /srv rw - tmpfs t rw\n", "/opt"), "");
    }

    #[test]
    fn tags_name_files_of_devices() {
        for (source, file) in [
            ("/dev/sda1", "/dev/sda1"),
            (
                "UUID=46FA9D2E-52CD-4D4E-A5C4-2F8F6A8E3A11",
                "/dev/disk/by-uuid/46fa9d2e-52cd-4d4e-a5c4-2f8f6a8e3a11",
            ),
            ("UUID=1A2B-3C4D", "/dev/disk/by-uuid/1A2B-3C4D"),
            ("LABEL=\"my disk/1\"", "/dev/disk/by-label/my\\x20disk\\x2f1"),
            ("PARTLABEL=EFI", "/dev/disk/by-partlabel/EFI"),
        ] {
            assert_eq!(device_path(source), file);
        }
    }
}
