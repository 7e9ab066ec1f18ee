//! Options on lines of mountinfo, as the kernels of many hosts show them.

use super::*;
use crate::step::mount::mounts::parse_mountinfo;

const NFS4: &str = r"218 29 0:52 / /mnt/a rw,noatime shared:114 master:3 - nfs4 192.168.158.143:/mnt/nfs_file rw,vers=4.2,rsize=262144,wsize=262144,namlen=255,hard,proto=tcp,timeo=600,retrans=2,sec=sys,clientaddr=192.168.158.145,local_lock=none,addr=192.168.158.143";
const NFS3: &str = r"1 2 0:52 / /mnt/a rw,relatime - nfs 10.0.0.1:/x rw,vers=3,rsize=65536,wsize=65536,namlen=255,acregmin=1800,acregmax=1800,acdirmin=1800,acdirmax=1800,soft,nolock,noacl,proto=udp,port=2050,timeo=11,retrans=3,sec=null,mountaddr=10.0.0.1,mountvers=3,mountport=20048,mountproto=udp,fsc,lookupcache=pos,local_lock=all,addr=10.0.0.1";

fn judge(line: &str, facts: &Facts, bind: bool, options: &str) -> Vec<(String, Judged)> {
    compare(&parse_mountinfo(line).unwrap(), facts, bind, &split(options))
}

/// `held`, `unseen`, or what was found and how that is changed.
fn words(judged: &Judged) -> String {
    match judged {
        Judged::Held => "held".to_owned(),
        Judged::Unseen => "unseen".to_owned(),
        Judged::Differs { found, cure } => format!("{found} {cure:?}"),
    }
}

/// Each line of `cases` is options, and what is said of each.
fn check_with(line: &str, facts: &Facts, cases: &[(&str, &str)]) {
    for (options, says) in cases {
        let said: Vec<String> = judge(line, facts, false, options).iter().map(|(_, j)| words(j)).collect();
        assert_eq!(said.join("; "), *says, "{options} on {line}");
    }
}

fn check(line: &str, cases: &[(&str, &str)]) {
    check_with(line, &Facts::default(), cases);
}

#[test]
fn nfs_4_has_its_locks_and_acls_built_in() {
    check(
        NFS4,
        &[
            ("nolock", "unseen"),
            ("lock", "unseen"),
            ("noacl", "unseen"),
            ("local_lock=all", "unseen"),
            ("mountport=20048", "unseen"),
            ("nolock,intr,tcp", "unseen; unseen; held"),
            ("vers=4", "held"),
            ("nfsvers=4.2", "held"),
            ("v4", "held"),
            ("v4.1", "vers=4.2 Anew"),
            ("vers=4.1", "vers=4.2 Anew"),
            ("vers=3", "vers=4.2 Anew"),
            ("vers=4,minorversion=2", "held; held"),
            ("minorversion=1", "vers=4.2 Anew"),
            ("vers=4,minorversion=1", "vers=4.2 Anew; vers=4.2 Anew"),
        ],
    );
    let old = "1 2 0:52 / /m rw - nfs4 a:/x rw,vers=4,minorversion=1,hard";
    check(old, &[("vers=4.1", "held"), ("vers=4", "held"), ("vers=4.2", "vers=4 Anew")]);
    for (wanted, now, says) in [
        ("vers=4.0", "4", "held"),
        ("vers=4.0", "4.0", "held"),
        ("vers=4", "4.0", "held"),
        ("vers=4", "3", "vers=3 Anew"),
        ("vers=4", "40", "vers=40 Anew"),
    ] {
        check(&format!("1 2 0:52 / /m rw - nfs4 a:/x rw,vers={now},hard"), &[(wanted, says)]);
    }
}

