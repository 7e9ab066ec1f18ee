//! Which options of which file system show in `/proc/self/mountinfo`, and how: the table.
//!
//! Taken from the functions that print them (`show_options` in the kernel's source, named at each table) and from
//! those that read them, Linux 3.10 to 6.18; where versions differ, the option only counts where it shows.

use super::options::Cure::{self, Anew, Remount, Shared};

/// How an option shows.
#[derive(Debug)]
pub(super) enum Shows {
    /// As this word.
    On(&'static str),
    /// By the absence of this word.
    Off(&'static str),
    /// As one of these words: the first is what this option wants.
    One(&'static str, &'static [&'static str]),
    /// As other options; those that end with `=` get its value.
    Same(&'static [&'static str]),
    /// As `KEY=VALUE`.
    Value(Form, Unset),
    /// As itself, but not on every kernel.
    Perhaps,
    /// Not at all.
    Never,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Text.
    Text,
    /// Text whose case does not count.
    NoCase,
    /// A number, with a unit perhaps.
    Number,
    /// A number; zero stands for this default.
    NumberOr(u64),
    /// Octal digits.
    Octal,
    /// A number that the server may have lowered.
    AtMost,
    /// A number that the kernel lowers to this one.
    Limit(u64),
    /// A size or a share of the memory, rounded up to whole pages.
    Bytes,
    /// A number; the default is one for two pages of memory.
    HalfMemory,
    /// A user or group, by name or number.
    Account,
    /// A version of NFS; 4 is any 4.x.
    NfsVersion,
    /// The part of the version of NFS after the dot.
    Minor,
    /// `tcp`, `udp6`.
    Transport,
    /// A port; the usual one shows as none.
    Port,
    /// Security flavours, of which one is taken.
    Flavours,
    /// `lookupcache=`.
    Lookups,
    /// `hidepid=`, by number or word.
    Hidepid,
    /// Algorithm and level.
    Compression,
    /// A path within the file system.
    Subvolume,
    /// A version of SMB.
    SmbVersion,
    /// Not known: text, or a number in some form.
    Any,
}

/// What it means that a key does not show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unset {
    /// It has this value.
    Is(&'static str),
    /// It is not set.
    Off,
    /// Nothing.
    Unseen,
}

/// Options that show in one way.
#[derive(Debug)]
pub(super) struct Row {
    /// `KEY` of `KEY=VALUE`, or whole options.
    pub(super) names: &'static [&'static str],
    pub(super) shows: Shows,
    pub(super) cure: Cure,
}

const fn row(names: &'static [&'static str], shows: Shows, cure: Cure) -> Row {
    Row { names, shows, cure }
}

use Form::{
    Account, AtMost, Bytes, Compression, Flavours, HalfMemory, Hidepid, Limit, Lookups, Minor, NfsVersion,
    NoCase, Number, NumberOr, Octal, Port, SmbVersion, Subvolume, Text, Transport,
};
use Shows::{Never, Off, On, One, Perhaps, Same, Value};
use Unset::{Is, Unseen};

/// The rows for a type, those that win first.
pub(super) fn rows(fstype: &str, nfs4: bool) -> impl Iterator<Item = &'static Row> {
    let (first, then): (&[Row], &[Row]) = match fstype {
        "nfs" | "nfs4" if nfs4 => (NFS4, NFS),
        "nfs" | "nfs4" => (&[], NFS),
        "ext2" | "ext3" | "ext4" => (&[], EXT4),
        "xfs" => (&[], XFS),
        "btrfs" => (&[], BTRFS),
        "tmpfs" => (&[], TMPFS),
        "proc" => (&[], PROC),
        "devpts" => (&[], DEVPTS),
        "vfat" | "msdos" | "exfat" | "ntfs3" | "ntfs" => (&[], FAT),
        "cifs" | "smb3" => (&[], CIFS),
        _ => (&[], &[]),
    };
    first.iter().chain(then).chain(MOUNT)
}

/// SELinux labels show on hosts with SELinux (`security_sb_show_options`).
static MOUNT: &[Row] =
    &[row(&["context", "fscontext", "defcontext", "rootcontext"], Value(Text, Unseen), Anew)];

/// What NFSv4 reads and drops, for locks and ACLs are parts of it, and it has no MOUNT protocol:
/// `NFS4_MOUNT_FLAGMASK` and `nfs4_validate_mount_flags` in `fs/nfs/`, nfs(5).
static NFS4: &[Row] = &[row(
    &[
        "lock",
        "nolock",
        "acl",
        "noacl",
        "local_lock",
        "mounthost",
        "mountaddr",
        "mountport",
        "mountproto",
        "mountvers",
        "namlen",
    ],
    Never,
    Anew,
)];

