//! What Ansible's words are here: for those who write them out of habit.

/// Where a word is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// At the top of a playbook.
    Play,
    /// A key of a task.
    Task,
    /// A module, the name of its collection left out.
    Module,
    /// A variable of an inventory, a fact or a function in a template.
    Variable,
    /// A filter in a template.
    Filter,
}

/// A word of Ansible.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Word {
    /// Where it is written.
    pub at: At,
    /// As Ansible writes it.
    pub theirs: &'static str,
    /// What to write here instead, to go on after "Ansible's `WORD`: ".
    pub ours: &'static str,
}

macro_rules! words {
    ($($at:ident: $($theirs:literal)|+ => $ours:literal;)*) => {
        /// All words, by where they are written.
        pub(crate) const WORDS: &[Word] =
            &[$($(Word { at: At::$at, theirs: $theirs, ours: $ours },)+)*];
    };
}

words! {
    Play: "tasks" | "pre_tasks" | "post_tasks" => "each task is a `[[step]]` here, in the order in which they are to run";
    Play: "handlers" => "a handler is a `[[step]]` with an `id` and `handler = true`, in the same playbook";
    Play: "roles" | "import_playbook" => "make it a playbook of its own; several run in one command, or a folder of them in the order of their names";
    Play: "gather_facts" => "leave it out: facts are asked for where a template uses them";
    Play: "vars_files" | "vars_prompt" => "variables are written in `[vars]`, in the inventory, or given with `--var`; secrets are read by `{ env = ... }`, `{ file = ... }` or `{ command = [...] }`";
    Play: "become_user" | "become_method" => "write the user as `become = \"USER\"`; `become = true` is root. It is always sudo";
    Play: "remote_user" => "write `user = \"...\"` in the inventory";
    Play: "connection" => "write `connection = \"local\"` at the host in the inventory";
    Play: "any_errors_fatal" => "write `on_failure = \"stop_all\"` at the steps that are to stop everything";
    Play: "max_fail_percentage" => "write `max_failures = \"30%\"`";
    Play: "strategy" => "hosts do not wait for one another within a playbook; `barrier = false` lets them go on to the next one, too";
    Play: "environment" => "`command` and `script` have `env`";
    Play: "ignore_errors" => "write `on_failure = \"continue\"` at the steps";
    Play: "name" => "write `title = \"...\"`";
    Play: "collections" | "module_defaults" | "order" | "force_handlers" | "gather_subset" => "leave it out: there is no such thing here";
    Task: "loop" | "with_items" | "with_list" | "with_dict" | "with_fileglob" | "with_sequence" | "with_nested" | "with_together" | "with_subelements" => "write `each = [...]`, a list or a table; its turn is `{{ item }}` in the step";
    Task: "loop_control" => "leave it out: the turn of `each` is always `{{ item }}`";
    Task: "ignore_errors" | "ignore_unreachable" => "write `on_failure = \"continue\"`";
    Task: "delegate_to" | "delegate_facts" | "local_action" => "write a step of its own with `hosts = \"...\"` for the host that is to do it; the machine hostwright runs on is a host with `connection = \"local\"`";
    Task: "run_once" => "write `hosts = \"GROUP[0]\"`: the first host of the group";
    Task: "become_user" | "become_method" | "become_flags" => "write the user as `become = \"USER\"`; `become = true` is root. It is always sudo";
    Task: "remote_user" => "write `user = \"...\"` in the inventory";
    Task: "delay" => "write `retry_delay = \"5s\"`";
    Task: "changed_when" => "a step is changed when its check found a difference. A `command` says by `creates`, `removes`, `unless` or `only_if` when there is nothing to do; a `query` never changes anything";
    Task: "failed_when" => "write `ok_codes = [0, 1]` in `command`, or an `assert` step after it";
    Task: "no_log" => "leave it out: secrets are masked wherever they appear; `diff = false` in `file` hides the content";
    Task: "listen" => "`notify` names the handler's `id`; it may name several";
    Task: "block" => "write what they have in common (`when`, `become`, `tags`) in a `[[step]]`, and the steps below it as `[[step.step]]`";
    Task: "rescue" => "write `on_failure = \"continue\"` at the step that may fail, and look at `steps.ID.failed` in the next";
    Task: "args" => "write them as keys of the kind's own table: `command = { run = \"...\", chdir = \"/srv\" }`";
    Task: "environment" => "write `env` in the table of `command` or `script`";
    Task: "vars" => "variables stand in the playbook's `[vars]` or in the inventory";
    Task: "async" | "poll" => "write `timeout = \"10m\"`: a step may take as long as that";
    Task: "throttle" => "write `serial = 1` in the playbook";
    Task: "any_errors_fatal" => "write `on_failure = \"stop_all\"`";
    Task: "check_mode" | "diff" | "module_defaults" | "connection" | "debugger" | "collections" | "action" => "leave it out: there is no such thing here";
    Module: "yum" | "apt" | "dnf" | "dnf5" | "zypper" | "apk" | "pacman" | "pip" => "write `package = [\"NAME\"]`, with whichever of dnf, yum and apt the host has";
    Module: "yum_repository" | "apt_repository" | "apt_key" | "rpm_key" | "deb822_repository" => "write `repository = { id = ..., baseurl = ... }`, with the key as `gpgkey` or `key_file`";
    Module: "copy" => "write `file = { path = ..., content = ... }`, or `source = ...` for a file beside the playbook";
    Module: "template" => "write `file = { path = ..., template = \"FILE\" }`";
    Module: "lineinfile" | "ini_file" | "replace" => "write `line = { path = ..., match = ..., line = ... }`";
    Module: "blockinfile" => "write `block = { path = ..., content = ... }`";
    Module: "systemd" | "systemd_service" | "sysvinit" => "write `service = { name = ..., running = true, enabled = true }`";
    Module: "shell" | "raw" | "win_shell" | "win_command" | "expect" => "write `command = { run = \"...\", creates = \"...\" }`; a string goes through the shell";
    Module: "get_url" => "write `download = { url = ..., path = ..., sha256 = ... }`";
    Module: "unarchive" | "archive" | "git" | "subversion" | "make" | "npm" => "there is no kind for it yet: write `command = { run = \"...\", creates = \"PATH\" }`";
    Module: "uri" => "to wait for an answer write `wait = { http = \"...\" }`, to look at one `query = \"curl ...\"`";
    Module: "stat" | "find" | "slurp" | "getent" | "service_facts" | "package_facts" => "ask with `query = \"...\"` and an `id`, and use `steps.ID.stdout` and `steps.ID.code` in later steps";
    Module: "setup" | "gather_facts" => "leave it out: facts are asked for where a template uses them";
    Module: "set_fact" | "include_vars" => "write a variable in `[vars]`; it is a template that may use others, facts and `steps.ID`";
    Module: "fail" => "write `assert = { that = \"...\", message = \"...\" }`";
    Module: "wait_for" | "wait_for_connection" | "pause" => "write `wait = { port = ... }`, or `path`, `http`, `command`";
    Module: "seboolean" => "write `selinux_boolean = { ... }`";
    Module: "firewalld" | "iptables" | "ufw" => "write `firewall = { ... }`, which needs firewalld";
    Module: "docker_swarm" => "write `swarm_init` for the first manager and `swarm_join` for all others";
    Module: "docker_swarm_service" => "write `docker_service = { ... }`";
    Module: "docker_compose" | "docker_compose_v2" => "write `docker_stack = { ... }` in a swarm, or a `docker_container` for each";
    Module: "docker_login" => "write `command = { run = \"docker login ...\", stdin = ..., creates = \"/root/.docker/config.json\" }`";
    Module: "known_hosts" => "write `known_host = { host = ..., key = \"ssh-ed25519 ...\" }`";
    Module: "locale_gen" | "alternatives" | "filesystem" | "parted" | "lvg" | "lvol" | "selinux" | "modprobe" | "acl" => "there is no kind for it yet: write `command = { run = \"...\", unless = \"...\" }`";
    Module: "import_tasks" | "include_tasks" | "include_role" | "import_role" | "include" => "make it a playbook of its own; several run in one command, or a folder of them in the order of their names";
    Module: "add_host" | "group_by" => "hosts and groups are those of the inventory; `when` chooses by facts";
    Module: "meta" | "ping" => "leave it out: handlers run at the end of their playbook, and hosts are reached before anything is done";
    Module: "ansible" => "the kinds have names without a collection";
    Variable: "ansible_host" | "ansible_ssh_host" => "`address`";
    Variable: "ansible_port" | "ansible_ssh_port" => "`port`";
    Variable: "ansible_user" | "ansible_ssh_user" => "`user`";
    Variable: "ansible_become" | "ansible_become_user" => "`become`";
    Variable: "ansible_connection" => "`connection`";
    Variable: "ansible_ssh_private_key_file" => "`ssh_options = [\"IdentityFile=...\"]`";
    Variable: "ansible_ssh_common_args" | "ansible_ssh_extra_args" => "`ssh_options = [\"Key=value\"]`";
    Variable: "ansible_password" | "ansible_ssh_pass" | "ansible_become_password" | "ansible_become_pass" => "`--ask-become-password`; for logging in `--ask-password`, or better keys and agents as with ssh";
    Variable: "ansible_python_interpreter" => "nothing: no Python is needed";
    Variable: "inventory_hostname" | "inventory_hostname_short" => "`host.name`";
    Variable: "group_names" => "`host.groups`";
    Variable: "hostvars" => "`hosts[\"NAME\"].vars`";
    Variable: "play_hosts" | "ansible_play_hosts" | "ansible_play_batch" => "`groups.all` or another group";
    Variable: "ansible_facts" => "`facts`";
    Variable: "ansible_distribution" => "`facts.os.id`";
    Variable: "ansible_os_family" => "`facts.os.family`";
    Variable: "ansible_distribution_major_version" => "`facts.os.major`";
    Variable: "ansible_distribution_version" => "`facts.os.version`";
    Variable: "ansible_hostname" | "ansible_nodename" | "ansible_fqdn" => "`facts.hostname`";
    Variable: "ansible_default_ipv4" | "ansible_all_ipv4_addresses" => "`facts.addresses`, or `host.address`";
    Variable: "ansible_architecture" => "`facts.arch`";
    Variable: "ansible_kernel" => "`facts.kernel`";
    Variable: "ansible_memtotal_mb" => "`facts.memory_mb`";
    Variable: "ansible_processor_vcpus" | "ansible_processor_count" => "`facts.cpus`";
    Variable: "ansible_pkg_mgr" => "`facts.package_manager`";
    Variable: "ansible_date_time" => "`facts.time`";
    Variable: "ansible_check_mode" | "ansible_version" => "nothing: a plan never acts";
    Variable: "lookup" | "query" => "a secret or value from outside is a variable: `{ env = \"NAME\" }`, `{ file = \"...\" }` or `{ command = [...] }`";
    Filter: "to_nice_json" => "`to_json(indent=2)`";
    Filter: "ipaddr" | "ansible.utils.ipaddr" => "`network`, for `address | network(24)`";
    Filter: "regex_replace" => "`replace`, without expressions";
    Filter: "regex_search" | "regex_findall" => "`'text' in value`, or `split`";
    Filter: "mandatory" => "nothing: what is not defined is an error";
    Filter: "ternary" => "`a if condition else b`";
    Filter: "hash" | "checksum" => "`sha256`";
    Filter: "dict2items" => "`items`";
    Filter: "to_yaml" | "to_nice_yaml" | "from_yaml" | "from_json" | "combine" | "password_hash" => "there is no such filter; a `{ command = [...] }` of a variable may do it";
    Variable: "omit" => "`none`: it leaves the key out";
}

