//! `config*`.

use super::shop::Shop;
use expect_test::expect;

#[tokio::test]
async fn vars_before_the_first_release() {
    let shop = Shop::staffed().await;
    shop.check(
        &[
            "bob$ config blog",
            "bob$ config:set blog",
            "bob$ config:set blog A=1 B='b c'",
            "bob$ config:set blog --secret TOKEN=x",
            "bob$ config:set blog A=1",
            "bob$ config:set blog 1A=x",
            "bob$ config:set blog --stdin FILE < some text",
            "bob$ config blog",
            "bob$ config blog --json",
            "bob$ config blog --shell",
            "bob$ config:get blog A",
            "bob$ config:get blog A --json",
            "bob$ config:get blog TOKEN",
            "bob$ config:get blog NONE",
            "bob$ config:export blog",
            "bob$ config:export blog --format json",
            "bob$ config:unset blog A NONE",
            "bob$ config:import blog < C=3",
            "bob$ config:import blog",
            "eve$ config blog",
            "eve$ config:set blog A=1",
        ],
        expect![[r#"
            bob$ config blog
            2| No config vars. config:set blog NAME=VALUE
            bob$ config:set blog
            2|  !     NAME=VALUE is missing
            2|  !     usage: config:set APP [NAME=VALUE…] [--stdin NAME] [--secret] [--no-restart]
            2|  !     next: config:set blog LOG_LEVEL=debug
            exit 1
            bob$ config:set blog A=1 B='b c'
            Set config vars A, B for blog; used from its next release on
                   added: A, B
            bob$ config:set blog --secret TOKEN=x
            Set config var TOKEN for blog; used from its next release on
                   added: TOKEN
            bob$ config:set blog A=1
            Nothing changes: the config vars have these values already
            bob$ config:set blog 1A=x
            2|  !     "1A" is not a config var's name
            2|  !     allowed: letters, digits and _, not beginning with a digit, at most 128
            exit 1
            bob$ config:set blog --stdin FILE < some text
            Set config var FILE for blog; used from its next release on
                   added: FILE
            bob$ config blog
            A:     1
            B:     b c
            FILE:  some text
            TOKEN: (secret, since YYYY-MM-DD hh:mm:ss)
            bob$ config blog --json
            {"A":"1","B":"b c","FILE":"some text","TOKEN":null}
            bob$ config blog --shell
            A=1
            B='b c'
            FILE='some text'
            2|  !     TOKEN is secret and left out
            bob$ config:get blog A
            1
            bob$ config:get blog A --json
            {"A":"1"}
            bob$ config:get blog TOKEN
            2|  !     TOKEN is secret: its value is not shown again
            2|  !     it is set since YYYY-MM-DD hh:mm:ss; the app has it
            2|  !     next: config:set blog --stdin TOKEN < FILE  (for a new value)
            exit 1
            bob$ config:get blog NONE
            2|  !     NONE is not set
            2|  !     next: config:set blog NONE=VALUE
            exit 1
            bob$ config:export blog
            A=1
            B='b c'
            FILE='some text'
            2|  !     TOKEN is secret and left out
            bob$ config:export blog --format json
            {
              "A": "1",
              "B": "b c",
              "FILE": "some text"
            }
            2|  !     TOKEN is secret and left out
            bob$ config:unset blog A NONE
            2|  !     NONE is not set
            Unset config var A for blog; used from its next release on
                   removed: A
            bob$ config:import blog < C=3
            Read 1 config var (dotenv)
            Set config var C for blog; used from its next release on
                   added: C
            bob$ config:import blog
            2|  !     there is no config var on standard input; nothing was changed
            2|  !     next: config:import blog < .env
            exit 1
            eve$ config blog
            2|  !     there is no app blog
            2|  !     next: apps:list
            2|  !       or: git push hoist main  (makes the app if nobody has the name)
            exit 1
            eve$ config:set blog A=1
            2|  !     there is no app blog
            2|  !     next: apps:list
            2|  !       or: git push hoist main  (makes the app if nobody has the name)
            exit 1
        "#]],
    )
    .await;
}

#[tokio::test]
async fn each_change_is_a_release() {
    let shop = Shop::live().await;
    shop.check(
        &[
            "bob$ config:set blog A=1",
            "bob$ config:set blog B=2 --no-restart",
            "bob$ config blog",
            "bob$ config:unset blog A",
            "bob$ releases blog",
        ],
        expect![[r#"
            bob$ config:set blog A=1
            Set config var A for blog
              added: A
            -----> Running the release command: migrate
            -----> Starting v2: web.1
              web.1 is up
            -----> Live: v2, took <took> (boot <took>, switch <took>)
              Requests during the switch: 0 served, 0 lost
              http://blog.example.com/
            bob$ config:set blog B=2 --no-restart
            Set config var B for blog; used from its next release on
                   added: B
                   ps:restart blog makes that release now; so does a push
            bob$ config blog
            A: 1
            B: 2
            2|  !     Stored, and not in use before the next release:
            2|  !       added: B
            2|  !     next: ps:restart blog
            bob$ config:unset blog A
            Unset config var A for blog
              removed: A
              These were stored before and are used from now on:
              added: B
            -----> Running the release command: migrate
            -----> Starting v3: web.1
              web.1 is up
            -----> Live: v3, took <took> (boot <took>, switch <took>)
              Requests during the switch: 0 served, 0 lost
              http://blog.example.com/
            bob$ releases blog
            RELEASE  STATUS    CHANGE              BY   WHEN
            v3       current   Unset config var A  bob  YYYY-MM-DD hh:mm:ss
            v2       replaced  Set config var A    bob  YYYY-MM-DD hh:mm:ss
            v1       replaced  Deploy 00000000     ana  YYYY-MM-DD hh:mm:ss
        "#]],
    )
    .await;
}
