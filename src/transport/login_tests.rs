//! What a login leaves behind does not reach our shells: the programs of a channel against hostile logins.

use std::time::Duration;

use super::frames::tests::{ask, open_by, part, shells};
use crate::probe::Answer;
use crate::transport::Part;

/// What a hardened, neglected or malicious start file may do before the login shell runs a command. `$0` is a
/// folder of its own.
const HOSTILE: &str = r#"
readonly TMOUT=1; export TMOUT
cat >"$0/startup" <<'EOF'
echo from a start file
touch "$HOME/../started"
EOF
export BASH_ENV="$0/startup" ENV="$0/startup" CDPATH=/usr GREP_OPTIONS=--color=always
export GREP_COLOR='1;31' LS_COLORS='di=1' CLICOLOR_FORCE=1 LC_ALL=de_DE.UTF-8 LANGUAGE=de TZ=Asia/Tokyo
export HOME="$0/home" USER=nobody LOGNAME=nobody SHELL=/bin/false PS4='+$(touch "$0/traced")' IFS=ab DOCKER_HOST=tcp://x
export http_proxy='http://proxy.example:3128/?a=b c' no_proxy= SSH_AUTH_SOCK=/tmp/agent LD_LIBRARY_PATH="$0" PERL5OPT=-d
export hw_d=1 hw_a=x HW_RUN_ID=other n=1 s=2 MALLOC_PERTURB_=7 MALLOC_CHECK_=3 TMPDIR="$0/none" BLOCKSIZE=1M DEBUGINFOD_URLS=x
hostile() { builtin echo "a function of the login" >&2; return 9; }
for name in id env sudo read printf cd echo kill timeout head cat command test '[' umask ulimit sleep; do
    eval "$name() { hostile; }" && export -f "$name"
done 2>/dev/null
export -f hostile
shopt -s expand_aliases; alias eval=false sh=false env=false id=false
umask 0777 2>/dev/null
builtin umask 0777
builtin ulimit -S -f 1
builtin ulimit -S -t 20
builtin ulimit -S -s 1024
builtin ulimit -S -n 40
trap 'echo trapped' EXIT DEBUG
trap '' PIPE TERM INT HUP QUIT USR1 ALRM
exec 4</dev/null 6>/dev/null 8</dev/null 9>/dev/null
builtin cd "$0/gone" && /bin/rmdir "$0/gone"
PATH=/nowhere
builtin set -o noclobber -o noglob -o allexport
export SHELLOPTS BASHOPTS POSIXLY_CORRECT=1
builtin set -o xtrace -o nounset
builtin eval "$1"
"#;

