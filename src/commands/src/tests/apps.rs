//! `apps:*`, `open`, `access:*`, `releases`.

use super::shop::Shop;
use expect_test::expect;

#[tokio::test]
async fn an_app_is_made_shown_changed_and_destroyed() {
    let shop = Shop::staffed().await;
    shop.installs("deb12");
    shop.check(
        &[
            "bob$ apps:create blog",
            "bob$ apps:create Shop_1",
            "bob$ apps:create shop",
            "bob$ apps:list",
            "ann$ apps:list --json",
            "eve$ apps:list",
            "bob$ apps:info blog",
            "bob$ apps:info blog --format json",
            "eve$ apps:info blog",
            "bob$ apps:info nope",
            "bob$ apps:set blog buildpack=cobol",
            "bob$ apps:set blog root=../x",
            "bob$ apps:set blog deploy-branch=production stack=bookworm",
            "bob$ apps:set blog stack=trixie",
            "bob$ apps:set blog enter=off",
            "bob$ apps:set blog enter=on",
            "bob$ apps:set blog what=1",
            "bob$ apps:rename blog notes",
            "bob$ apps:rename notes notes",
            "bob$ apps:info blog",
            "bob$ apps:destroy shop",
            "bob$ apps:destroy shop --confirm shop",
            "eve$ apps:destroy notes --confirm notes",
        ],
        expect![[r#"
            bob$ apps:create blog
            2|  !     blog exists already
            2|  !     next: git push hoist main
            2|  !       or: apps:info blog
            exit 1
            bob$ apps:create Shop_1
            2|  !     "Shop_1" is not an app's name
            2|  !     allowed: 1 to 30 characters: small letters, digits and -, beginning with a letter, not ending in -
            2|  !     next: for example shop-1
            exit 1
            bob$ apps:create shop
            Created shop. It will answer at http://shop.example.com/
            Deploy it: git remote add hoist ssh://hoist@example.com/shop && git push hoist main
            bob$ apps:list
            APP   RELEASE  OWNER  URL
            blog  -        bob    http://blog.example.com/
            shop  -        bob    http://shop.example.com/
            ann$ apps:list --json
            [{"id":"APPID","name":"blog","owner":"bob","release":null,"stopped":false,"url":"http://blog.example.com/"},{"id":"APPID","name":"shop","owner":"bob","release":null,"stopped":false,"url":"http://shop.example.com/"}]
            eve$ apps:list
            2| No apps yet. apps:create NAME, or push one
            bob$ apps:info blog
            name:          blog
            id:            APPID
            url:           http://blog.example.com/
            domains:       none
            remote:        ssh://hoist@example.com/blog
            release:       none
            commit:
            processes:
            owner:         bob
            shared with:
            state:         on
            deploy-branch: main or master, whichever is pushed first
            buildpack:     detected
            stack:         deb13
            root:          the whole repository
            bob$ apps:info blog --format json
            {"buildpack":null,"commit":"","deploy_branch":null,"dockerfile":{"build_args":[],"build_secrets":[],"dockerfile":null,"port":null,"target":null},"domains":[],"formation":{},"id":"APPID","maintenance":false,"name":"blog","owner":"bob","release":null,"remote":"ssh://hoist@example.com/blog","root":null,"settings":{},"shared_with":[],"stack":"deb13","stopped":false,"url":"http://blog.example.com/"}
            eve$ apps:info blog
            2|  !     there is no app blog
            2|  !     next: apps:list
            2|  !       or: git push hoist main  (makes the app if nobody has the name)
            exit 1
            bob$ apps:info nope
            2|  !     there is no app nope
            2|  !     next: apps:list
            2|  !       or: git push hoist main  (makes the app if nobody has the name)
            exit 1
            bob$ apps:set blog buildpack=cobol
            2|  !     there is no such buildpack
            2|  !     known: node, python, go, static, shell, dockerfile
            2|  !     next: apps:set blog buildpack=node
            exit 1
            bob$ apps:set blog root=../x
            2|  !     this cannot be a folder of the repository
            2|  !     write it relative to the repository's top folder
            2|  !     next: apps:set blog root=packages/api
            exit 1
            bob$ apps:set blog deploy-branch=production stack=bookworm
            Set. It takes effect with the next push; to build what runs now again: ps:rebuild blog
            bob$ apps:set blog stack=trixie
            2|  !     the stack deb13 is not installed on this server
            2|  !     an administrator installs it once, on the server, from Hoist's source
            2|  !     next: scripts/stacks --stack deb13
            2|  !       or: apps:set blog stack=  (for the default stack)
            exit 1
            bob$ apps:set blog enter=off
            Set. It is in force now
            bob$ apps:set blog enter=on
            2|  !     only an administrator may switch enter on again
            2|  !     next: ask ann (an administrator) for: apps:set blog enter=on
            exit 1
            bob$ apps:set blog what=1
            2|  !     there is no setting what
            2|  !     settings: deploy-branch, buildpack, stack, root, enter, boot-timeout, drain-time, stop-grace, dockerfile, docker-target, build-args, build-secrets, port
            2|  !     next: help apps:set
            exit 1
            bob$ apps:rename blog notes
            blog is called notes now; nothing was restarted
                   http://notes.example.com/
                   git remote set-url hoist ssh://hoist@example.com/notes
                   http://blog.example.com/ does not answer any more
                   Variables such as HOIST_APP_NAME and HOIST_URL change with the next start
            bob$ apps:rename notes notes
            notes is its name already
            bob$ apps:info blog
            2|  !     blog is called notes now
            2|  !     next: use notes; for git: git remote set-url hoist with the URL that apps:info notes shows
            2|  !       or: apps:create blog  (for another app of that name)
            exit 1
            bob$ apps:destroy shop
            2|  !     apps:destroy shop cannot be undone: confirm it
            2|  !     next: apps:destroy shop --confirm shop
            exit 1
            bob$ apps:destroy shop --confirm shop
            Destroying shop with its releases, config, logs and repository
            Destroyed shop
            eve$ apps:destroy notes --confirm notes
            2|  !     there is no app notes
            2|  !     next: apps:list
            2|  !       or: git push hoist main  (makes the app if nobody has the name)
            exit 1
        "#]],
    )
    .await;
}

#[tokio::test]
async fn an_app_changes_hands() {
    let shop = Shop::live().await;
    shop.check(
        &[
            "bob$ deploy-keys:add blog runner < ci",
            "eve$ apps:transfer blog eve",
            "root$ access:add blog eve",
            "eve$ apps:transfer blog eve",
            "bob$ apps:transfer blog zoe",
            "bob$ apps:transfer blog",
            "bob$ apps:transfer blog bob",
            "root$ quota:set eve apps=0",
            "bob$ apps:transfer blog eve",
            "root$ quota:set eve apps=1 instances=0",
            "bob$ apps:transfer blog eve",
            "root$ quota:set eve instances=2",
            "bob$ apps:transfer blog eve",
            "bob$ apps:info blog",
            "eve$ access:list blog",
            "eve$ deploy-keys:list blog",
            "eve$ apps:transfer blog bob --keep-access --format json",
            "eve$ access:list blog",
            "ann$ apps:transfer blog ann",
            "root$ apps:create ours",
            "root$ apps:transfer ours bob",
            "root$ events ours --type app-transferred",
            "ann$ events blog --type app-transferred",
            "ann$ users:remove bob",
        ],
        expect![[r#"
            bob$ deploy-keys:add blog runner < ci
            Added the deploy key runner (SHA256:kec5oaDBuWGu8ITnzsOag5AwO0T9nmIX5IBbnFokVAY): it may push to blog and look at its builds
            Its remote: ssh://hoist@example.com/blog
            It ends when bob may not change blog any more
            eve$ apps:transfer blog eve
            2|  !     there is no app blog
            2|  !     next: apps:list
            2|  !       or: git push hoist main  (makes the app if nobody has the name)
            exit 1
            root$ access:add blog eve
            blog is now shared with eve
            eve$ apps:transfer blog eve
            2|  !     only the owner of blog or an administrator may do this
            2|  !     next: access:list blog  (says whose it is)
            exit 1
            bob$ apps:transfer blog zoe
            2|  !     there is no user zoe
            2|  !     next: users:list
            exit 1
            bob$ apps:transfer blog
            2|  !     USER is missing
            2|  !     usage: apps:transfer APP USER [--keep-access]
            2|  !     next: apps:transfer blog ada
            exit 1
            bob$ apps:transfer blog bob
            blog belongs to bob already
            root$ quota:set eve apps=0
            eve may have apps: 0
            bob$ apps:transfer blog eve
            2|  !     eve uses 0 of 0 apps, this needs 1
            2|  !     what an app uses is counted for its owner, whoever asks
            2|  !     next: apps:destroy NAME --confirm NAME, one that is not needed (apps:list)
            2|  !       or: ask ann (an administrator) for: quota:set eve apps=1
            exit 1
            root$ quota:set eve apps=1 instances=0
            eve may have apps: 1
            eve may have instances: 0
            bob$ apps:transfer blog eve
            2|  !     eve uses 0 of 0 instances, this needs 1
            2|  !     what an app uses is counted for its owner, whoever asks
            2|  !     next: ps:stop NAME or ps:scale NAME TYPE=N, of an app that needs less (apps:list)
            2|  !       or: ask ann (an administrator) for: quota:set eve instances=1
            exit 1
            root$ quota:set eve instances=2
            eve may have instances: 2
            bob$ apps:transfer blog eve
            blog belongs to eve now; nothing was restarted
                   bob may not see it any more; eve can share it: access:add blog bob
                   Its deploy key runner stays, eve answers for it; to end it: deploy-keys:remove blog runner
            bob$ apps:info blog
            2|  !     there is no app blog
            2|  !     next: apps:list
            2|  !       or: git push hoist main  (makes the app if nobody has the name)
            exit 1
            eve$ access:list blog
            USER  ACCESS  BY
            eve   owner
            eve$ deploy-keys:list blog
            NAME    FINGERPRINT                                         BY   ADDED
            runner  SHA256:kec5oaDBuWGu8ITnzsOag5AwO0T9nmIX5IBbnFokVAY  eve  YYYY-MM-DD hh:mm:ss
            eve$ apps:transfer blog bob --keep-access --format json
            {"app":"blog","command":"apps:transfer","done":{"owner":"bob"},"exit":0,"said":["blog belongs to bob now; nothing was restarted","eve may still change it, as somebody whom it is shared with"],"warned":[]}
            eve$ access:list blog
            USER  ACCESS  BY
            bob   owner
            eve   shared  bob
            ann$ apps:transfer blog ann
            blog belongs to ann now; nothing was restarted
                   bob may not see it any more; ann can share it: access:add blog bob
                   It stays shared with eve; to end that: access:remove blog eve
            root$ apps:create ours
            Created ours. It will answer at http://ours.example.com/
            Deploy it: git remote add hoist ssh://hoist@example.com/ours && git push hoist main
            root$ apps:transfer ours bob
            ours belongs to bob now; nothing was restarted
            root$ events ours --type app-transferred
            WHEN                 WHO  KEY  FROM  APP   EXIT  WHAT
            YYYY-MM-DD hh:mm:ss  -               ours        bob owns it now, as root did
                                                             before
            ann$ events blog --type app-transferred
            WHEN                 WHO  KEY  FROM  APP   EXIT  WHAT
            YYYY-MM-DD hh:mm:ss  -               blog        ann owns it now, as bob did
                                                             before
            YYYY-MM-DD hh:mm:ss  -               blog        bob owns it now, as eve did
                                                             before
            YYYY-MM-DD hh:mm:ss  -               blog        eve owns it now, as bob did
                                                             before
            ann$ users:remove bob
            Removed bob, their keys and what they had open
            Belongs to root now: ours; to give it to somebody: apps:transfer ours USER
        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_url_is_printed() {
    let shop = Shop::live().await;
    shop.check(
        &["bob$ open blog", "bob$ open blog --json", "bob$ maintenance:on blog", "bob$ open blog", "eve$ open blog"],
        expect![[r#"
            bob$ open blog
            http://blog.example.com/
            bob$ open blog --json
            {"default_url":"http://blog.example.com/","domains":[],"maintenance":false,"url":"http://blog.example.com/"}
            bob$ maintenance:on blog
            blog answers with our maintenance page (503) now; its instances keep running
            maintenance:off blog ends it
            bob$ open blog
            http://blog.example.com/
            2|  !     blog is in maintenance: maintenance:off blog
            eve$ open blog
            2|  !     there is no app blog
            2|  !     next: apps:list
            2|  !       or: git push hoist main  (makes the app if nobody has the name)
            exit 1
        "#]],
    )
    .await;
}

#[tokio::test]
async fn an_app_that_is_live() {
    let shop = Shop::live().await;
    shop.check(
        &[
            "bob$ apps:info blog",
            "bob$ apps:info blog --json",
            "bob$ releases blog",
            "bob$ releases blog --json",
            "bob$ rollback blog v1",
            "bob$ rollback blog v7",
            "bob$ apps:destroy blog --confirm blog",
        ],
        expect![[r#"
            bob$ apps:info blog
            name:          blog
            id:            APPID
            url:           http://blog.example.com/
            domains:       none
            remote:        ssh://hoist@example.com/blog
            release:       v1
            commit:        0000000000000000000000000000000000000001
            processes:     web=1 worker=0
            owner:         bob
            shared with:
            state:         on
            deploy-branch: main
            buildpack:     detected
            stack:         deb13
            root:          the whole repository
            bob$ apps:info blog --json
            {"buildpack":null,"commit":"0000000000000000000000000000000000000001","deploy_branch":"main","dockerfile":{"build_args":[],"build_secrets":[],"dockerfile":null,"port":null,"target":null},"domains":[],"formation":{"web":1,"worker":0},"id":"APPID","maintenance":false,"name":"blog","owner":"bob","release":"v1","remote":"ssh://hoist@example.com/blog","root":null,"settings":{"deploy-branch":"main"},"shared_with":[],"stack":"deb13","stopped":false,"url":"http://blog.example.com/"}
            bob$ releases blog
            RELEASE  STATUS   CHANGE           BY   WHEN
            v1       current  Deploy 00000000  ana  YYYY-MM-DD hh:mm:ss
            bob$ releases blog --json
            [{"build":1,"by":"ana","created":"<time>","current":true,"description":"Deploy 00000000","release":"v1","status":"live"}]
            bob$ rollback blog v1
            v1 is the current release already
            bob$ rollback blog v7
            2|  !     there is no release v7
            2|  !     next: releases blog
            exit 1
            bob$ apps:destroy blog --confirm blog
            Destroying blog with its releases, config, logs and repository
            Destroyed blog
        "#]],
    )
    .await;
}

#[tokio::test]
async fn an_app_goes_back() {
    let shop = Shop::live().await;
    shop.check(
        &["push blog 2", "bob$ rollback blog", "bob$ releases blog", "eve$ rollback blog"],
        expect![[r#"
            bob$ rollback blog
              Back to v1 (Deploy 00000000), with the config vars it had
            -----> Running the release command: migrate
            -----> Starting v3: web.1
              web.1 is up
            -----> Live: v3, took <took> (boot <took>, switch <took>)
              Requests during the switch: 0 served, 0 lost
              http://blog.example.com/
            bob$ releases blog
            RELEASE  STATUS    CHANGE           BY   WHEN
            v3       current   Rollback to v1   bob  YYYY-MM-DD hh:mm:ss
            v2       replaced  Deploy 00000000  ana  YYYY-MM-DD hh:mm:ss
            v1       replaced  Deploy 00000000  ana  YYYY-MM-DD hh:mm:ss
            eve$ rollback blog
            2|  !     there is no app blog
            2|  !     next: apps:list
            2|  !       or: git push hoist main  (makes the app if nobody has the name)
            exit 1
        "#]],
    )
    .await;
}

#[tokio::test]
async fn builds_are_listed() {
    let shop = Shop::live().await;
    shop.check(
        &[
            "bob$ builds blog",
            "bob$ builds blog --json",
            "bob$ builds:wait blog",
            "bob$ builds:wait blog --json",
            "bob$ builds:output blog",
            "bob$ builds:output blog --json",
            "bob$ builds:cancel blog",
            "bob$ builds:output blog 99",
            "bob$ builds:output blog x",
            "bob$ builds:plan blog",
            "bob$ builds:plan blog --json",
            "bob$ builds:plan blog 00000000000000000000000000000000000000ff",
            "bob$ builds:eject blog",
            "bob$ builds:lock blog",
            "eve$ builds blog",
        ],
        expect![[r#"
            bob$ builds blog
            BUILD  STATUS  COMMIT  LANGUAGE  TOOK  BY  WHEN  WHY
            1  succeeded  00000000  nothing  <took>  ana  YYYY-MM-DD hh:mm:ss
            bob$ builds blog --json
            [{"by":"ana","commit":"0000000000000000000000000000000000000001","digest":"sha256:0000000000000000000000000000000000000001","ended":"<time>","id":1,"language":"nothing","started":"<time>","status":"succeeded","why":null}]
            bob$ builds:wait blog
            hoist: live app=blog build=1 release=v1 commit=0000000000000000000000000000000000000001 url=http://blog.example.com/ seconds=<took>
            bob$ builds:wait blog --json
            {"app":"blog","build":1,"commit":"0000000000000000000000000000000000000001","release":"v1","seconds":<took>,"status":"live","url":"http://blog.example.com/"}
            bob$ builds:output blog
            -----> Building with nothing
            -----> Running the release command: migrate
            -----> Starting v1: web.1
              web.1 is up
            -----> Live: v1, took <took> (build <took>, boot <took>, switch <took>)
              Requests during the switch: 0 served, 0 lost
              http://blog.example.com/
            bob$ builds:output blog --json
            {"build":1,"lines":["-----> Building with nothing","-----> Running the release command: migrate","-----> Starting v1: web.1","  web.1 is up","-----> Live: v1, took <took> (build <took>, boot <took>, switch <took>)","  Requests during the switch: 0 served, 0 lost","  http://blog.example.com/"],"status":"succeeded"}
            bob$ builds:cancel blog
            2|  !     no build of blog runs or waits
            2|  !     next: builds blog
            exit 1
            bob$ builds:output blog 99
            2|  !     blog has no such build
            2|  !     next: builds blog
            exit 1
            bob$ builds:output blog x
            2|  !     a build is a number, as `builds` lists them
            2|  !     next: builds blog
            exit 1
            bob$ builds:plan blog
            Dockerfile, as the builder's BuildKit builds it
              files          the whole repository
              images         debian:13
            bob$ builds:plan blog --json
            {"commit":"0000000000000000000000000000000000000001","dockerfile":"Dockerfile","images":["debian:13"],"root":null,"settings":{"build_args":[],"build_secrets":[],"dockerfile":null,"port":null,"target":null},"stages":[]}
            bob$ builds:plan blog 00000000000000000000000000000000000000ff
            2|  !     blog has no commit 00000000
            2|  !     next: builds blog lists those that were built
            exit 1
            bob$ builds:eject blog
            2|  !     blog is built from its own Dockerfile
            2|  !     there is nothing to write: docker builds the same from it
            2|  !     next: docker build -f Dockerfile .
            exit 1
            bob$ builds:lock blog
            2|  !     build 1 of blog made no lock file
            2|  !     commit 00000000 has its own, or needs none
            2|  !     next: builds:plan blog says what it installs from
            exit 1
            eve$ builds blog
            2|  !     there is no app blog
            2|  !     next: apps:list
            2|  !       or: git push hoist main  (makes the app if nobody has the name)
            exit 1
        "#]],
    )
    .await;
}

#[tokio::test]
async fn builds_of_nothing() {
    let shop = Shop::staffed().await;
    shop.check(
        &[
            "bob$ builds blog",
            "bob$ builds:wait blog",
            "bob$ builds:output blog",
            "bob$ builds:cancel blog",
            "bob$ builds:plan blog",
            "bob$ releases blog",
            "bob$ rollback blog",
        ],
        expect![[r#"
            bob$ builds blog
            2| No builds yet
            bob$ builds:wait blog
            2|  !     blog has no builds yet
            2|  !     next: git push hoist main
            exit 1
            bob$ builds:output blog
            2|  !     blog has no builds yet
            2|  !     next: git push hoist main
            exit 1
            bob$ builds:cancel blog
            2|  !     no build of blog runs or waits
            2|  !     next: builds blog
            exit 1
            bob$ builds:plan blog
            2|  !     blog has no release yet
            2|  !     next: git push hoist main, or name a commit that was pushed
            exit 1
            bob$ releases blog
            2| No releases yet
            bob$ rollback blog
             !     next: git push hoist main
             !     Failed: blog has no release yet
            exit 1
        "#]],
    )
    .await;
}

#[tokio::test]
async fn an_app_that_only_git_lfs_used_goes() {
    let shop = Shop::staffed().await;
    // There is no git here: the app is made, and its objects do not come.
    for line in ["bob$ git-lfs-transfer fresh upload", "bob$ git-lfs-transfer used upload", "bob$ config:set used A=1"]
    {
        shop.play(line).await;
    }
    shop.play("bob$ apps:info fresh").await;
    let left = async || {
        shop.play("bob$ apps:list").await.lines().skip(2).map(|l| l[..5].trim().to_owned()).collect::<Vec<_>>()
    };
    shop.remove_unused(std::time::Duration::from_secs(7200)).await;
    assert_eq!(left().await, ["blog", "fresh", "used"]);
    shop.remove_unused(std::time::Duration::from_secs(1800)).await;
    assert_eq!(left().await, ["blog", "used"]);
}
