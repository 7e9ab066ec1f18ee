//! What `sudo` says when it does not let a user through, and what to do about it. Pure.

use super::TransportError;
use super::frames;

/// Reads from what was printed before the shell came up whether `sudo` was the reason that it did not. `password`:
/// one was known.
pub(super) fn refusal(stderr: &str, user: &str, greeting: &str, password: bool) -> Option<TransportError> {
    let said = stderr.lines().map(str::trim).filter(|line| !line.is_empty() && !line.contains(greeting));
    let said: Vec<&str> = said.collect();
    let line = |needle: &str| said.iter().find(|line| line.contains(needle)).copied();
    let error = |message: String, hint: &str| {
        Some(TransportError::Privilege { message, hint: Some(hint.to_owned()), stays: false })
    };
    if frames::lacks_sudo(stderr, greeting) {
        return error(
            format!("cannot become {user}: sudo is not installed on the host"),
            "install sudo there, or log in as that user",
        );
    }
    if let Some(said) = line("must have a tty") {
        return error(
            format!("cannot become {user}: {said}"),
            "add `Defaults:LOGIN_USER !requiretty` to the host's sudoers (visudo)",
        );
    }
    if let Some(said) = line("not in the sudoers file")
        .or_else(|| line("may not run sudo"))
        .or_else(|| line("is not allowed to execute"))
        .or_else(|| line("is not allowed to run sudo"))
        .or_else(|| line("I'm afraid I can't do that"))
    {
        return error(
            format!("cannot become {user}: {said}"),
            "let the login user run /bin/sh through sudo on the host, or log in as another user",
        );
    }
    if let Some(said) = line("is expired, reset your password")
        .or_else(|| line("password has expired"))
        .or_else(|| line("password expired"))
        .or_else(|| line("required to change your password"))
    {
        return error(
            format!("cannot become {user}: sudo wants a new password, the old one has expired ({said})"),
            "log in to the host and change it with `passwd`",
        );
    }
    if let Some(said) = line("Account expired").or_else(|| line("account validation failure")) {
        return error(
            format!("cannot become {user}: {said}"),
            "the account has expired or is locked: see `chage -l USER` and `passwd -S USER` on the host",
        );
    }
    // sudo, and sudo-rs (src/common/error.rs).
    if line("unknown user").is_some() || line("user '").is_some_and(|said| said.ends_with("not found")) {
        return error(
            format!("cannot become {user}: the host knows no such user"),
            "create the user in an earlier step",
        );
    }
    let wrong = [
        "Sorry, try again",
        "Authentication failed, try again",
        "incorrect password attempt",
        "incorrect authentication attempt",
        "no password was provided",
    ];
    if wrong.iter().any(|needle| line(needle).is_some()) {
        return Some(wrong_password(user));
    }
    if line("a password is required").is_some()
        || line("a terminal is required").is_some()
        || line("no tty present and no askpass").is_some()
        || line("interactive authentication is required").is_some()
    {
        return if password {
            Some(wrong_password(user))
        } else {
            error(
                format!("cannot become {user}: sudo wants a password"),
                "give it with --become-password-file FILE, let it be asked for with -K, \
                 or allow NOPASSWD for the login user in the host's sudoers",
            )
        };
    }
    let said = said.iter().find(|line| line.starts_with("sudo:"))?;
    error(format!("cannot become {user}: {said}"), "try `sudo -l` on the host")
}

/// `sudo` asked a second time.
pub(super) fn wrong_password(user: &str) -> TransportError {
    TransportError::Privilege {
        message: format!("cannot become {user}: sudo does not accept the password"),
        hint: Some("check the password given with --become-password-file or -K".into()),
        stays: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(stderr: &str) -> String {
        match refusal(stderr, "root", "TOKEN", false) {
            Some(TransportError::Privilege { message, hint: Some(_), .. }) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn knows_what_sudo_says() {
        let cases = [
            ("sudo: a password is required\n", "wants a password"),
            ("sudo: no tty present and no askpass program specified\n", "wants a password"),
            ("sudo: sorry, you must have a tty to run sudo\n", "must have a tty"),
            (
                "bob is not in the sudoers file.  This incident will be reported.\n",
                "bob is not in the sudoers file",
            ),
            (
                "Sorry, user bob is not allowed to execute '/bin/sh -c x' as root on h.\n",
                "is not allowed to execute",
            ),
            ("Sorry, user bob may not run sudo on h.\n", "may not run sudo"),
            ("sudo: unknown user: nobodyy\n", "knows no such user"),
            ("sudo: user 'nobodyy' not found\n", "knows no such user"),
            ("Sorry, try again.\nsudo: no password was provided\n", "does not accept the password"),
            ("sudo: 3 incorrect password attempts\n", "does not accept the password"),
            ("TOKEN nosudo\n", "sudo is not installed"),
            (
                "sudo: Account or password is expired, reset your password and try again\nsudo: unable to change expired password: Authentication token manipulation error\nsudo: a password is required\n",
                "sudo wants a new password",
            ),
            (
                "You are required to change your password immediately (password expired).\nsudo: PAM account management error\n",
                "sudo wants a new password",
            ),
            (
                "sudo: account validation failure, is your account locked?\nsudo: a password is required\n",
                "is your account locked",
            ),
            ("sudo: I'm sorry bob. I'm afraid I can't do that\n", "I'm afraid I can't do that"),
            ("sudo: interactive authentication is required\n", "wants a password"),
            (
                "sudo: Authentication failed, try again.\nsudo: Maximum 3 incorrect authentication attempts\n",
                "does not accept the password",
            ),
            ("sudo: /etc/sudo.conf is owned by uid 5, should be 0\n", "is owned by uid 5"),
        ];
        for (said, expected) in cases {
            let message = message(said);
            assert!(message.starts_with("cannot become root: ") && message.contains(expected), "{message}");
        }
        assert!(refusal("bash: /bin/sh: Permission denied\n", "root", "TOKEN", false).is_none());
    }
}
