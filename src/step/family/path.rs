//! What is at a path: the one question that `file`, `directory`, `link`, `line` and `block` share, and
//! the careful ways to put something there.

use std::sync::Arc;

use crate::model::{FileContent, FileKind, FileState, Kind, Resource, State};
use crate::probe::{Answer, CheckError, Probe, Readings};
use crate::sh;
use crate::shell::Script;

/// How much of a regular file a probe asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Kind, mode, owner and group.
    Attributes,
    /// And the SHA-256 and size of the content.
    Digest,
    /// And the content itself, if it has at most so many bytes; its digest otherwise.
    Content(u32),
}

/// Text files up to this size are shown and edited whole.
pub const CONTENT_LIMIT: u32 = 1 << 20;

/// Asks what is at `path`.
///
/// The answer is one line `KIND|MODE|OWNER|GROUP|LINK` of `stat` (GNU coreutils: `%F|%a|%U|%G`), then for a
/// regular file, as far as asked, a line `DIGEST SIZE` or `CONTENT SIZE` and its bytes. A path on a
/// network file system is never touched, for the server may be dead: `remote FSTYPE`.
pub fn probe(path: &str, depth: Depth) -> Probe {
    let content = match depth {
        Depth::Attributes => Script::new(),
        Depth::Digest => sh!("hw_digest"),
        Depth::Content(limit) => sh!(
            r#"if [ "$hw_size" -le {} ]; then echo "CONTENT $hw_size"; cat -- "$p"; else hw_digest; fi"#,
            limit
        ),
    };
    Probe::new(sh!(
        r#"p={}
hw_digest() { hw_sum=$(sha256sum <"$p") || exit 4; echo "DIGEST ${hw_sum%% *} $hw_size"; }
hw_fs=$(awk -v p="$p/" '{
  m = $5; gsub(/\\040/, " ", m); gsub(/\\011/, "\t", m); gsub(/\\134/, "\\", m)
  for (i = 7; $i != "-"; i++); s = (m == "/" ? "/" : m "/")
  if (index(p, s) == 1 && length(s) >= best) { best = length(s); type = $(i + 1) }
} END { print type }' /proc/self/mountinfo)
case $hw_fs in nfs|nfs4|cifs|smb3|ceph|fuse.*|9p) echo "remote $hw_fs"; exit 0 ;; esac
if [ ! -e "$p" ] && [ ! -L "$p" ]; then echo absent; exit 0; fi
hw_at=$(stat -c '%F|%a|%U|%G|%s' -- "$p") || exit 3
hw_size=${hw_at##*|}; hw_at=${hw_at%|*}
if [ -L "$p" ]; then echo "$hw_at|$(readlink -- "$p")"; exit 0; fi
echo "$hw_at|"
if [ -f "$p" ]; then {}; fi"#,
        path,
        if content.is_empty() { sh!(":") } else { content }
    ))
}

/// Reads the answer to [`probe`], or what an earlier step of the plan will leave at the path.
pub fn read(readings: &Readings, path: &str, depth: Depth) -> Result<FileState, CheckError> {
    if let Some(file) = readings.expected_file(path) {
        return Ok(file.clone());
    }
    if readings.expected(&Resource::here(Kind::Path, path)) == Some(&State::Absent) {
        return Ok(FileState::absent());
    }
    let probe = probe(path, depth);
    let answer = readings.of(&probe)?;
    parse(path, answer)?.ok_or_else(|| {
        CheckError::unreadable(&probe, answer, "expected the kind, mode, owner and group of the path")
    })
}

impl FileState {
    /// Nothing is there.
    pub fn absent() -> Self {
        Self {
            kind: FileKind::Absent,
            mode: 0,
            owner: String::new(),
            group: String::new(),
            content: FileContent::Unread,
        }
    }
}

