//! The careful way to put content at a path: all of it or nothing, and nothing of the old file lost but
//! its content, of which a backup stays.

use std::fmt::Write as _;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::attributes::Attributes;
use super::path::CONTENT_LIMIT;
use super::text;
use crate::model::{FileContent, FileState, Secret};
use crate::sh;
use crate::shell::Script;
use crate::step::{Action, Change, Context, Field, Invalid, Payload, Value};

/// How content gets to its path.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own in the playbook")]
pub struct Put<'a> {
    /// Absolute path. It is a regular file or nothing, or a link that `force` lets go.
    pub path: &'a str,
    /// All of the new content.
    pub content: &'a Arc<[u8]>,
    /// Mode and owner that are wanted; otherwise those of the old file stay.
    pub attributes: &'a Attributes,
    /// The mode that it will have in the end.
    pub mode: u32,
    /// Keep the old file as `PATH.RUN.bak`.
    pub backup: bool,
    /// Write into the file that is there: it stays the same inode, which a bind mount of a single file needs.
    pub in_place: bool,
    /// The path may be a symbolic link: its target is written.
    pub follow: bool,
    /// A command of the user that says whether the new content is good; `%s` stands for its file.
    pub validate: Option<&'a str>,
    /// Nobody may see the content, nor its digest, from which a short one could be guessed.
    pub secret: bool,
    /// What the new content was made from: if something else is there by then, nothing is written.
    pub made_from: Option<&'a FileState>,
}

