//! Who the program runs as, read from the image's own user database. Pure: the texts of its files in, ids out.
//!
//! By hand, because a static binary cannot load the C library's name services, and the image's are not ours to run.
//! The rules are those that Docker has for `USER`, so an image means here what it means there.

/// Docker's limit, and the kernel's for everything that is not an error value.
const ID_MAX: u32 = i32::MAX as u32;

#[derive(Debug, PartialEq, Eq)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    /// All groups, the main one first.
    pub groups: Vec<u32>,
    pub home: String,
}

/// Finds `UID`, `UID:GID`, `NAME` or `NAME:GROUP` in the texts of `/etc/passwd` and `/etc/group`.
pub fn resolve(spec: &str, passwd: &str, group: &str) -> Result<User, String> {
    let (name, group_name) = match spec.split_once(':') {
        Some((name, group_name)) => (name, Some(group_name).filter(|it| !it.is_empty())),
        None => (spec, None),
    };
    let account = accounts(passwd).find(|it| it.name == name).or_else(|| {
        let uid = number(name)?;
        accounts(passwd).find(|it| it.uid == uid)
    });
    let (uid, main_gid, home) = match (&account, number(name)) {
        (Some(it), _) => (it.uid, it.gid, it.home),
        (None, Some(uid)) => (uid, 0, "/"),
        (None, None) => return Err(format!("no user {name:?} in the image's /etc/passwd")),
    };
    let (gid, mut others) = match group_name {
        Some(wanted) => (group_id(wanted, group)?, Vec::new()),
        None => (main_gid, account.map(|it| memberships(it.name, group)).unwrap_or_default()),
    };
    others.retain(|it| *it != gid);
    let groups = std::iter::once(gid).chain(others).collect();
    Ok(User { uid, gid, groups, home: if home.is_empty() { "/".into() } else { home.into() } })
}

struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

/// Lines that make no sense are skipped, as the C library does.
fn accounts(passwd: &str) -> impl Iterator<Item = Account<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        let (uid, gid) = (number(fields.next()?)?, number(fields.next()?)?);
        Some(Account { name, uid, gid, home: fields.nth(1).unwrap_or("/") })
    })
}

/// Name, id and members of each group.
fn groups(group: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _password, id) = (fields.next()?, fields.next()?, number(fields.next()?)?);
        Some((name, id, fields.next().unwrap_or_default()))
    })
}

fn group_id(wanted: &str, group: &str) -> Result<u32, String> {
    groups(group)
        .find(|(name, _, _)| *name == wanted)
        .map(|(_, id, _)| id)
        .or_else(|| number(wanted))
        .ok_or_else(|| format!("no group {wanted:?} in the image's /etc/group"))
}

fn memberships(user: &str, group: &str) -> Vec<u32> {
    groups(group).filter(|(_, _, members)| members.split(',').any(|it| it == user)).map(|(_, id, _)| id).collect()
}

/// Digits only: no sign, no blanks.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    text.parse().ok().filter(|id| digits && *id <= ID_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nbad line\napp:x:1000:1001:app:/app:/bin/bash\n\
        70:x:71:71::/odd:\nminimal:x:5:5\n";
    const GROUP: &str = "root:x:0:\nvideo:x:44:someone,app\napp:x:1001:\nweb:x:33:app,other\nbad\n";

    fn check(spec: &str, expected: Result<(u32, &[u32], &str), &str>) {
        let found = resolve(spec, PASSWD, GROUP);
        let found = found.as_ref().map(|it| (it.uid, it.groups.as_slice(), it.home.as_str())).map_err(String::as_str);
        assert_eq!(found, expected, "{spec}");
    }

    #[test]
    fn names_and_numbers() {
        check("app", Ok((1000, &[1001, 44, 33], "/app")));
        check("1000", Ok((1000, &[1001, 44, 33], "/app")));
        check("app:web", Ok((1000, &[33], "/app")));
        check("app:7", Ok((1000, &[7], "/app")));
        check("1000:1000", Ok((1000, &[1000], "/app")));
        check("app:", Ok((1000, &[1001, 44, 33], "/app")));
        check("0", Ok((0, &[0], "/root")));
        check("4242", Ok((4242, &[0], "/")));
        check("4242:4343", Ok((4242, &[4343], "/")));
        check("minimal", Ok((5, &[5], "/")));
    }

    #[test]
    fn a_name_of_digits_wins_over_the_number() {
        check("70", Ok((71, &[71], "/odd")));
    }

    #[test]
    fn mistakes() {
        check("nobody", Err("no user \"nobody\" in the image's /etc/passwd"));
        check("", Err("no user \"\" in the image's /etc/passwd"));
        check("-1", Err("no user \"-1\" in the image's /etc/passwd"));
        check("+1", Err("no user \"+1\" in the image's /etc/passwd"));
        check("4294967295", Err("no user \"4294967295\" in the image's /etc/passwd"));
        check("app:nogroup", Err("no group \"nogroup\" in the image's /etc/group"));
    }
}
