//! Repository files of a CentOS release at its end, turned to the archive.

/// What cannot be turned: the section, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoAddress(pub String);

/// Which release's paths in the archive to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// CentOS 7, ended on 2024-06-30.
    Seven,
    /// CentOS 8 (2021-12-31) and Stream 8 (2024-05-31), told apart by the variables in their files.
    Eight,
}

/// Returns `text` with every section that asks mirrorlist.centos.org or mirror.centos.org, which are gone,
/// asking `vault` instead; what asks anything else is not touched.
///
/// The files carry the address of the mirror as a comment: `#baseurl=http://mirror.centos.org/...`.
pub fn turn(text: &str, release: Release, vault: &str) -> Result<String, NoAddress> {
    let mut out = String::with_capacity(text.len());
    for section in sections(text) {
        let dead = section.iter().any(|line| {
            let line = line.trim();
            (line.starts_with("mirrorlist") && line.contains("mirrorlist.centos.org"))
                || (line.starts_with("baseurl") && line.contains("//mirror.centos.org/"))
        });
        let addresses = section.iter().filter(|line| address(line).is_some()).count();
        let enabled = !section.iter().any(|line| line.replace(' ', "").trim() == "enabled=0");
        if dead && addresses == 0 && enabled {
            let name = section.first().map_or("", |line| line.trim());
            return Err(NoAddress(name.trim_matches(['[', ']']).to_owned()));
        }
        for line in section {
            let ending = &line[line.trim_end_matches(['\n', '\r']).len()..];
            match address(line) {
                _ if !dead || addresses == 0 => out.push_str(line),
                Some(path) => {
                    out.push_str("baseurl=");
                    out.push_str(vault);
                    out.push('/');
                    out.push_str(&archived(path.trim_end(), release));
                    out.push_str(ending);
                }
                None if line.trim_start().starts_with("mirrorlist") => {
                    out.push('#');
                    out.push_str(line);
                }
                None => out.push_str(line),
            }
        }
    }
    Ok(out)
}

/// As [`turn`], for text of any encoding: what is not UTF-8 is taken byte by byte, and comes out so.
pub fn turn_bytes(text: &[u8], release: Release, vault: &str) -> Result<Vec<u8>, NoAddress> {
    if let Ok(text) = std::str::from_utf8(text) {
        return turn(text, release, vault).map(String::into_bytes);
    }
    let text: String = text.iter().map(|byte| char::from(*byte)).collect();
    let vault: String = vault.bytes().map(char::from).collect();
    let turned = turn(&text, release, &vault)?;
    Ok(turned.chars().filter_map(|c| u8::try_from(c).ok()).collect())
}

/// The lines of each section, with their endings; what stands before the first one is one, too.
fn sections(text: &str) -> Vec<Vec<&str>> {
    let mut sections: Vec<Vec<&str>> = vec![Vec::new()];
    for line in text.split_inclusive('\n') {
        if line.starts_with('[') {
            sections.push(Vec::new());
        }
        if let Some(last) = sections.last_mut() {
            last.push(line);
        }
    }
    sections
}

/// The path on the mirror in a `baseurl` line, commented out or not.
fn address(line: &str) -> Option<&str> {
    let line = line.trim_start().trim_start_matches('#').trim_start();
    let (key, value) = line.split_once('=')?;
    (key.trim() == "baseurl").then_some(())?;
    let value = value.trim_start();
    value
        .strip_prefix("http://mirror.centos.org/")
        .or_else(|| value.strip_prefix("https://mirror.centos.org/"))
}

fn archived(path: &str, release: Release) -> String {
    match release {
        Release::Seven => path.replace("/$releasever/", "/7.9.2009/").replace("/7/", "/7.9.2009/"),
        Release::Eight => {
            let path =
                path.strip_prefix("$contentdir/").or_else(|| path.strip_prefix("centos/")).unwrap_or(path);
            path.replacen("$releasever/", "8.5.2111/", 1).replacen("$stream/", "8-stream/", 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VAULT: &str = "http://vault.centos.org";

    #[test]
    fn turns_each_release_to_its_folder() {
        let text = |url: &str| {
            format!(
                "# note\n[base]\nname=Base\nmirrorlist=http://mirrorlist.centos.org/?x\n#baseurl={url}\ngpgcheck=1\n"
            )
        };
        for (release, from, to) in [
            (Release::Seven, "centos/$releasever/os/$basearch/", "centos/7.9.2009/os/$basearch/"),
            (Release::Seven, "centos/7/sclo/$basearch/sclo/", "centos/7.9.2009/sclo/$basearch/sclo/"),
            (Release::Eight, "$contentdir/$releasever/BaseOS/$basearch/os/", "8.5.2111/BaseOS/$basearch/os/"),
            (
                Release::Eight,
                "$contentdir/$stream/AppStream/$basearch/os/",
                "8-stream/AppStream/$basearch/os/",
            ),
        ] {
            let turned = turn(&text(&format!("http://mirror.centos.org/{from}")), release, VAULT).unwrap();
            assert_eq!(
                turned,
                format!(
                    "# note\n[base]\nname=Base\n#mirrorlist=http://mirrorlist.centos.org/?x\nbaseurl={VAULT}/{to}\ngpgcheck=1\n"
                )
            );
            assert_eq!(turn(&turned, release, VAULT).unwrap(), turned, "a second time changes nothing");
        }
    }

    #[test]
    fn leaves_bytes_that_are_no_text_and_line_ends_alone() {
        let text = b"# caf\xe9 \xff\r\n[a]\r\nmirrorlist=http://mirrorlist.centos.org/\n#baseurl=http://mirror.centos.org/centos/7/os/\r\nname=\xc3\xa9\xe9";
        let turned = turn_bytes(text, Release::Seven, VAULT).unwrap();
        assert_eq!(
            turned.escape_ascii().to_string(),
            b"# caf\xe9 \xff\r\n[a]\r\n#mirrorlist=http://mirrorlist.centos.org/\nbaseurl=http://vault.centos.org/centos/7.9.2009/os/\r\nname=\xc3\xa9\xe9"
                .escape_ascii()
                .to_string()
        );
    }

    #[test]
    fn leaves_alone_what_asks_elsewhere() {
        let own = "[base]\n#mirrorlist=http://mirrorlist.centos.org/?x\n#baseurl=http://mirror.centos.org/x\n\
                   baseurl=http://mirror.example.org/centos/7/os/\n";
        assert_eq!(turn(own, Release::Seven, VAULT).unwrap(), own);
    }

    #[test]
    fn says_which_section_has_no_address() {
        let text = "[extras]\nmirrorlist=http://mirrorlist.centos.org/?x\n";
        assert_eq!(turn(text, Release::Seven, VAULT), Err(NoAddress("extras".into())));
        let disabled = format!("{text}enabled = 0\n");
        assert_eq!(turn(&disabled, Release::Seven, VAULT).unwrap(), disabled);
    }
}