fn parse(path: &str, answer: &Answer) -> Result<Option<FileState>, CheckError> {
    if answer.code == 3 || answer.code == 4 {
        return Err(CheckError::refused(
            format!("cannot read {path}: {}", answer.error_text()),
            "give the step the rights to read it, with `become = true`".to_owned(),
        ));
    }
    let line_end = answer.stdout.iter().position(|&b| b == b'\n').unwrap_or(answer.stdout.len());
    let (line, rest) = answer.stdout.split_at(line_end);
    let Ok(line) = std::str::from_utf8(line) else { return Ok(None) };
    if let Some(fs) = line.strip_prefix("remote ") {
        return Err(CheckError::refused(
            format!("{path} is on a network file system ({fs})"),
            "manage it on the server, where it is local".to_owned(),
        ));
    }
    if line == "absent" && answer.ok() {
        return Ok(Some(FileState::absent()));
    }
    let fields: Vec<&str> = line.splitn(5, '|').collect();
    let ([kind, mode, owner, group, target], true) = (fields.as_slice(), answer.ok()) else {
        return Ok(None);
    };
    let Ok(mode) = u32::from_str_radix(mode, 8) else { return Ok(None) };
    let kind = match *kind {
        "regular file" | "regular empty file" => FileKind::File,
        "directory" => FileKind::Directory,
        "symbolic link" => FileKind::Link((*target).to_owned()),
        other => FileKind::Other(other.to_owned()),
    };
    let Some(content) = parse_content(rest.get(1..).unwrap_or_default()) else { return Ok(None) };
    Ok(Some(FileState { kind, mode, owner: (*owner).into(), group: (*group).into(), content }))
}

fn parse_content(bytes: &[u8]) -> Option<FileContent> {
    if bytes.is_empty() {
        return Some(FileContent::Unread);
    }
    let end = bytes.iter().position(|&b| b == b'\n')?;
    let line = std::str::from_utf8(&bytes[..end]).ok()?;
    if let Some(digest) = line.strip_prefix("DIGEST ") {
        let (sum, size) = digest.split_once(' ')?;
        return (sum.len() == 64)
            .then_some(())
            .and_then(|()| Some(FileContent::Digest(sum.to_owned(), size.parse().ok()?)));
    }
    let size: usize = line.strip_prefix("CONTENT ")?.parse().ok()?;
    let content = bytes[end + 1..].get(..size)?;
    Some(FileContent::Bytes(Arc::from(content)))
}

/// Parses a mode as people write it, `"0755"`.
pub fn parse_mode(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    ((3..=5).contains(&digits.len())).then_some(())?;
    u32::from_str_radix(digits, 8).ok().filter(|m| *m <= 0o7777)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(path: &str, depth: Depth) -> Result<Option<FileState>, CheckError> {
        let out = std::process::Command::new("sh")
            .arg("-c")
            .arg(probe(path, depth).script.render())
            .output()
            .unwrap();
        let answer = Answer { code: out.status.code().unwrap(), stdout: out.stdout, stderr: out.stderr };
        parse(path, &answer)
    }

    #[test]
    fn asks_a_real_file_system() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(at("a b"), b"x\0\ny\n\n").unwrap();
        std::os::unix::fs::symlink("a b", at("link")).unwrap();

        let file = ask(&at("a b"), Depth::Content(100)).unwrap().unwrap();
        assert_eq!(file.kind, FileKind::File);
        assert_eq!(file.content, FileContent::Bytes(Arc::from(&b"x\0\ny\n\n"[..])));
        let FileContent::Digest(sum, 6) = ask(&at("a b"), Depth::Content(3)).unwrap().unwrap().content else {
            panic!("larger than the limit: its digest")
        };
        assert_eq!(sum.len(), 64);
        assert_eq!(ask(&at("link"), Depth::Digest).unwrap().unwrap().kind, FileKind::Link("a b".into()));
        assert_eq!(ask(&at(""), Depth::Digest).unwrap().unwrap().kind, FileKind::Directory);
        assert_eq!(ask(&at("none"), Depth::Digest).unwrap().unwrap(), FileState::absent());
    }

    #[test]
    fn an_answer_that_makes_no_sense_is_none() {
        for text in ["", "hello", "regular file|9x|root|root|", "directory|755|root"] {
            assert_eq!(parse("/p", &Answer::new(0, text)).unwrap(), None, "{text}");
        }
    }
}