/// What `theirs` is here, if it is a word of Ansible. Modules may have the name of their collection before them.
pub(super) fn word(at: At, theirs: &str) -> Option<String> {
    let bare = if at == At::Module { theirs.rsplit('.').next().unwrap_or(theirs) } else { theirs };
    let found = WORDS.iter().find(|w| w.at == at && w.theirs == bare);
    if let Some(word) = found {
        return Some(format!("Ansible's `{theirs}`: {}", word.ours));
    }
    (at == At::Module && bare != theirs && crate::step::kind(bare).is_some())
        .then(|| format!("the kind is `{bare}`, without the name of a collection"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_stands_twice_or_is_one_of_ours() {
        for (n, word) in WORDS.iter().enumerate() {
            let twice = WORDS[..n].iter().any(|w| w.at == word.at && w.theirs == word.theirs);
            assert!(!twice, "{word:?}");
            if word.at == At::Module {
                assert!(crate::step::kind(word.theirs).is_none(), "{word:?}");
            }
        }
    }

    #[test]
    fn what_is_recommended_is_there() {
        for word in WORDS.iter().filter(|w| w.at == At::Module) {
            // ``write `KIND = ...` ``
            let Some((_, rest)) = word.ours.split_once("write `") else { continue };
            let kind = rest.split([' ', '`']).next().unwrap();
            assert!(crate::step::kind(kind).is_some(), "{word:?}");
        }
    }
}
