//! The documents in an order in which each has what it needs from those before it, and what it needs beyond that.

/// A document, and what the lab makes of its examples.
pub struct Document {
    /// The kind of step that it is about, which is its name.
    pub kind: &'static str,
    /// Where the examples without `hosts` of their own are applied.
    pub hosts: &'static str,
    /// Steps before the examples, for what these presuppose.
    pub first: &'static str,
    /// What is written in another way in the lab: old, new, why.
    pub rewritten: &'static [(&'static str, &'static str, &'static str)],
    /// Examples that a second plan has something to do for, and why.
    pub again: &'static [(&'static str, &'static str)],
    /// Examples that are applied after all others and not beside them, and why.
    pub apart: &'static [(&'static str, &'static str)],
    /// Examples that the lab cannot apply, and why.
    pub only_planned: &'static [(&'static str, &'static str)],
}

/// The document of a kind whose examples need nothing.
const fn document(kind: &'static str, hosts: &'static str) -> Document {
    Document { kind, hosts, first: "", rewritten: &[], again: &[], apart: &[], only_planned: &[] }
}

const SERVER: &str = "nfs-01";
const MANAGER: &str = "manager-01";
const SWARM: &str = "swarm";

/// All documents.
pub const ALL: &[Document] = &[
    document("hostname", SERVER),
    document("timezone", SERVER),
    Document {
        only_planned: &[("Docker's repository", "there is no way out of the lab")],
        ..document("repository", SERVER)
    },
    Document {
        rewritten: &[("=26.1.*", "=20.10.*", "the lab's repository has another series")],
        ..document("package", "all")
    },
    document("group", SERVER),
    document("user", SERVER),
    Document {
        first: r#"
[[step]]
name = "A home for a user of the system"
directory = { path = "/home/redis", owner = "redis", mode = "0700" }
"#,
        ..document("authorized_key", SERVER)
    },
    document("known_host", SERVER),
    document("assert", SERVER),
    document("debug", SERVER),
    document("directory", SERVER),
    document("link", SERVER),
    document("line", SERVER),
    document("block", SERVER),
    Document {
        first: r#"
[[step]]
name = "User of the application"
user = { name = "app", system = true }

[[step]]
name = "Folder of its configuration"
directory = "/etc/app"
"#,
        ..document("file", SERVER)
    },
    document("restore", SERVER),
    Document {
        first: r#"
[[step]]
name = "cron"
package = "cronie"
"#,
        ..document("cron", SERVER)
    },
    Document {
        first: r#"
[[step]]
name = "A file in the place of the second disk, which the hosts of the lab do not have"
command = { run = "truncate -s 64M /root/disk && ln -s /root/disk /dev/vdb", creates = "/dev/vdb" }

[[step]]
name = "Archive of the application"
command = { run = "mkdir -p pack/app && tar -czf app.tgz -C pack app", chdir = "/root", creates = "/root/app.tgz" }

[[step]]
name = "A daemon that reads its configuration again"
[step.command]
creates = "/run/app.pid"
run = '''
echo 'trap : HUP; echo $$ >/run/app.pid; while :; do sleep 1; done' >/root/app
systemd-run -q --unit=app /bin/sh /root/app
until [ -s /run/app.pid ]; do sleep 0.2; done
'''
"#,
        ..document("command", SERVER)
    },
    document("script", SERVER),
    Document {
        first: r#"
[[step]]
name = "Folder of certificates"
directory = "/etc/pki/tls/certs"

[[step]]
name = "A certificate"
file = { path = "/etc/pki/tls/certs/host.pem", content = "a certificate\n" }
"#,
        ..document("fetch", SERVER)
    },
    Document {
        only_planned: &[("The tool for backups", "there is no way out of the lab")],
        ..document("download", SERVER)
    },
    document("sysctl", SERVER),
    document("selinux_boolean", SERVER),
    document("reboot", SERVER),
    Document {
        first: r##"
[[step]]
name = "Folder of exports"
directory = "/etc/exports.d"

[[step]]
name = "Exports by hand"
file = { path = "/etc/exports.d/by-hand.exports", content = "# none yet\n" }
notify = ["exports"]
"##,
        ..document("service", SERVER)
    },
    document("systemd_unit", SERVER),
    Document {
        first: r#"
[[step]]
name = "firewalld"
package = "firewalld"

[[step]]
name = "firewalld runs"
service = { name = "firewalld", running = true, enabled = true }
"#,
        ..document("firewall", SERVER)
    },
    Document {
        first: r#"
[[step]]
name = "Folder of the backups"
directory = "/srv/backup"
"#,
        ..document("nfs_export", SERVER)
    },
    document("mount", SWARM),
    Document {
        rewritten: &[("2G", "64M", "a host of the lab has little space")],
        apart: &[("2 GB to swap to", "an example of `line` takes swap out of /etc/fstab")],
        ..document("swap", SERVER)
    },
    Document {
        rewritten: &[
            ("{ version = \"26.1\",", "{ repository = \"none\", version = \"20.10\",", NO_DOCKER),
            ("base_url = \"http://mirror.example/docker-ce/linux\"", "repository = \"none\"", NO_DOCKER),
        ],
        ..document("docker_engine", SWARM)
    },
    document("docker_image", SWARM),
    document("docker_container", MANAGER),
    document("wait", MANAGER),
    Document {
        again: &[("New join tokens", "`always = true`: it is a deed")],
        ..document("swarm_init", MANAGER)
    },
    document("swarm_join", MANAGER),
    document("query", MANAGER),
    document("docker_network", MANAGER),
    document("docker_config", MANAGER),
    document("docker_secret", MANAGER),
    document("docker_volume", SWARM),
    Document {
        first: r#"
[[step]]
name = "Both nodes have the share"
hosts = "swarm"
swarm_node = { manager = "manager-01", labels = { storage = "nfs" } }
"#,
        ..document("docker_service", MANAGER)
    },
    Document {
        rewritten: &[("nginx:1.27.3", "redis:7.0.15", "the lab's registry has no other image")],
        ..document("docker_stack", MANAGER)
    },
    Document { again: &[("Drill", "it runs at every apply")], ..document("failover_drill", MANAGER) },
    Document {
        apart: &[("Out of the swarm", "it ends what the other example sets")],
        ..document("swarm_node", MANAGER)
    },
];

const NO_DOCKER: &str = "the engine comes from the lab's own repository, which is all that can be reached";