/// `fs/nfs/super.c`: `nfs_show_mount_options`, `nfs_show_options`; `fs/nfs/fs_context.c`. Mounts of one export share a
/// superblock (`nfs_compare_super` does not look at `timeo`, `retrans`, `fsc`), those of one server a connection.
static NFS: &[Row] = &[
    row(&["vers"], Value(NfsVersion, Unseen), Anew),
    row(&["nfsvers"], Same(&["vers="]), Anew),
    row(&["v3"], Same(&["vers=3"]), Anew),
    row(&["v4"], Same(&["vers=4"]), Anew),
    row(&["v4.0"], Same(&["vers=4.0"]), Anew),
    row(&["v4.1"], Same(&["vers=4.1"]), Anew),
    row(&["v4.2"], Same(&["vers=4.2"]), Anew),
    row(&["minorversion"], Value(Minor, Unseen), Anew),
    row(&["hard"], One("hard", &["hard", "soft", "softerr"]), Anew),
    row(&["soft"], One("soft", &["hard", "soft", "softerr"]), Anew),
    row(&["softerr"], One("softerr", &["hard", "soft", "softerr"]), Anew),
    row(&["softreval", "nosoftreval"], Perhaps, Anew),
    // mount.nfs(8) reads `bg` and its like; the kernel ignores `intr` since 2.6.25 and shows, if anything, `nointr`.
    row(&["bg", "fg", "retry", "sloppy", "intr", "nointr", "addr", "clientaddr"], Never, Anew),
    row(&["udp"], Same(&["proto=udp"]), Anew),
    row(&["tcp"], Same(&["proto=tcp"]), Anew),
    row(&["rdma"], Same(&["proto=rdma"]), Anew),
    row(&["proto"], Value(Transport, Unseen), Anew),
    row(&["port"], Value(Port, Is("0")), Anew),
    row(&["rsize", "wsize", "bsize"], Value(AtMost, Unseen), Anew),
    row(&["timeo"], Value(Limit(6000), Unseen), Shared),
    row(&["retrans"], Value(NumberOr(2), Unseen), Shared),
    row(&["nconnect"], Value(Number, Is("1")), Shared),
    row(&["max_connect"], Value(Number, Unseen), Shared),
    row(&["fsc"], Perhaps, Shared),
    row(&["nofsc"], Off("fsc"), Shared),
    row(&["xprtsec"], Value(Text, Is("none")), Shared),
    row(&["sec"], Value(Flavours, Unseen), Anew),
    row(&["actimeo"], Same(&["acregmin=", "acregmax=", "acdirmin=", "acdirmax="]), Anew),
    row(&["acregmin"], Value(Number, Is("3")), Anew),
    row(&["acregmax"], Value(Number, Is("60")), Anew),
    row(&["acdirmin"], Value(Number, Is("30")), Anew),
    row(&["acdirmax"], Value(Number, Is("60")), Anew),
    row(&["lookupcache"], Value(Lookups, Is("all")), Anew),
    row(&["local_lock"], Value(Text, Unseen), Anew),
    row(&["nolock"], On("nolock"), Anew),
    row(&["lock"], Off("nolock"), Anew),
    row(&["nocto"], On("nocto"), Anew),
    row(&["cto"], Off("nocto"), Anew),
    row(&["noac"], On("noac"), Anew),
    row(&["ac"], Off("noac"), Anew),
    row(&["nosharecache"], On("nosharecache"), Anew),
    row(&["noresvport"], On("noresvport"), Anew),
    row(&["write"], Value(Text, Is("lazy")), Anew),
    row(&["mounthost", "mountaddr", "mountport", "mountproto", "mountvers", "namlen"], Never, Anew),
];

