//! `ps*`, `run`, `enter`, `logs`.

use super::shop::Shop;
use expect_test::expect;

#[tokio::test]
async fn nothing_is_deployed() {
    let shop = Shop::staffed().await;
    shop.check(
        &[
            "bob$ ps blog",
            "bob$ ps blog --json",
            "bob$ ps:scale blog",
            "bob$ ps:scale blog web=2",
            "bob$ ps:restart blog",
            "bob$ ps:start blog",
            "bob$ ps:rebuild blog",
            "bob$ run blog bash",
            "bob$ run bash -a blog",
            "bob$ run rake db:migrate --app blog",
            "eve$ run rake db:migrate -a blog",
            "bob$ enter blog",
            "bob$ ps:exec blog web.1 ls",
            "bob$ logs blog",
            "eve$ ps blog",
        ],
        expect![[r#"
            bob$ ps blog
            2| Nothing is running; to start it: git push hoist main
            bob$ ps blog --json
            []
            bob$ ps:scale blog
            2| Nothing to scale yet: push the app first
            bob$ ps:scale blog web=2
            2|  !     blog has no release yet
            2|  !     next: git push hoist main
            exit 1
            bob$ ps:restart blog
             !     next: git push hoist main
             !     Failed: blog has no release yet
            exit 1
            bob$ ps:start blog
             !     next: git push hoist main
             !     Failed: blog has no release yet
            exit 1
            bob$ ps:rebuild blog
            2|  !     blog has no release yet
            2|  !     next: git push hoist main
            exit 1
            bob$ run blog bash
            2|  !     blog has no release yet: nothing to run in
            2|  !     next: git push hoist main
            exit 1
            bob$ run bash -a blog
            2|  !     blog has no release yet: nothing to run in
            2|  !     next: git push hoist main
            exit 1
            bob$ run rake db:migrate --app blog
            2|  !     blog has no release yet: nothing to run in
            2|  !     next: git push hoist main
            exit 1
            eve$ run rake db:migrate -a blog
            2|  !     there is no app blog
            2|  !     next: apps:list
            2|  !       or: git push hoist main  (makes the app if nobody has the name)
            exit 1
            bob$ enter blog
            2|  !     blog has no release yet
            2|  !     next: git push hoist main
            exit 1
            bob$ ps:exec blog web.1 ls
            2|  !     blog has no release yet
            2|  !     next: git push hoist main
            exit 1
            bob$ logs blog
            <time> hoist: restart by bob failed: blog has no release yet
            <time> hoist: restart by bob failed: blog has no release yet
            eve$ ps blog
            2|  !     there is no app blog
            2|  !     next: apps:list
            2|  !       or: git push hoist main  (makes the app if nobody has the name)
            exit 1
        "#]],
    )
    .await;
}

#[tokio::test]
async fn instances_are_scaled_stopped_and_started() {
    let shop = Shop::live().await;
    shop.check(
        &[
            "bob$ ps:scale blog",
            "bob$ ps:scale blog --json",
            "bob$ ps:scale blog web=2",
            "bob$ ps:scale blog nope=2",
            "bob$ ps:scale blog web=x",
            "bob$ ps blog",
            "bob$ ps:restart blog",
            "bob$ ps:restart blog worker",
            "bob$ ps:restart blog nope",
            "bob$ ps:stop blog",
            "rest",
            "bob$ ps:stop blog web",
            "bob$ ps blog",
            "bob$ ps:start blog",
            "bob$ ps:start blog",
            "bob$ ps:rebuild blog",
            "eve$ ps:scale blog web=1",
            "eve$ ps:stop blog",
        ],
        expect![[r#"
            bob$ ps:scale blog
            TYPE    QUANTITY
            web     1
            worker  0
            bob$ ps:scale blog --json
            [{"quantity":1,"type":"web"},{"quantity":0,"type":"worker"}]
            bob$ ps:scale blog web=2
            Scaling blog to web=2 worker=0
            web.2 is up
            bob$ ps:scale blog nope=2
            2|  !     there is no process type nope to scale
            2|  !     the current release has: web, worker
            2|  !     next: add a line `nope: COMMAND` to the Procfile, commit and push
            exit 1
            bob$ ps:scale blog web=x
            2|  !     "web=x" is not a quantity
            2|  !     next: ps:scale blog web=2 worker+1
            exit 1
            bob$ ps blog
            INSTANCE  RELEASE  STATE  SINCE  CRASHES  MEMORY  DISK  COMMAND
            web.1  v1  up  <took>  0  1.0 MB of 512.0 MB  -  serve
            web.2  v1  up  <took>  0  1.0 MB of 512.0 MB  -  serve
            bob$ ps:restart blog
            -----> Starting v1: web.1, web.2
              web.1 is up
              web.2 is up
            -----> Restarted v1, took <took> (boot <took>, switch <took>)
              Requests during the switch: 0 served, 0 lost
              http://blog.example.com/
            bob$ ps:restart blog worker
            2|  !     nothing called worker runs
            2|  !     next: ps blog
            exit 1
            bob$ ps:restart blog nope
            2|  !     nothing called nope runs
            2|  !     next: ps blog
            exit 1
            bob$ ps:stop blog
            Stopped blog (2 instances); ps:start blog starts it again
            bob$ ps:stop blog web
            2|  !     an app is stopped and started as a whole
            2|  !     next: ps:scale blog web=0
            exit 1
            bob$ ps blog
            2| Nothing is running; to start it: ps:start blog
            bob$ ps:start blog
            -----> Starting v1: web.1, web.2
              web.1 is up
              web.2 is up
            -----> Restarted v1, took <took> (boot <took>, switch <took>)
              Requests during the switch: 0 served, 0 lost
              http://blog.example.com/
            bob$ ps:start blog
            blog is started already; ps:restart blog restarts it
            bob$ ps:rebuild blog
            -----> Building with nothing
            -----> Running the release command: migrate
            -----> Starting v2: web.1, web.2
              web.1 is up
              web.2 is up
            -----> Live: v2, took <took> (build <took>, boot <took>, switch <took>)
              Requests during the switch: 0 served, 0 lost
              http://blog.example.com/
            eve$ ps:scale blog web=1
            2|  !     there is no app blog
            2|  !     next: apps:list
            2|  !       or: git push hoist main  (makes the app if nobody has the name)
            exit 1
            eve$ ps:stop blog
            2|  !     there is no app blog
            2|  !     next: apps:list
            2|  !       or: git push hoist main  (makes the app if nobody has the name)
            exit 1
        "#]],
    )
    .await;
}

#[tokio::test]
async fn one_off_instances() {
    let shop = Shop::live().await;
    shop.check(
        &[
            "bob$ run blog --memory 1 ls",
            "bob$ run blog --detach sleep 9",
            "bob$ enter blog nope",
            "bob$ ps:exec blog nope ls",
            "eve$ run blog ls",
        ],
        expect![[r#"
            bob$ run blog --memory 1 ls
            2|  !     --memory takes at least 16 (MB)
            2|  !     next: run blog --memory 512 -- COMMAND
            exit 1
            bob$ run blog --detach sleep 9
            run.1 is running detached
            2| next: logs blog -t -p run.1
            2| next: ps blog
            2| next: ps:stop blog run.1
            bob$ enter blog nope
            2|  !     nothing called nope runs
            2|  !     running now: run.1, web.1
            2|  !     next: enter blog run.1 -- nope
            2|  !       or: ps blog
            exit 1
            bob$ ps:exec blog nope ls
            2|  !     web.1 cannot be entered
            2|  !     it ended a moment ago, or was started by an older Hoist
            2|  !     next: ps blog
            2|  !       or: ps:restart blog
            exit 1
            eve$ run blog ls
            2|  !     there is no app blog
            2|  !     next: apps:list
            2|  !       or: git push hoist main  (makes the app if nobody has the name)
            exit 1
        "#]],
    )
    .await;
}

#[tokio::test]
async fn logs_are_asked_for() {
    let shop = Shop::live().await;
    shop.check(
        &[
            "bob$ logs blog --num x",
            "bob$ logs blog --after x",
            "bob$ logs blog --since yesterdayish",
            "eve$ logs blog",
        ],
        expect![[r#"
            bob$ logs blog --num x
            2|  !     --num takes a number from 0 to 10000000
            2|  !     next: logs blog -n 500
            exit 1
            bob$ logs blog --after x
            2|  !     --after takes the id of a line
            2|  !     logs blog --format json shows ids
            2|  !     next: logs blog --after 1200 -t --format json
            exit 1
            bob$ logs blog --since yesterdayish
            2|  !     --since yesterdayish is not a time
            2|  !     it takes a span back from now, or a time as RFC 3339 has it; without a zone it is UTC
            2|  !     next: logs blog --since 10m
            2|  !       or: logs blog --since <time>
            exit 1
            eve$ logs blog
            2|  !     there is no app blog
            2|  !     next: apps:list
            2|  !       or: git push hoist main  (makes the app if nobody has the name)
            exit 1
        "#]],
    )
    .await;
}