impl Put<'_> {
    /// Returns the action. It reads the content from file descriptor 3 into a file of fixed name in the same
    /// folder (so that what a cut-off run left is cleared by the next), and renames that.
    ///
    /// - `dd conv=excl,fsync` (coreutils) follows no planted link, and puts the bytes on the disk before they
    ///   get the name; `sync FILE` would do on coreutils 8.24 alone, and before that sync everything, dead
    ///   network file systems included.
    /// - `cp --attributes-only` copies mode, owner, ACLs, extended attributes and SELinux context.
    /// - The backup is a second name of the old inode: it needs no space and is whole at once.
    pub fn action(&self, label: impl Into<String>) -> Action {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        let follow = if self.follow {
            Script::new().raw("p=$(timeout -s KILL 10 readlink -f -- \"$p\")\n")
        } else {
            Script::new()
        };
        let script = sh!(
            r#"set -e
umask 077
p={}
{}d=${p%/*}; t=$d/{}; b={}; d=${d:-/}
hw_fail() { printf '%s\n' "$@" >&2; exit 1; }
hw_disk() {
  case $hw_e in
    *"No space left"*|*"quota"*) hw_fail "$hw_e" "cannot write $p: no space left (ENOSPC); the old state is unchanged" "hint: free some space or inodes on the file system of $d" ;;
    *"Read-only"*) hw_fail "$hw_e" "cannot write $p: its file system is read-only (EROFS); nothing was changed" "hint: mount $d read-write; if nobody made it read-only, dmesg tells why the kernel did" ;;
    *"ermission denied"*|*"not permitted"*) hw_fail "$hw_e" "cannot write $p: no permission; nothing was changed" "hint: set \`become = true\`; for root, see lsattr and SELinux" ;;
    *"resource busy"*) hw_fail "$hw_e" "cannot replace $p: it is a mount point of its own; nothing was changed" "hint: set \`in_place = true\`" ;;
    *) hw_fail "$hw_e" "cannot write $p; the old state is unchanged" ;;
  esac
}
{}trap 'rm -f -- "$t" "$t.old"' EXIT
trap 'exit 129' HUP; trap 'exit 130' INT; trap 'exit 143' TERM
hw_e=$({ rm -f -- "$t" "$t.old" && dd of="$t" bs=65536 conv=excl,fsync status=none <&3; } 2>&1) || hw_disk
hw_sum=$(sha256sum <"$t")
[ "${hw_sum%% *}" = {} ] || hw_fail "the content for $p did not arrive whole; nothing was changed"
hw_new=1
if [ -e "$p" ] && [ ! -L "$p" ]; then
  hw_new=
  hw_e=$(cp --attributes-only --preserve=all --no-preserve=timestamps -- "$p" "$t" 2>&1) || hw_disk
  {}
else
  chmod -- 00644 "$t"
fi
hw_to=$t
{}{}{}"#,
            self.path,
            follow,
            temporary(name),
            self.backup_name(),
            self.unchanged(),
            self.digest(),
            self.keep_owner(),
            self.attributes.set(Some(self.mode)),
            self.check(),
            self.place()
        );
        Action::new(label, script).payload(Payload(Arc::clone(self.content)))
    }

    /// Without the rights to give the new file to the old owner, `cp` says nothing.
    fn keep_owner(&self) -> Script {
        if self.attributes.owner.is_some() {
            return Script::new().raw(":");
        }
        Script::new().raw(
            r#"[ "$(stat -c %u -- "$p")" = "$(stat -c %u -- "$t")" ] || hw_fail "cannot keep the owner of $p; nothing was changed" "hint: set \`become = true\`""#,
        )
    }

    fn unchanged(&self) -> Script {
        let sum = match self.made_from.map(|file| &file.content) {
            None => return Script::new(),
            Some(FileContent::Bytes(bytes)) => sha256(bytes),
            Some(FileContent::Digest(sum, _)) => sum.clone(),
            Some(FileContent::Unread) => "absent".to_owned(),
        };
        // The new content itself may be there when an earlier try was cut off.
        sh!(
            r#"hw_sum=absent; [ ! -e "$p" ] || hw_sum=$(sha256sum <"$p")
case ${hw_sum%% *} in {}|{}) ;; *) hw_fail "$p was changed by someone else in the meantime; it was not touched" "hint: run again" ;; esac
"#,
            sum,
            self.digest()
        )
    }

    fn digest(&self) -> Script {
        let sum = sha256(self.content);
        if self.secret { sh!("{}", Secret::new(sum)) } else { sh!("{}", sum) }
    }

    fn check(&self) -> Script {
        let Some(command) = self.validate else { return Script::new() };
        let code = Script::new().user_code(&command.replace("%s", "\"$t\""));
        sh!(
            r#"( {}
) >&2 || hw_fail "the new content of $p is not valid, says" {} "nothing was changed"
"#,
            code,
            command
        )
    }

    fn backup_name(&self) -> Script {
        let hidden = self.path.starts_with("/etc/cron.");
        match (self.backup, hidden) {
            (false, _) => Script::new().raw("''"),
            // cron runs every file there, backups too, unless a dot hides it.
            (true, true) => Script::new().raw("$d/.${p##*/}.${HW_RUN_ID:-manual}.bak"),
            (true, false) => Script::new().raw("$p.${HW_RUN_ID:-manual}.bak"),
        }
    }

    fn place(&self) -> Script {
        let rename = r#"  hw_e=$(mv -fT -- "$t" "$p" 2>&1) || hw_disk
"#;
        let replace = r#"  if [ -n "$b" ] && [ -z "$hw_new" ] && [ ! -e "$b" ] && [ "$(sha256sum <"$p")" != "$hw_sum" ]; then
    ln -- "$p" "$b" 2>/dev/null || hw_e=$(cp --preserve=all -- "$p" "$b" 2>&1) || { rm -f -- "$b"; hw_disk; }
  fi
"#;
        let in_place = r#"  [ "$(sha256sum <"$p")" != "$hw_sum" ] || b=
  hw_c=${b:-$t.old}
  [ -e "$hw_c" ] || hw_e=$(cp --preserve=all -- "$p" "$hw_c" 2>&1) || { rm -f -- "$hw_c"; hw_disk; }
  cp --preserve=all -- "$p" "$t.old" 2>/dev/null || hw_e="No space left for a copy of the old content" hw_disk
  hw_e=$(dd if="$t" of="$p" bs=65536 conv=fsync status=none 2>&1) || {
    dd if="$t.old" of="$p" bs=65536 conv=fsync status=none || hw_fail "$hw_e" "$p is half written; its old content is in $hw_c"
    hw_disk
  }
  hw_to=$p
"#;
        let label = r#"if [ -n "$hw_new" ] && [ -e /sys/fs/selinux/enforce ] && command -v restorecon >/dev/null; then restorecon -- "$p" || :; fi
"#;
        let script = Script::new();
        if self.in_place {
            script
                .raw("if [ -z \"$hw_new\" ]; then\n")
                .raw(in_place)
                .script(&self.attributes.set(Some(self.mode)))
                .raw("else\n")
                .raw(rename)
                .raw("fi\n")
                .raw(label)
        } else {
            script.raw("{\n").raw(replace).raw(rename).raw("}\n").raw(label)
        }
    }
}