/// `fs/ext4/super.c`: `_ext4_show_options`. What is as the superblock's defaults have it shows only in
/// `/proc/fs/ext4/DEVICE/options`.
static EXT4: &[Row] = &[
    row(&["discard"], On("discard"), Remount),
    row(&["nodiscard"], Off("discard"), Remount),
    row(&["barrier", "barrier=1"], Off("nobarrier"), Remount),
    row(&["nobarrier", "barrier=0"], On("nobarrier"), Remount),
    row(&["auto_da_alloc", "auto_da_alloc=1"], Off("noauto_da_alloc"), Remount),
    row(&["noauto_da_alloc", "auto_da_alloc=0"], On("noauto_da_alloc"), Remount),
    row(&["delalloc"], Off("nodelalloc"), Anew),
    row(&["nodelalloc"], On("nodelalloc"), Anew),
    row(&["block_validity"], Off("noblock_validity"), Remount),
    row(&["noblock_validity"], On("noblock_validity"), Remount),
    row(&["dioread_nolock", "nodioread_lock"], Off("nodioread_nolock"), Remount),
    row(&["dioread_lock", "nodioread_nolock"], On("nodioread_nolock"), Remount),
    row(&["commit"], Value(NumberOr(5), Is("5")), Remount),
    row(&["errors"], Value(Text, Is("continue")), Remount),
    row(&["data"], Value(Text, Unseen), Anew),
    row(&["data_err=abort"], On("data_err=abort"), Remount),
    row(&["data_err=ignore"], Off("data_err=abort"), Remount),
    row(&["stripe"], Value(Number, Is("0")), Remount),
    row(&["resuid", "resgid"], Value(Account, Is("0")), Remount),
    row(&["min_batch_time"], Value(Number, Is("0")), Remount),
    row(&["max_batch_time"], Value(Number, Is("15000")), Remount),
    row(&["inode_readahead_blks"], Value(Number, Is("32")), Remount),
    row(&["max_dir_size_kb"], Value(Number, Is("0")), Remount),
    row(&["init_itable"], Value(Number, Is("10")), Remount),
    row(&["noinit_itable"], On("noinit_itable"), Remount),
    row(&["minixdf", "grpid", "nouid32", "debug"], Perhaps, Remount),
    row(&["bsddf"], Off("minixdf"), Remount),
    row(&["bsdgroups"], Same(&["grpid"]), Remount),
    row(&["nogrpid", "sysvgroups"], Off("grpid"), Remount),
    row(&["noload"], Same(&["norecovery"]), Anew),
    row(
        &[
            "jqfmt",
            "usrjquota",
            "grpjquota",
            "sb",
            "norecovery",
            "dax",
            "nombcache",
            "journal_checksum",
            "nojournal_checksum",
            "journal_async_commit",
        ],
        Perhaps,
        Anew,
    ),
    // Read for old fstabs, and ignored.
    row(
        &[
            "bh",
            "nobh",
            "oldalloc",
            "orlov",
            "reservation",
            "noreservation",
            "mblk_io_submit",
            "nomblk_io_submit",
        ],
        Never,
        Remount,
    ),
];

/// `fs/xfs/xfs_super.c`: `xfs_fs_show_options`. A remount silently ignores all but `inode32` and `inode64`.
static XFS: &[Row] = &[
    row(&["inode64"], One("inode64", &["inode64", "inode32"]), Remount),
    row(&["inode32"], One("inode32", &["inode64", "inode32"]), Remount),
    row(&["discard"], On("discard"), Anew),
    row(&["nodiscard"], Off("discard"), Anew),
    row(&["largeio"], On("largeio"), Anew),
    row(&["nolargeio"], Off("largeio"), Anew),
    row(&["wsync"], On("wsync"), Anew),
    row(&["swalloc"], On("swalloc"), Anew),
    row(&["nouuid"], On("nouuid"), Anew),
    row(&["norecovery"], On("norecovery"), Anew),
    row(&["filestreams"], On("filestreams"), Anew),
    row(&["allocsize"], Value(Number, Unset::Off), Anew),
    row(&["logbufs", "logbsize", "sunit", "swidth"], Value(Number, Unseen), Anew),
    row(&["grpid", "bsdgroups"], On("grpid"), Anew),
    row(&["nogrpid", "sysvgroups"], Off("grpid"), Anew),
    row(&["quota", "uquota", "usrquota"], On("usrquota"), Anew),
    row(&["gquota", "grpquota"], On("grpquota"), Anew),
    row(&["pquota", "prjquota"], On("prjquota"), Anew),
    row(&["noquota"], On("noquota"), Anew),
];

