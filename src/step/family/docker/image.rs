//! References of images: the many ways to write the same one.

/// A reference, taken apart and completed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Registry and path (`docker.io/library/redis`).
    pub repository: String,
    /// Tag; `None` only where there is a digest and no tag.
    pub tag: Option<String>,
    /// Digest, `sha256:...`.
    pub digest: Option<String>,
}

impl Reference {
    /// Takes a reference apart: `redis` is `docker.io/library/redis:latest`.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => {
                let hex = digest.strip_prefix("sha256:")?;
                // Only small letters are a digest to the engine.
                let digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
                (hex.len() == 64 && hex.chars().all(digit)).then_some(())?;
                (name, Some(digest.to_owned()))
            }
            None => (text, None),
        };
        // A colon after the last slash starts the tag; before it, it is the registry's port.
        let slash = name.rfind('/').map_or(0, |n| n + 1);
        let (path, tag) = match name[slash..].find(':') {
            Some(colon) => (&name[..slash + colon], Some(&name[slash + colon + 1..])),
            None => (name, None),
        };
        if let Some(tag) = tag {
            let good = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
            (!tag.is_empty() && tag.len() <= 128 && tag.chars().all(good)).then_some(())?;
        }
        let (registry, path) = match path.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
            _ => ("docker.io", path),
        };
        // The name of a host: large letters are small ones.
        let registry = registry.to_ascii_lowercase();
        let registry = if registry == "index.docker.io" { "docker.io" } else { &registry };
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.-".contains(c);
        let parts = || path.split('/');
        parts().all(|p| !p.is_empty() && p.chars().all(good)).then_some(())?;
        (!parts().any(|p| p.starts_with(['.', '-']) || p.ends_with(['.', '-']))).then_some(())?;
        let library = if registry == "docker.io" && !path.contains('/') { "library/" } else { "" };
        let tag = tag.or_else(|| digest.is_none().then_some("latest")).map(str::to_owned);
        Some(Self { repository: format!("{registry}/{library}{path}"), tag, digest })
    }

    /// Whether what it names may change from day to day.
    pub fn floats(&self) -> bool {
        self.digest.is_none() && self.tag.as_deref() == Some("latest")
    }

    /// Whether an image that has `name` among its tags or digests is the one meant: by digest where there is
    /// one, for the engine does not keep a tag beside it.
    pub fn is_met_by(&self, name: &str) -> bool {
        let Some(other) = Self::parse(name) else { return false };
        self.repository == other.repository
            && match (&self.digest, &other.digest) {
                (Some(digest), Some(other)) => digest == other,
                (Some(_), None) => false,
                (None, _) => self.tag == other.tag && other.digest.is_none(),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn completes_what_people_leave_out() {
        for (text, repository, tag) in [
            ("redis", "docker.io/library/redis", Some("latest")),
            ("redis:7", "docker.io/library/redis", Some("7")),
            ("docker.io/library/redis:7", "docker.io/library/redis", Some("7")),
            ("portainer/agent:2.21.4", "docker.io/portainer/agent", Some("2.21.4")),
            ("192.168.158.1:5000/a/b", "192.168.158.1:5000/a/b", Some("latest")),
            ("localhost/x:y", "localhost/x", Some("y")),
            ("Registry.Example.COM/a:B", "registry.example.com/a", Some("B")),
        ] {
            let r = Reference::parse(text).unwrap();
            assert_eq!(
                (r.repository.as_str(), r.tag.as_deref(), r.digest),
                (repository, tag, None),
                "{text}"
            );
        }
        let r = Reference::parse(&format!("redis@{DIGEST}")).unwrap();
        assert_eq!((r.tag, r.digest.as_deref()), (None, Some(DIGEST)));
        let large = format!("redis@{}", DIGEST.to_uppercase().replace("SHA", "sha"));
        assert_eq!(Reference::parse(&large), None);
        for text in ["", "Redis", "redis:", "a//b", "/a", "redis@sha256:12", "re dis", "redis:a b", "-x"] {
            assert_eq!(Reference::parse(text), None, "{text}");
        }
    }

    #[test]
    fn meets_the_names_of_an_image() {
        let meets = |a: &str, b: &str| Reference::parse(a).unwrap().is_met_by(b);
        assert!(meets("docker.io/library/redis:7", "redis:7"));
        assert!(meets(&format!("redis:7@{DIGEST}"), &format!("redis@{DIGEST}")));
        assert!(!meets("redis:7", "redis:6") && !meets("redis:7", "x/redis:7"));
        assert!(
            !meets("redis", &format!("redis@{DIGEST}")) && !meets(&format!("redis@{DIGEST}"), "redis:latest")
        );
        assert!(!meets("redis", "<none>:<none>"));
    }
}