#[test]
fn nfs_folds_some_options_into_others() {
    let default = "acregmin=3,acregmax=60,acdirmin=30,acdirmax=60 Anew";
    check(
        NFS4,
        &[
            ("actimeo=1800", default),
            ("actimeo=60", "acregmin=3,acdirmin=30 Anew"),
            ("acregmin=3,acdirmax=60", "held; held"),
            // The later one wins.
            ("actimeo=60,acregmin=3,acdirmin=30", "held; held; held"),
            ("noac", "ac Anew"),
            ("noac,actimeo=9", "ac Anew; unseen"),
            ("lazytime,dirsync", "unseen; unseen"),
            ("retrans=0,async", "held; held"),
            ("ac", "held"),
            ("lookupcache=all", "held"),
            ("lookupcache=positive", "lookupcache=all Anew"),
            ("rsize=1048576", "unseen"),
            ("rsize=4096", "rsize=262144 Anew"),
            ("rsize=100", "unseen"),
            ("soft", "hard Anew"),
            ("softerr", "hard Anew"),
            ("hard", "held"),
            ("udp", "proto=tcp Anew"),
            ("proto=tcp6", "proto=tcp Anew"),
            ("timeo=50", "timeo=600 Shared"),
            ("retrans=2", "held"),
            ("nconnect=4", "nconnect=1 Shared"),
            ("nconnect=1", "held"),
            ("sec=krb5:sys", "held"),
            ("sec=krb5", "sec=sys Anew"),
            ("fsc", "unseen"),
            ("port=2049", "held"),
            ("port=2050", "unseen"),
            ("bg,retry=3,addr=1.2.3.4", "unseen; unseen; unseen"),
            ("nosharecache", "sharecache Anew"),
            ("cto", "held"),
            ("nocto", "cto Anew"),
            ("noatime", "held"),
            ("nodev", "dev Flag"),
        ],
    );
    check(
        NFS3,
        &[
            ("nolock", "held"),
            ("lock", "nolock Anew"),
            ("noacl", "held"),
            ("acl", "noacl Anew"),
            ("local_lock=all", "held"),
            ("local_lock=none", "local_lock=all Anew"),
            ("actimeo=1800", "held"),
            ("actimeo=600", "acregmin=1800,acregmax=1800,acdirmin=1800,acdirmax=1800 Anew"),
            ("lookupcache=positive", "held"),
            ("lookupcache=pos", "held"),
            ("lookupcache=none", "lookupcache=pos Anew"),
            ("sec=none", "held"),
            ("soft", "held"),
            ("fsc", "held"),
            ("nofsc", "fsc Shared"),
            ("port=2050", "held"),
            ("port=2049", "port=2050 Anew"),
            ("mountvers=3", "unseen"),
            ("retrans=3", "held"),
            ("async", "held"),
        ],
    );
}

#[test]
fn noac_brings_others_along() {
    let line = "1 2 0:28 / /x rw,relatime - nfs4 a:/srv/m rw,sync,vers=4.2,rsize=262144,wsize=262144,namlen=255,acregmin=0,acregmax=0,acdirmin=0,acdirmax=0,hard,noac,nordirplus,nosharecache,noresvport,proto=tcp,timeo=6000,retrans=0,sec=sys,clientaddr=10.0.0.2,local_lock=none,addr=10.0.0.1";
    check(
        line,
        &[
            ("noac,actimeo=30,async", "held; unseen; unseen"),
            ("noac,sync,noresvport,nosharecache,nordirplus", "held; held; held; held; held"),
            ("timeo=9000,retrans=0", "held; held"),
        ],
    );
}