/// `fs/btrfs/super.c`: `btrfs_show_options`.
static BTRFS: &[Row] = &[
    row(&["subvol"], Value(Subvolume, Unseen), Anew),
    row(&["subvolid"], Value(Number, Unseen), Anew),
    row(&["compress"], Value(Compression, Is("none")), Remount),
    row(&["compress-force"], Value(Compression, Is("none")), Remount),
    row(&["commit"], Value(NumberOr(30), Is("30")), Remount),
    row(&["discard=async"], On("discard=async"), Remount),
    row(&["discard", "discard=sync"], On("discard"), Remount),
    row(&["nodiscard"], Off("discard"), Remount),
    row(&["autodefrag"], On("autodefrag"), Remount),
    row(&["noautodefrag"], Off("autodefrag"), Remount),
    row(&["noacl"], On("noacl"), Remount),
    row(&["acl"], Off("noacl"), Remount),
    row(&["nobarrier"], On("nobarrier"), Remount),
    row(&["barrier"], Off("nobarrier"), Remount),
    row(&["nodatacow"], On("nodatacow"), Remount),
    row(&["datacow"], Off("nodatacow"), Remount),
    row(&["datasum"], Off("nodatasum"), Remount),
    row(&["flushoncommit"], On("flushoncommit"), Remount),
    row(&["noflushoncommit"], Off("flushoncommit"), Remount),
    row(&["notreelog"], On("notreelog"), Remount),
    row(&["treelog"], Off("notreelog"), Remount),
    row(&["ssd_spread"], On("ssd_spread"), Remount),
    row(&["nossd"], On("nossd"), Remount),
    row(&["user_subvol_rm_allowed"], On("user_subvol_rm_allowed"), Remount),
    row(&["metadata_ratio"], Value(Number, Is("0")), Remount),
    // `ssd` is found out, a copy-on-write flag implies others, caches are rebuilt.
    row(&["ssd", "nodatasum", "space_cache", "nospace_cache", "max_inline", "thread_pool"], Perhaps, Anew),
];

/// `mm/shmem.c`: `shmem_show_options`; a remount reads owner and mode, and ignores them.
static TMPFS: &[Row] = &[
    row(&["size"], Value(Bytes, Is("50%")), Remount),
    row(&["nr_inodes"], Value(HalfMemory, Is("half")), Remount),
    row(&["mode"], Value(Octal, Is("1777")), Anew),
    row(&["uid", "gid"], Value(Account, Is("0")), Anew),
    row(&["huge"], Value(Text, Is("never")), Remount),
    row(&["mpol"], Value(Text, Is("default")), Remount),
    row(&["noswap"], On("noswap"), Remount),
    row(&["inode64"], One("inode64", &["inode64", "inode32"]), Anew),
    row(&["inode32"], One("inode32", &["inode64", "inode32"]), Anew),
];

/// `fs/proc/root.c`: `proc_show_options`; `hidepid` shows as a word since Linux 5.8.
static PROC: &[Row] = &[
    row(&["hidepid"], Value(Hidepid, Is("0")), Remount),
    row(&["gid"], Value(Account, Is("0")), Remount),
    row(&["subset"], Value(Text, Unset::Off), Remount),
];

/// `fs/devpts/inode.c`: `devpts_show_options`.
static DEVPTS: &[Row] = &[
    row(&["uid", "gid"], Value(Account, Unset::Off), Remount),
    row(&["mode"], Value(Octal, Is("600")), Remount),
    row(&["ptmxmode"], Value(Octal, Is("000")), Remount),
    row(&["newinstance"], Never, Anew),
];

/// `fs/fat/inode.c`: `fat_show_options`, `fs/exfat/super.c`, `fs/ntfs3/super.c`; all but the flags is read once.
static FAT: &[Row] = &[
    row(&["umask"], Same(&["fmask=", "dmask="]), Anew),
    row(&["fmask", "dmask"], Value(Octal, Unseen), Anew),
    row(&["uid", "gid"], Value(Account, Is("0")), Anew),
    row(&["iocharset", "shortname"], Value(NoCase, Unseen), Anew),
    row(&["errors"], Value(Text, Unseen), Anew),
    row(&["discard"], On("discard"), Anew),
    row(&["flush"], On("flush"), Anew),
    row(&["quiet", "showexec", "sys_immutable"], Perhaps, Anew),
];

/// `fs/smb/client/cifsfs.c`: `cifs_show_options`; mount.cifs(8) keeps the credentials to itself.
static CIFS: &[Row] = &[
    row(&["credentials", "cred", "password", "pass", "guest", "ip", "addr", "servern", "port"], Never, Anew),
    row(&["vers"], Value(SmbVersion, Unseen), Anew),
    row(&["username", "domain", "iocharset"], Value(NoCase, Unseen), Anew),
    row(&["user"], Same(&["username="]), Anew),
    row(&["dom", "workgroup"], Same(&["domain="]), Anew),
    row(&["uid", "gid"], Value(Account, Unseen), Anew),
    row(&["file_mode", "dir_mode"], Value(Octal, Unseen), Anew),
    row(&["rsize", "wsize", "bsize"], Value(AtMost, Unseen), Anew),
    row(&["sec"], Value(Text, Unseen), Anew),
];
