//! `domains:*`, `maintenance*`.

use super::shop::Shop;
use expect_test::expect;

#[tokio::test]
async fn names_lead_to_an_app() {
    let shop = Shop::live().await;
    shop.check(
        &[
            "root$ domains:set-base apps.localhost",
            "root$ domains:set-base apps.localhost",
            "root$ domains:base",
            "root$ domains:base --json",
            "bob$ domains:set-base other.localhost",
            "bob$ domains:add blog a1.test a2.test a3.test a4.test a5.test a6.test a7.test a8.test a9.test",
            "bob$ domains:add blog not_a_name",
            "bob$ domains:add blog b1.test --process nope",
            "bob$ domains:list blog",
            "bob$ domains:list blog --json",
            "bob$ domains:list",
            "ann$ domains:list",
            "bob$ domains:remove blog a1.test",
            "bob$ domains:remove blog a1.test",
            "bob$ domains:clear blog",
            "bob$ domains:clear blog",
            "eve$ domains:list blog",
            "eve$ domains:add blog x.test",
        ],
        expect![[r#"
            root$ domains:set-base apps.localhost
            Apps answer at http://APP.apps.localhost/ now, not below example.com any more
                   http://blog.example.com/ is now http://blog.apps.localhost/
            Git remotes hold it too; old ones work as long as the old name resolves to this server
            root$ domains:set-base apps.localhost
            apps.localhost is the base domain already
            root$ domains:base
            base:           apps.localhost
            set by:         domains:set-base
            apps answer at: http://APP.apps.localhost/
            names below it: only on this machine
            root$ domains:base --json
            {"base":"apps.localhost","configured":"example.com","dns":null,"example":"http://APP.apps.localhost/","set_by":"domains:set-base"}
            bob$ domains:set-base other.localhost
            2|  !     only administrators may do this
            2|  !     next: ask ann (an administrator)
            exit 1
            bob$ domains:add blog a1.test a2.test a3.test a4.test a5.test a6.test a7.test a8.test a9.test
            -----> a1.test is now served by blog (web)
                   http://a1.test/
            -----> a2.test is now served by blog (web)
                   http://a2.test/
            -----> a3.test is now served by blog (web)
                   http://a3.test/
            -----> a4.test is now served by blog (web)
                   http://a4.test/
            -----> a5.test is now served by blog (web)
                   http://a5.test/
            -----> a6.test is now served by blog (web)
                   http://a6.test/
            -----> a7.test is now served by blog (web)
                   http://a7.test/
            -----> a8.test is now served by blog (web)
                   http://a8.test/
            -----> 9 names are now served by blog (web); domains:list blog shows them
            bob$ domains:add blog not_a_name
            2|  !     "not_a_name" is not a host name
            2|  !     allowed: labels of letters, digits and - (not at an end), up to 63 each, 253 in all
            exit 1
            bob$ domains:add blog b1.test --process nope
            2|  !     the app has no process type nope
            2|  !     the current release has: web, worker
            2|  !     next: add a line `nope: COMMAND` to the Procfile, commit and push
            exit 1
            bob$ domains:list blog
            HOST                 PROCESS  KIND
            blog.apps.localhost  web      default
            a1.test              web      own
            a2.test              web      own
            a3.test              web      own
            a4.test              web      own
            a5.test              web      own
            a6.test              web      own
            a7.test              web      own
            a8.test              web      own
            a9.test              web      own
            bob$ domains:list blog --json
            [{"app":"blog","default":true,"host":"blog.apps.localhost","process":"web","url":"http://blog.apps.localhost/"},{"app":"blog","default":false,"host":"a1.test","process":"web","url":"http://a1.test/"},{"app":"blog","default":false,"host":"a2.test","process":"web","url":"http://a2.test/"},{"app":"blog","default":false,"host":"a3.test","process":"web","url":"http://a3.test/"},{"app":"blog","default":false,"host":"a4.test","process":"web","url":"http://a4.test/"},{"app":"blog","default":false,"host":"a5.test","process":"web","url":"http://a5.test/"},{"app":"blog","default":false,"host":"a6.test","process":"web","url":"http://a6.test/"},{"app":"blog","default":false,"host":"a7.test","process":"web","url":"http://a7.test/"},{"app":"blog","default":false,"host":"a8.test","process":"web","url":"http://a8.test/"},{"app":"blog","default":false,"host":"a9.test","process":"web","url":"http://a9.test/"}]
            bob$ domains:list
            2|  !     only administrators may do this
            2|  !     next: ask ann (an administrator)
            exit 1
            ann$ domains:list
            APP   HOST                 PROCESS  KIND
            blog  blog.apps.localhost  web      default
            blog  a1.test              web      own
            blog  a2.test              web      own
            blog  a3.test              web      own
            blog  a4.test              web      own
            blog  a5.test              web      own
            blog  a6.test              web      own
            blog  a7.test              web      own
            blog  a8.test              web      own
            blog  a9.test              web      own
            bob$ domains:remove blog a1.test
            a1.test is no longer served by blog
            Still: http://blog.apps.localhost/
            bob$ domains:remove blog a1.test
            2|  !     blog has no domain a1.test
            2|  !     next: domains:list blog
            exit 1
            bob$ domains:clear blog
            a2.test is no longer served by blog
            a3.test is no longer served by blog
            a4.test is no longer served by blog
            a5.test is no longer served by blog
            a6.test is no longer served by blog
            a7.test is no longer served by blog
            a8.test is no longer served by blog
            a9.test is no longer served by blog
            Still: http://blog.apps.localhost/
            bob$ domains:clear blog
            blog has no such domains
            eve$ domains:list blog
            2|  !     there is no app blog
            2|  !     next: apps:list
            2|  !       or: git push hoist main  (makes the app if nobody has the name)
            exit 1
            eve$ domains:add blog x.test
            2|  !     there is no app blog
            2|  !     next: apps:list
            2|  !       or: git push hoist main  (makes the app if nobody has the name)
            exit 1
        "#]],
    )
    .await;
}

#[tokio::test]
async fn an_app_in_maintenance() {
    let shop = Shop::live().await;
    shop.check(
        &[
            "bob$ maintenance blog",
            "bob$ maintenance:on blog",
            "bob$ maintenance blog",
            "bob$ maintenance blog --json",
            "bob$ maintenance:on blog --page < <h1>soon</h1>",
            "bob$ maintenance:on blog --page",
            "bob$ maintenance:off blog",
            "bob$ maintenance:off blog",
            "eve$ maintenance:on blog",
        ],
        expect![[r#"
            bob$ maintenance blog
            maintenance: off
            bob$ maintenance:on blog
            blog answers with our maintenance page (503) now; its instances keep running
            maintenance:off blog ends it
            bob$ maintenance blog
            maintenance: on
            since:       YYYY-MM-DD hh:mm:ss
            page:        ours
            bob$ maintenance blog --json
            {"maintenance":true,"page":"ours","since":"<time>"}
            bob$ maintenance:on blog --page < <h1>soon</h1>
            blog answers with your maintenance page (503) now; its instances keep running
            maintenance:off blog ends it
            bob$ maintenance:on blog --page
            2|  !     no page came on standard input
            2|  !     next: maintenance:on blog --page < page.html
            2|  !       or: maintenance:on blog  (with our page)
            exit 1
            bob$ maintenance:off blog
            blog is out of maintenance: http://blog.example.com/
            bob$ maintenance:off blog
            blog was not in maintenance: http://blog.example.com/
            eve$ maintenance:on blog
            2|  !     there is no app blog
            2|  !     next: apps:list
            2|  !       or: git push hoist main  (makes the app if nobody has the name)
            exit 1
        "#]],
    )
    .await;
}