#[test]
fn ext4_shows_all_of_it_in_a_file_of_its_own() {
    let line = "1 2 7:0 / /e rw,noatime - ext4 /dev/loop0 rw";
    check(
        line,
        &[
            ("noatime,discard,commit=60", "held; nodiscard Remount; commit=5 Remount"),
            ("errors=remount-ro", "errors=continue Remount"),
            ("commit=0", "held"),
            ("nobarrier", "barrier Remount"),
            ("barrier=0", "barrier Remount"),
            ("barrier=1,nodiscard", "held; held"),
            ("nodelalloc", "delalloc Anew"),
            ("data=journal", "unseen"),
            ("acl", "unseen"),
            ("usrquota", "unseen"),
            ("nobh", "unseen"),
        ],
    );
    let all = "rw,bsddf,nogrpid,block_validity,nodiscard,delalloc,nojournal_checksum,nobarrier,user_xattr,acl,noquota,resuid=0,resgid=0,errors=remount-ro,commit=60,stripe=0,data=ordered,inode_readahead_blks=32";
    let facts = Facts { all: Some(split(all)), ..Facts::default() };
    check_with(
        line,
        &facts,
        &[
            ("errors=remount-ro,commit=60,acl", "held; held; held"),
            ("errors=panic", "errors=remount-ro Remount"),
            ("discard", "nodiscard Remount"),
            ("barrier", "nobarrier Remount"),
            ("data=writeback", "data=ordered Anew"),
            ("noacl", "acl Remount"),
            ("quota", "noquota Remount"),
            ("commit=0", "commit=60 Remount"),
        ],
    );
}

#[test]
fn values_count_and_not_their_spelling() {
    let facts = Facts {
        memory: Some(24_683_656),
        accounts: vec![("uid=redis".into(), "999".into())],
        ..Facts::default()
    };
    let line = "1 2 0:9 / /t rw,relatime - tmpfs t rw,size=65536k,nr_inodes=10240,mode=755,uid=999";
    check_with(
        line,
        &facts,
        &[
            ("size=64m", "held"),
            ("size=65536K", "held"),
            ("size=67108864", "held"),
            ("size=67108000", "held"),
            ("size=0x4000000", "held"),
            ("size=32m", "size=65536k Remount"),
            ("size=50%", "size=65536k Remount"),
            ("nr_inodes=10k", "held"),
            ("nr_inodes=10000", "nr_inodes=10240 Remount"),
            ("mode=0755", "held"),
            ("mode=1777", "mode=755 Anew"),
            ("uid=redis", "held"),
            ("uid=nobody", "unseen"),
            ("uid=0", "uid=999 Anew"),
            ("gid=0", "held"),
            ("huge=never", "held"),
        ],
    );
    let share = "1 2 0:9 / /t rw,relatime - tmpfs t rw,size=2468368k";
    check_with(
        share,
        &facts,
        &[
            ("size=10%", "held"),
            ("size=11%", "size=2468368k Remount"),
            ("nr_inodes=3085457", "held"),
            ("mode=1777", "held"),
        ],
    );
    check_with(
        "1 2 0:9 / /t rw - tmpfs t rw",
        &facts,
        &[("size=50%", "held"), ("size=1m", "size=50% Remount")],
    );
    check("1 2 0:9 / /t rw - tmpfs t rw", &[("size=1m", "unseen")]);
    let proc = "1 2 0:9 / /proc rw,relatime - proc proc rw,gid=8,hidepid=invisible";
    check(proc, &[("hidepid=2", "held"), ("hidepid=1", "hidepid=invisible Remount"), ("gid=8", "held")]);
    check("1 2 0:9 / /p rw - proc proc rw", &[("hidepid=0", "held"), ("hidepid=2", "hidepid=0 Remount")]);
    let fat = "1 2 8:1 / /boot/efi rw,relatime - vfat /dev/sda1 rw,fmask=0077,dmask=0077,codepage=437,iocharset=ascii,shortname=winnt,errors=remount-ro";
    check(
        fat,
        &[("umask=077", "held"), ("umask=0022", "fmask=0077,dmask=0077 Anew"), ("codepage=437", "held")],
    );
}

