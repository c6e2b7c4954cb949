//! What may be taken from whom: nobody locks themselves out, and an installation keeps an administrator who can log in.
//!
//! Absent: root, who acts through the admin socket and may still not take the last administrator away by mistake; another
//! one is made first.

use crate::access::Role;
use crate::names::UserName;
use crate::refusal::Code;
use crate::refusal::Refusal;

/// A user, as these decisions look at one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The name.
    pub name: UserName,
    /// The role.
    pub role: Role,
    /// How many keys they have.
    pub keys: usize,
}

/// What is about to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// One of the user's keys.
    Key,
    /// The administrator's role.
    Admin,
    /// The user as a whole.
    User,
}

/// Whether `by` (`None`: root) may take this from `whom`.
pub fn may_lose(all: &[Standing], whom: &UserName, loss: Loss, by: Option<&UserName>) -> Result<(), Refusal> {
    let Some(target) = all.iter().find(|s| s.name == *whom) else { return Ok(()) };
    let own = by == Some(whom);
    if own && loss == Loss::User {
        return Err(Refusal::new(Code::Yourself, "you cannot remove yourself").next("another administrator can"));
    }
    if own && loss == Loss::Key && target.keys == 1 {
        return Err(Refusal::new(Code::LastKey, "that is your last key, and the one you use now")
            .next("keys:add another one first"));
    }
    let can_log_in = |s: &Standing| s.role == Role::Admin && s.keys > 0;
    let gone = match loss {
        Loss::Key => target.keys == 1,
        Loss::Admin | Loss::User => true,
    };
    if gone && can_log_in(target) && !all.iter().any(|s| s.name != *whom && can_log_in(s)) {
        return Err(Refusal::new(Code::LastAdmin, format!("{whom} is the last administrator with a key"))
            .why("without one nobody could manage this server over SSH")
            .next("users:set ANOTHER --admin")
            .next("users:add ANOTHER --admin < KEY.pub"));
    }
    Ok(())
}

/// The key that a beginning of a fingerprint names: `SHA256:` may be left out, and so may the end where one key is left.
pub fn pick<'a>(fingerprints: &[&'a str], typed: &str) -> Result<Option<&'a str>, Refusal> {
    let bare = |text: &'a str| text.strip_prefix("SHA256:").unwrap_or(text);
    let wanted = typed.strip_prefix("SHA256:").unwrap_or(typed);
    if let Some(whole) = fingerprints.iter().find(|f| bare(f) == wanted) {
        return Ok(Some(whole));
    }
    if wanted.len() < 4 {
        return Ok(None);
    }
    let mut near = fingerprints.iter().filter(|f| bare(f).starts_with(wanted));
    match (near.next(), near.next()) {
        (Some(one), None) => Ok(Some(one)),
        (Some(_), Some(_)) => Err(Refusal::new(Code::ManyKeys, "more than one key begins like that").next("keys:list")),
        (None, _) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(all: &[(&str, Role, usize)], whom: &str, loss: Loss, by: Option<&str>, want: &str) {
        let name = |n: &str| -> UserName { n.parse().unwrap() };
        let all: Vec<Standing> =
            all.iter().map(|(n, role, keys)| Standing { name: name(n), role: *role, keys: *keys }).collect();
        let by = by.map(name);
        let got = may_lose(&all, &name(whom), loss, by.as_ref())
            .err()
            .map_or_else(|| "ok".to_owned(), |no| no.code.to_string());
        assert_eq!(got, want, "{whom} {loss:?} by {by:?}");
    }

    #[test]
    fn nobody_is_locked_out() {
        use Role::{Admin, Developer};
        let one = [("ada", Admin, 1), ("bob", Developer, 1)];
        check(&one, "ada", Loss::Key, Some("ada"), "last-key");
        check(&one, "ada", Loss::Key, None, "last-admin");
        check(&one, "ada", Loss::User, Some("ada"), "yourself");
        check(&one, "ada", Loss::User, None, "last-admin");
        check(&one, "ada", Loss::Admin, Some("ada"), "last-admin");
        check(&one, "bob", Loss::Key, Some("ada"), "ok");
        check(&one, "bob", Loss::Key, Some("bob"), "last-key");
        check(&one, "bob", Loss::User, Some("ada"), "ok");
        let two = [("ada", Admin, 2), ("bob", Admin, 1)];
        check(&two, "ada", Loss::Key, Some("ada"), "ok");
        check(&two, "ada", Loss::Admin, Some("ada"), "ok");
        check(&two, "bob", Loss::User, Some("ada"), "ok");
        let keyless = [("ada", Admin, 1), ("bob", Admin, 0)];
        check(&keyless, "ada", Loss::Admin, Some("ada"), "last-admin");
        check(&keyless, "bob", Loss::Admin, Some("ada"), "ok");
        check(&keyless, "nobody", Loss::User, None, "ok");
    }

    #[test]
    fn keys_are_named_by_their_beginning() {
        let keys = ["SHA256:abcdef", "SHA256:abcxyz", "SHA256:abc"];
        assert_eq!(pick(&keys, "SHA256:abcdef"), Ok(Some(keys[0])));
        assert_eq!(pick(&keys, "abcd"), Ok(Some(keys[0])));
        assert_eq!(pick(&keys, "abc"), Ok(Some(keys[2])));
        assert_eq!(pick(&keys, "a"), Ok(None));
        assert_eq!(pick(&keys, ""), Ok(None));
        assert_eq!(pick(&keys, "zzzz"), Ok(None));
        assert_eq!(pick(&["SHA256:abcde1", "SHA256:abcde2"], "SHA256:abcde").unwrap_err().code, Code::ManyKeys);
    }
}