/// The name of the file that is renamed in the end; hidden, for `conf.d` folders are read by name.
fn temporary(name: &str) -> String {
    let mut end = name.len().min(200);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!(".{}.hw-new", &name[..end])
}

/// The SHA-256 of `bytes`, lower-case hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// Content as people see it: text for a diff, or size and digest.
pub fn show(content: &FileContent) -> Value {
    match content {
        FileContent::Unread => Value::Unknown,
        FileContent::Digest(sha256, size) => Value::Binary { sha256: sha256.clone(), size: *size },
        FileContent::Bytes(bytes) => show_bytes(bytes),
    }
}

/// As [`show`], for content that is all there. A few bytes that are no text do not hide the text around them.
pub fn show_bytes(bytes: &[u8]) -> Value {
    let size = bytes.len() as u64;
    if size <= u64::from(CONTENT_LIMIT) {
        let (text, odd) = text::readable(bytes);
        if odd * 10 <= bytes.len() {
            return Value::Content(text);
        }
    }
    Value::Binary { sha256: sha256(bytes), size }
}

/// Whether `content` is `bytes`, as far as it is known.
pub fn same(content: &FileContent, bytes: &[u8]) -> bool {
    match content {
        FileContent::Unread => false,
        FileContent::Digest(sum, _) => *sum == sha256(bytes),
        FileContent::Bytes(now) => **now == *bytes,
    }
}

impl Change {
    /// Adds fields.
    #[must_use]
    pub fn fields(mut self, fields: Vec<Field>) -> Self {
        self.fields.extend(fields);
        self
    }

    /// Adds actions.
    #[must_use]
    pub fn actions(mut self, actions: impl IntoIterator<Item = Action>) -> Self {
        self.actions.extend(actions);
        self
    }
}

/// Where content comes from: at most one of these.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// The content itself.
    pub content: Option<&'a str>,
    /// A file of the controller.
    pub source: Option<&'a str>,
    /// A file of the controller that is rendered.
    pub template: Option<&'a str>,
}

impl Sources<'_> {
    /// The keys that are set.
    pub fn given(&self) -> Vec<&'static str> {
        [("content", self.content), ("source", self.source), ("template", self.template)]
            .into_iter()
            .filter_map(|(key, value)| value.map(|_| key))
            .collect()
    }

    /// Reads the content, if any is given.
    pub fn read(&self, context: &Context<'_>) -> Result<Option<Arc<[u8]>>, Invalid> {
        if let [first, second, ..] = self.given().as_slice() {
            return Err(Invalid::new(*second, format!("`{first}` and `{second}` exclude each other")));
        }
        let load = |key: &str, name: &str| {
            (context.read)(name).map_err(|why| {
                Invalid::new(key, format!("cannot read {name}: {why}"))
                    .help("the path is relative to the playbook")
            })
        };
        if let Some(content) = self.content {
            return Ok(Some(content.as_bytes().into()));
        }
        if let Some(name) = self.source {
            return load("source", name).map(Some);
        }
        let Some(name) = self.template else { return Ok(None) };
        let bytes = load("template", name)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| {
            Invalid::new("template", format!("{name} is not UTF-8 text"))
                .help("send it as it is with `source`")
        })?;
        let text = (context.render)(name, text)
            .map_err(|why| Invalid::new("template", format!("cannot render {name}: {why}")))?;
        Ok(Some(text.into_bytes().into()))
    }
}