#[test]
fn each_type_has_its_own_words() {
    let xfs = "1 2 7:1 / /x rw,relatime - xfs /dev/loop1 rw,discard,inode64,allocsize=1024k,logbufs=8,logbsize=32k,noquota";
    check(
        xfs,
        &[
            ("discard,inode64,noquota", "held; held; held"),
            ("inode32", "inode64 Remount"),
            ("allocsize=1m", "held"),
            ("logbsize=256k", "logbsize=32k Anew"),
            ("uquota", "nousrquota Anew"),
            ("nodiscard", "discard Anew"),
            ("nobarrier", "unseen"),
        ],
    );
    let btrfs = "1 2 0:41 / /b rw,relatime - btrfs /dev/loop2 rw,compress=zstd:3,ssd,discard=async,noacl,space_cache=v2,subvolid=5,subvol=/";
    check(
        btrfs,
        &[
            ("compress=zstd,subvol=/", "held; held"),
            ("compress=zstd:9", "compress=zstd:3 Remount"),
            ("compress", "compress=zstd:3 Remount"),
            ("discard=async", "held"),
            ("discard", "discard=async Remount"),
            ("nodiscard", "discard=async Remount"),
            ("subvol=@home", "subvol=/ Anew"),
            ("commit=30,space_cache=v2,ssd", "held; held; held"),
            ("autodefrag", "noautodefrag Remount"),
        ],
    );
    let cifs = "1 2 0:41 / /c rw,relatime - cifs //srv/x rw,vers=3.1.1,cache=strict,username=Joe,uid=1000,forceuid,gid=0,noforcegid,file_mode=0644,dir_mode=0755,soft,serverino,rsize=4194304";
    check(
        cifs,
        &[
            ("vers=3,credentials=/root/c,username=joe", "held; unseen; held"),
            ("vers=2.1", "vers=3.1.1 Anew"),
            ("file_mode=644,noserverino", "held; serverino Anew"),
        ],
    );
    // No table knows it: only what shows counts.
    let fuse = "1 2 0:41 / /f rw,nosuid - fuse.sshfs joe@srv: rw,user_id=0,group_id=0,allow_other";
    check(fuse, &[("allow_other,reconnect,IdentityFile=/k", "held; unseen; unseen"), ("user_id=00", "held")]);
}

#[test]
fn flags_of_the_mount_are_the_same_for_all_types() {
    let line = "1 2 8:1 / /x rw,nosuid,noexec,relatime - ext4 /dev/sda1 rw,lazytime";
    check(
        line,
        &[
            ("defaults,_netdev,nofail,noauto,x-systemd.automount", "unseen; unseen; unseen; unseen; unseen"),
            ("nosuid,exec", "held; noexec Flag"),
            ("relatime,strictatime", "held; relatime Flag"),
            ("atime,diratime,lazytime", "held; held; held"),
            ("noatime,nodiratime", "relatime Flag; diratime Flag"),
            ("norelatime", "unseen"),
            ("ro", "rw Flag"),
            ("rw,sync", "held; async Remount"),
            // As mount(8) reads it: later words take back what `user` implies.
            ("user", "dev Flag"),
            ("user,dev", "held; held"),
            ("user,dev,exec", "held; held; noexec Flag"),
        ],
    );
    let readonly = "1 2 8:1 / /x rw,relatime - ext4 /dev/sda1 ro";
    check(readonly, &[("ro", "held"), ("rw", "ro Remount")]);
    // A bind mount has only flags of its own.
    let said = judge(
        "1 2 8:1 /y /x ro,relatime - ext4 /dev/sda1 rw",
        &Facts::default(),
        true,
        "bind,ro,nodev,discard,sync",
    );
    let said: Vec<String> = said.iter().map(|(_, j)| words(j)).collect();
    assert_eq!(said, ["unseen", "held", "dev Flag", "unseen", "unseen"]);
}

#[test]
fn commas_in_quotes_do_not_end_an_option() {
    let context = r#"context="system_u:object_r:nfs_t:s0:c1,c2""#;
    let line = format!("1 2 0:5 / /x rw - nfs4 a:/x rw,vers=4.2,{context},hard");
    check(
        &line,
        &[(format!("hard,{context}").as_str(), "held; held"), ("context=u", &format!("{context} Anew"))],
    );
    assert_eq!(
        for_mount(&split("user,exec,nofail,X-mount.mkdir,_netdev,bg")),
        ["noexec", "nosuid", "nodev", "exec", "bg"]
    );
}
