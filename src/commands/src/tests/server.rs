//! The server's own.

use super::shop::Shop;
use expect_test::expect;

#[tokio::test]
async fn help_and_version() {
    let shop = Shop::open().await;
    shop.check(
        &[
            "root$ help version",
            "root$ help nope",
            "root$ version",
            "root$ version --json",
            "root$ nope",
            "root$ apps:lst",
            "root$ apps:create",
        ],
        expect![[r#"
            root$ help version
            usage: version [--format json]

            Show the versions of Hoist and its engine

              --format text|json  How to answer; --json for short

            examples:
              version

            also: --version
            root$ help nope
            2|  !     there is no command nope
            2|  !     next: help
            exit 1
            root$ version
            hoist 0.1.0 (installation test, Docker 0)
            root$ version --json
            {"docker":"0","hoist":"0.1.0","install":"test"}
            root$ nope
            2|  !     there is no command nope
            2|  !     next: help
            exit 1
            root$ apps:lst
            2|  !     there is no command apps:lst
            2|  !     did you mean apps:list, apps:set?
            2|  !     next: help
            exit 1
            root$ apps:create
            2|  !     which app? Name it as the first argument
            2|  !     usage: apps:create APP
            2|  !     next: apps:create blog
            2|  !       or: apps:list
            exit 1
        "#]],
    )
    .await;
}

#[tokio::test]
async fn registries() {
    let shop = Shop::staffed().await;
    shop.check(
        &[
            "ann$ registry:list",
            "ann$ registry:login r.example.com me < secret",
            "ann$ registry:login r.example.com me",
            "ann$ registry:login http://x/y me < secret",
            "ann$ registry:allow open.example.com",
            "ann$ registry:list",
            "ann$ registry:list --json",
            "ann$ registry:logout r.example.com",
            "ann$ registry:logout r.example.com",
            "bob$ registry:list",
        ],
        expect![[r#"
            ann$ registry:list
            2| No logins. registry:login HOST USER
            ann$ registry:login r.example.com me < secret
            Builds log in to r.example.com from now on. Whether it takes the password shows at the next pull
            ann$ registry:login r.example.com me
            2|  !     no password came on standard input
            2|  !     next: registry:login r.example.com me < FILE
            exit 1
            ann$ registry:login http://x/y me < secret
            2|  !     http://x/y is not a registry's host
            2|  !     it is what an image's name begins with, without https:// and without a path
            2|  !     next: registry:login registry.example.com USER
            exit 1
            ann$ registry:allow open.example.com
            Builds reach open.example.com from now on, without a login
            ann$ registry:list
            HOST              USER  SINCE
            open.example.com        YYYY-MM-DD hh:mm:ss
            r.example.com     me    YYYY-MM-DD hh:mm:ss
            ann$ registry:list --json
            [{"host":"open.example.com","since":"<time>","user":""},{"host":"r.example.com","since":"<time>","user":"me"}]
            ann$ registry:logout r.example.com
            Forgot the login to r.example.com. Images that were pulled stay
            ann$ registry:logout r.example.com
            2|  !     there is no login to r.example.com
            2|  !     next: registry:list
            exit 1
            bob$ registry:list
            2|  !     only administrators may do this
            2|  !     next: ask ann (an administrator)
            exit 1
        "#]],
    )
    .await;
}

#[tokio::test]
async fn events_are_kept() {
    let shop = Shop::staffed().await;
    shop.check(
        &[
            "bob$ events blog",
            "bob$ events blog --json",
            "bob$ events",
            "ann$ events -n 2",
            "push blog 1",
            "bob$ events blog --type deploy-live,release-cut,command",
            "bob$ events blog --type deploy-live,app-created --json",
            "bob$ events blog --user ana",
            "ann$ events --type user-added",
            "bob$ events blog --type deploys",
            "ann$ events --since never",
            "eve$ events blog",
        ],
        expect![[r#"
            bob$ events blog
            WHEN                 WHO  KEY  FROM   APP   EXIT  WHAT
            YYYY-MM-DD hh:mm:ss  -                blog        Created blog
            YYYY-MM-DD hh:mm:ss  bob  bob  local  blog  0     apps:create blog
            bob$ events blog --json
            [{"actor":"bob","app":"blog","at":"<time>","exit_code":0,"key":"SHA256:7uZpbnrDR+alD67ANvSZwGpZSjNBRi8xdK4KUHaT6wE","key_name":"bob","kind":"command","last":null,"line":"events","origin":"local","repeats":1,"verb":"events"},{"app":"blog","at":"<time>","kind":"app-created","name":"blog","seq":7},{"actor":"bob","app":"blog","at":"<time>","exit_code":0,"key":"SHA256:7uZpbnrDR+alD67ANvSZwGpZSjNBRi8xdK4KUHaT6wE","key_name":"bob","kind":"command","last":null,"line":"apps:create blog","origin":"local","repeats":1,"verb":"apps:create"}]
            bob$ events
            2|  !     name an app; all events are for administrators
            2|  !     next: events APP
            2|  !       or: apps:list
            exit 1
            ann$ events -n 2
            WHEN                 WHO  KEY  FROM   APP   EXIT  WHAT
            YYYY-MM-DD hh:mm:ss  bob  bob  local        1     events
            YYYY-MM-DD hh:mm:ss  bob  bob  local  blog  0     events
            bob$ events blog --type deploy-live,release-cut,command
            WHEN                 WHO  KEY  FROM   APP   EXIT  WHAT
            YYYY-MM-DD hh:mm:ss  ana              blog        Release v1 is live (push by
                                                              ana)
            YYYY-MM-DD hh:mm:ss  ana              blog        Release v1: Deploy 00000000
            YYYY-MM-DD hh:mm:ss  bob  bob  local  blog  0     events
            YYYY-MM-DD hh:mm:ss  bob  bob  local  blog  0     events
            YYYY-MM-DD hh:mm:ss  bob  bob  local  blog  0     apps:create blog
            bob$ events blog --type deploy-live,app-created --json
            [{"app":"blog","at":"<time>","by":"ana","deploy":1,"job":"push","kind":"deploy-live","release":1,"routed":true,"seq":11},{"app":"blog","at":"<time>","kind":"app-created","name":"blog","seq":7}]
            bob$ events blog --user ana
            WHEN                 WHO  KEY  FROM  APP   EXIT  WHAT
            YYYY-MM-DD hh:mm:ss  ana             blog        Release v1 is live (push by
                                                             ana)
            YYYY-MM-DD hh:mm:ss  ana             blog        Release v1: Deploy 00000000
            ann$ events --type user-added
            WHEN                 WHO  KEY  FROM  APP  EXIT  WHAT
            YYYY-MM-DD hh:mm:ss  -                          eve is a user, a developer
            YYYY-MM-DD hh:mm:ss  -                          bob is a user, a developer
            YYYY-MM-DD hh:mm:ss  -                          ann is a user, an administrator
            bob$ events blog --type deploys
            2|  !     there are no events of the type deploys
            2|  !     types: command, app-created, app-renamed, app-transferred, app-destroyed, app-stopped, settings-changed, build-succeeded, build-failed, build-cancelled, release-cut, config-changed, deploy-live, deploy-failed, instance-up, instance-not-up, instance-crashed, instance-gone, instance-cut-off, instance-full, run-ended, scaled, domain-added, domain-removed, access-given, access-taken, deploy-key-added, deploy-key-removed, maintenance-on, maintenance-off, user-added, user-removed, role-changed, key-added, key-removed, router-unreachable, router-back, disk-low, disk-eased
            2|  !     next: events blog --type deploy-failed,instance-crashed
            exit 1
            ann$ events --since never
            2|  !     this is not a time
            2|  !     next: events --since 2h
            2|  !       or: events --since 2026-11-21T14:30
            exit 1
            eve$ events blog
            2|  !     there is no app blog
            2|  !     next: apps:list
            2|  !       or: git push hoist main  (makes the app if nobody has the name)
            exit 1
        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_server_ends() {
    let shop = Shop::staffed().await;
    shop.check(
        &["bob$ secrets:rotate", "ann$ shutdown", "bob$ shutdown"],
        expect![[r#"
            bob$ secrets:rotate
            2|  !     only administrators may do this
            2|  !     next: ask ann (an administrator)
            exit 1
            ann$ shutdown
            Ending the router
            Ending the server
            bob$ shutdown
            2|  !     only administrators may do this
            2|  !     next: ask ann (an administrator)
            exit 1
        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_refusal_is_json_where_that_was_asked_for() {
    let shop = Shop::staffed().await;
    shop.check(
        &[
            "eve$ apps:info blog --json",
            "bob$ quota ann --format json",
            "bob$ builds:output blog --format=json",
            "bob$ config:get blog --json",
            "bob$ ps blog --json --what",
            "bob$ nope --json",
            "bob$ config:export blog --format yaml",
            "bob$ run blog -- show --json",
        ],
        expect![[r#"
            eve$ apps:info blog --json
            2| {"code":"no-such-app","next":["apps:list","git push hoist main  (makes the app if nobody has the name)"],"what":"there is no app blog","why":""}
            exit 1
            bob$ quota ann --format json
            2| {"code":"not-allowed","next":["ask ann (an administrator)"],"what":"only administrators may do this","why":""}
            exit 1
            bob$ builds:output blog --format=json
            2| {"code":"no-such-build","next":["git push hoist main"],"what":"blog has no builds yet","why":""}
            exit 1
            bob$ config:get blog --json
            2| {"code":"usage","next":["config:get blog LOG_LEVEL"],"what":"NAME is missing","why":"usage: config:get APP NAME [--format json]"}
            exit 1
            bob$ ps blog --json --what
            2| {"code":"usage","next":["ps blog","put -- before arguments that begin with -"],"what":"ps has no option --what","why":"usage: ps APP [--format json]"}
            exit 1
            bob$ nope --json
            2| {"code":"unknown-command","next":["help"],"what":"there is no command nope","why":""}
            exit 1
            bob$ config:export blog --format yaml
            2|  !     --format takes dotenv, json or shell
            2|  !     next: config:export blog --format dotenv
            exit 1
            bob$ run blog -- show --json
            2|  !     blog has no release yet: nothing to run in
            2|  !     next: git push hoist main
            exit 1
        "#]],
    )
    .await;
}

#[test]
fn a_fault_in_json_has_its_id() {
    let fault = system::fault::Fault::new("cannot read it", "the disk is gone");
    let object = crate::render::refusal(&fault.into());
    let id = object["fault"].as_str().unwrap();
    assert_eq!((object["code"].as_str(), id.len()), (Some("fault"), 8));
    assert_eq!(object["what"], format!("cannot read it (fault {id})"));
}
