//! What commands that change something answer to `--format json`.

use super::shop::Shop;
use expect_test::expect;

#[tokio::test]
async fn what_was_done_is_in_fields() {
    let shop = Shop::live().await;
    shop.check(
        &[
            "bob$ apps:create shop --json",
            "bob$ apps:create shop --json",
            "bob$ apps:set shop drain-time=2m root=api --format json",
            "bob$ apps:set shop drain-time=soon --format json",
            "bob$ config:set shop A=1 B=2 --json",
            "bob$ config:unset shop A --json",
            "bob$ config:set blog COLOUR=red --json",
            "bob$ ps:restart blog --json",
            "bob$ rollback blog --json",
            "bob$ ps:scale blog web=2 --json",
            "bob$ ps:stop blog --json",
            "bob$ maintenance:on blog --json",
            "bob$ domains:add blog example.org --json",
            "bob$ domains:remove blog example.org --json",
            "bob$ access:add blog eve --json",
            "ann$ users:add joe --json",
            "ann$ users:set joe --admin --json",
            "ann$ quota:set joe apps=3 --json",
            "ann$ users:remove joe --json",
            "bob$ apps:rename shop store --json",
            "bob$ apps:destroy store --json",
            "bob$ apps:destroy store --confirm store --json",
            "eve$ apps:destroy store --confirm store --json",
            "eve$ apps:list --json",
        ],
        expect![[r#"
            bob$ apps:create shop --json
            {"app":"shop","command":"apps:create","done":{"remote":"ssh://hoist@example.com/shop","url":"http://shop.example.com/"},"exit":0,"said":["Created shop. It will answer at http://shop.example.com/","Deploy it: git remote add hoist ssh://hoist@example.com/shop && git push hoist main"],"warned":[]}
            bob$ apps:create shop --json
            2| {"app":"shop","code":"name-taken","command":"apps:create","done":{},"exit":1,"next":["git push hoist main","apps:info shop"],"said":[],"warned":[],"what":"shop exists already","why":""}
            exit 1
            bob$ apps:set shop drain-time=2m root=api --format json
            {"app":"shop","command":"apps:set","done":{"settings":{"drain-time":"<took>","root":"api"}},"exit":0,"said":["Set. It takes effect with the next push; to build what runs now again: ps:rebuild shop"],"warned":[]}
            bob$ apps:set shop drain-time=soon --format json
            2| {"app":"shop","code":"bad-setting","command":"apps:set","done":{},"exit":1,"next":["apps:set shop drain-time=90"],"said":[],"warned":[],"what":"drain-time cannot be soon","why":"it is a time from <took> to 1h, such as 90, <took> or 2m"}
            exit 1
            bob$ config:set shop A=1 B=2 --json
            {"app":"shop","command":"config:set","done":{"set":["A","B"],"unset":[]},"exit":0,"said":["Set config vars A, B for shop; used from its next release on","added: A, B"],"warned":[]}
            bob$ config:unset shop A --json
            {"app":"shop","command":"config:unset","done":{"set":[],"unset":["A"]},"exit":0,"said":["Unset config var A for shop; used from its next release on","removed: A"],"warned":[]}
            bob$ config:set blog COLOUR=red --json
            {"app":"blog","command":"config:set","done":{"app":"blog","release":"v2","seconds":<took>,"set":["COLOUR"],"status":"live","unset":[],"url":"http://blog.example.com/"},"exit":0,"said":["Set config var COLOUR for blog","added: COLOUR","Running the release command: migrate","Starting v2: web.1","web.1 is up","Live: v2, took <took> (boot <took>, switch <took>)","Requests during the switch: 0 served, 0 lost","http://blog.example.com/"],"warned":[]}
            bob$ ps:restart blog --json
            {"app":"blog","command":"ps:restart","done":{"app":"blog","release":"v2","seconds":<took>,"status":"live","url":"http://blog.example.com/"},"exit":0,"said":["Starting v2: web.1","web.1 is up","Restarted v2, took <took> (boot <took>, switch <took>)","Requests during the switch: 0 served, 0 lost","http://blog.example.com/"],"warned":[]}
            bob$ rollback blog --json
            {"app":"blog","command":"rollback","done":{"app":"blog","release":"v3","seconds":<took>,"status":"live","url":"http://blog.example.com/"},"exit":0,"said":["Back to v1 (Deploy 00000000), with the config vars it had","Config vars removed: COLOUR","to keep today's: rollback blog v1 --keep-config","Running the release command: migrate","Starting v3: web.1","web.1 is up","Live: v3, took <took> (boot <took>, switch <took>)","Requests during the switch: 0 served, 0 lost","http://blog.example.com/"],"warned":[]}
            bob$ ps:scale blog web=2 --json
            {"app":"blog","command":"ps:scale","done":{"formation":{"web":2,"worker":0}},"exit":0,"said":["Scaling blog to web=2 worker=0","web.2 is up"],"warned":[]}
            bob$ ps:stop blog --json
            {"app":"blog","command":"ps:stop","done":{"stopped":2},"exit":0,"said":["Stopped blog (2 instances); ps:start blog starts it again"],"warned":[]}
            bob$ maintenance:on blog --json
            {"app":"blog","command":"maintenance:on","done":{"maintenance":true,"routed":true},"exit":0,"said":["blog answers with our maintenance page (503) now; its instances keep running","maintenance:off blog ends it"],"warned":[]}
            bob$ domains:add blog example.org --json
            {"app":"blog","command":"domains:add","done":{"domains":["example.org"],"process":"web","routed":true},"exit":0,"said":["example.org is now served by blog (web)","http://example.org/","DNS: example.org does not resolve yet","It needs this record, at whoever runs its DNS:","example.org. A 192.0.2.2","or, for a name that is not the top of its zone: example.org. CNAME example.com."],"warned":[]}
            bob$ domains:remove blog example.org --json
            {"app":"blog","command":"domains:remove","done":{"domains":["example.org"],"routed":true},"exit":0,"said":["example.org is no longer served by blog","Still: http://blog.example.com/"],"warned":[]}
            bob$ access:add blog eve --json
            {"app":"blog","command":"access:add","done":{"changed":true,"user":"eve"},"exit":0,"said":["blog is now shared with eve"],"warned":[]}
            ann$ users:add joe --json
            {"app":null,"command":"users:add","done":{"keys":[],"role":"developer","user":"joe"},"exit":0,"said":["Added developer joe without a key; next: keys:add joe < KEY.pub","To send to joe:","You are joe, a developer on the Hoist server example.com.","First send me your public key, ~/.ssh/id_ed25519.pub (made by: ssh-keygen -t ed25519).","Who you are there, what to type next, and all commands:","ssh hoist@example.com","ssh hoist@example.com help","To deploy, in the folder of your app, its files committed (my-app: any name):","git remote add hoist ssh://hoist@example.com/my-app","git push hoist main","The push builds the app, starts it and prints its URL."],"warned":[]}
            ann$ users:set joe --admin --json
            {"app":null,"command":"users:set","done":{"role":"admin","user":"joe"},"exit":0,"said":["joe is now an administrator"],"warned":[]}
            ann$ quota:set joe apps=3 --json
            {"app":null,"command":"quota:set","done":{"quotas":{"apps":3},"user":"joe"},"exit":0,"said":["joe may have apps: 3"],"warned":[]}
            ann$ users:remove joe --json
            {"app":null,"command":"users:remove","done":{"user":"joe"},"exit":0,"said":["Removed joe, their keys and what they had open"],"warned":[]}
            bob$ apps:rename shop store --json
            {"app":"shop","command":"apps:rename","done":{"name":"store","old":"shop","remote":"ssh://hoist@example.com/store","url":"http://store.example.com/"},"exit":0,"said":["shop is called store now; nothing was restarted","http://store.example.com/","git remote set-url hoist ssh://hoist@example.com/store","http://shop.example.com/ does not answer any more","Variables such as HOIST_APP_NAME and HOIST_URL change with the next start"],"warned":[]}
            bob$ apps:destroy store --json
            2| {"app":null,"code":"not-confirmed","command":"apps:destroy","done":{},"exit":1,"next":["apps:destroy store --confirm store"],"said":[],"warned":[],"what":"apps:destroy store cannot be undone: confirm it","why":""}
            exit 1
            bob$ apps:destroy store --confirm store --json
            {"app":"store","command":"apps:destroy","done":{},"exit":0,"said":["Destroying store with its releases, config, logs and repository","Destroyed store"],"warned":[]}
            eve$ apps:destroy store --confirm store --json
            2| {"app":"store","code":"no-such-app","command":"apps:destroy","done":{},"exit":1,"next":["apps:list","git push hoist main  (makes the app if nobody has the name)"],"said":[],"warned":[],"what":"there is no app store","why":""}
            exit 1
            eve$ apps:list --json
            [{"id":"APPID","name":"blog","owner":"bob","release":"v3","stopped":true,"url":"http://blog.example.com/"}]
        "#]],
    )
    .await;
}

/// Every verb that changes something, and none whose output is not its own.
#[test]
fn every_verb_says_how_it_answers() {
    for spec in verbs::TABLE {
        let hands_bytes_through = spec.git || spec.takes_command();
        assert_eq!(spec.answers_json(), !hands_bytes_through, "{}", spec.name);
    }
}