async fn hostile(shell: &str) -> (tempfile::TempDir, super::channel::Channel) {
    let folder = tempfile::tempdir().unwrap();
    for name in ["gone", "home"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    let at = folder.path().to_str().unwrap().to_owned();
    let channel = open_by("/usr/bin/bash", shell, |line| vec!["-c".into(), HOSTILE.into(), at, line]).await;
    (folder, channel)
}

fn text(answer: &Answer) -> String {
    assert_eq!((answer.code, answer.error_text().as_ref()), (0, ""), "{}", answer.text());
    answer.text().into_owned()
}

#[tokio::test]
async fn a_hostile_login_changes_nothing() {
    let (_folder, shells) = shells();
    for shell in shells {
        let (folder, mut channel) = hostile(&shell).await;
        let fine = "set -C; set +C; echo x >/dev/null; set -- /e?c; echo $1; false; a=1; sh -c 'echo [$a]'; \
                    echo abc | { read -r x; echo $x; }; yes | head -n 1; date +%Z; grep -c root /etc/passwd; pwd; umask; \
                    type id kill";
        let scripts = [
            "env",
            "set -o",
            "for l in f t s n; do ulimit -S -$l; done",
            "ls -l /proc/self/fd/ | sed -n 's:.* \\([4-9]\\) -> /dev/null:\\1:p'",
            "sed -n 's:^SigIgn.*\\(.......\\)$:\\1:p' /proc/self/status",
            fine,
            "sleep 2.2; echo slept; read x || echo end",
        ];
        let bounded = |part: Part| Part { timeout: Some(Duration::from_secs(15)), ..part };
        let mut parts: Vec<Part> = scripts.iter().map(|s| part(s)).collect();
        parts.extend(scripts.iter().map(|s| bounded(part(s))));
        let answers = ask(&mut channel, parts).await.unwrap_or_else(|e| panic!("{shell}: {e}"));
        for answers in answers.chunks(scripts.len()) {
            let mut environment: Vec<String> = text(&answers[0]).lines().map(str::to_owned).collect();
            // What a shell sets by itself.
            environment.retain(|v| !["_=", "PWD=", "SHLVL="].iter().any(|own| v.starts_with(own)));
            environment.sort_unstable();
            let account = |command: &str| {
                let out = std::process::Command::new("sh").args(["-c", command]).output().unwrap();
                String::from_utf8(out.stdout).unwrap().trim_end().to_owned()
            };
            let user = account("id -un");
            let wanted = [
                format!("HOME={}", account(&format!("echo ~{user}"))),
                "HW_RUN_ID=run-1".into(),
                "LANG=C".into(),
                "LC_ALL=C".into(),
                format!("LOGNAME={user}"),
                "PATH=/usr/sbin:/usr/bin:/sbin:/bin".into(),
                format!("SHELL={shell}"),
                "SSH_AUTH_SOCK=/tmp/agent".into(),
                format!("USER={user}"),
                "http_proxy=http://proxy.example:3128/?a=b c".into(),
                "no_proxy=".into(),
            ];
            assert_eq!(environment, wanted, "{shell}");
            for option in ["noclobber", "xtrace", "noglob", "allexport", "errexit", "nounset"] {
                let line = text(&answers[1]).lines().find(|l| l.starts_with(option)).map(str::to_owned);
                assert!(line.as_ref().is_some_and(|l| l.ends_with("off")), "{shell}: {option}: {line:?}");
            }
            assert_eq!(text(&answers[2]), "unlimited\nunlimited\n8192\n1024", "{shell}");
            assert_eq!(text(&answers[3]), "", "{shell}: files of the login are open");
            assert_eq!(text(&answers[4]).trim_start_matches('0'), "", "{shell}: signals are ignored");
            let said = text(&answers[5]);
            let lines: Vec<&str> = said.lines().collect();
            assert_eq!(lines[..8], ["/etc", "[]", "abc", "y", "UTC", "1", "/", "0022"], "{shell}");
            assert!(!said.contains("function"), "{shell}: {said}");
            assert_eq!(text(&answers[6]), "slept\nend", "{shell}");
        }
        // Long enough for a reader that minds TMOUT.
        tokio::time::sleep(Duration::from_millis(1300)).await;
        assert_eq!(text(&ask(&mut channel, vec![part("echo still there")]).await.unwrap()[0]), "still there");
        for trace in ["traced", "started"] {
            assert!(!folder.path().join(trace).exists(), "{shell}: {trace}");
        }
    }
}

/// `env` of CentOS 7 and 8 cannot put ignored signals right.
#[tokio::test]
async fn ignored_signals_hold_nobody_up_with_an_old_env() {
    let (_folder, shells) = shells();
    for shell in shells {
        let old = "trap '' PIPE TERM INT HUP; eval \"$1\"";
        let mut channel = open_by("/usr/bin/bash", &shell, |line| {
            vec![
                "-c".into(),
                old.into(),
                "login".into(),
                line.replace("--default-signal", "--no-such-option"),
            ]
        })
        .await;
        let payload = Part { payload: Some(crate::shell::Payload(b"abc"[..].into())), ..part("cat <&3") };
        let bounded = Part { timeout: Some(Duration::from_secs(9)), ..part("echo bounded") };
        let parts =
            vec![part("sed -n 's/^SigIgn:.*0*\\(....\\)$/\\1/p' /proc/self/status"), payload, bounded];
        let answers = ask(&mut channel, parts.clone()).await.unwrap();
        // The fixture does what it is for: `timeout` puts the others right, not SIGPIPE.
        assert_eq!(text(&answers[0]), "1000", "{shell}");
        // Some shells write a word about the harder kill.
        assert_eq!((answers[1].code, answers[1].text().as_ref()), (0, "abc"), "{shell}");
        assert_eq!(text(&answers[2]), "bounded", "{shell}");
        let again = ask(&mut channel, parts).await.unwrap();
        assert_eq!(again.len(), 3, "{shell}");
    }
}
