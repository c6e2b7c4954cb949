//! Users, keys, sharing, quotas.

use super::shop::Shop;
use expect_test::expect;

#[tokio::test]
async fn users_come_and_go() {
    let shop = Shop::open().await;
    shop.check(
        &[
            "root$ users:list",
            "root$ users:add ann --admin < ann",
            "root$ users:add bob",
            "root$ users:add bob",
            "root$ users:list",
            "root$ users:list --json",
            "ann$ users:set bob",
            "ann$ users:set bob --admin",
            "ann$ users:set ann --developer",
            "ann$ users:remove bob",
            "ann$ users:remove bob",
            "ann$ users:remove ann",
            "root$ users:add Bad_Name",
        ],
        expect![[r#"
            root$ users:list
            2| No users yet. users:add NAME [--admin] < KEY.pub
            root$ users:add ann --admin < ann
            Added administrator ann with the key SHA256:MAOjg0iX7cdi8kYKHYX9f4Ktq6dKoTNh1NMDncExagI
            To send to ann:
                   You are ann, an administrator on the Hoist server example.com.
                   Who you are there, what to type next, and all commands:
                     ssh hoist@example.com
                     ssh hoist@example.com help
                   To deploy, in the folder of your app, its files committed (my-app: any name):
                     git remote add hoist ssh://hoist@example.com/my-app
                     git push hoist main
                   The push builds the app, starts it and prints its URL.
            root$ users:add bob
            Added developer bob without a key; next: keys:add bob < KEY.pub
            To send to bob:
                   You are bob, a developer on the Hoist server example.com.
                   First send me your public key, ~/.ssh/id_ed25519.pub (made by: ssh-keygen -t ed25519).
                   Who you are there, what to type next, and all commands:
                     ssh hoist@example.com
                     ssh hoist@example.com help
                   To deploy, in the folder of your app, its files committed (my-app: any name):
                     git remote add hoist ssh://hoist@example.com/my-app
                     git push hoist main
                   The push builds the app, starts it and prints its URL.
            root$ users:add bob
            2|  !     there is a user bob already
            2|  !     next: keys:add bob < KEY.pub
            exit 1
            root$ users:list
            USER  ROLE       KEYS
            ann   admin      1
            bob   developer  0
            root$ users:list --json
            [{"keys":1,"name":"ann","role":"admin"},{"keys":0,"name":"bob","role":"developer"}]
            ann$ users:set bob
            2|  !     say which role: --admin or --developer
            2|  !     next: users:set bob --admin
            2|  !       or: users:set bob --developer
            exit 1
            ann$ users:set bob --admin
            bob is now an administrator
            ann$ users:set ann --developer
            2|  !     ann is the last administrator with a key
            2|  !     without one nobody could manage this server over SSH
            2|  !     next: users:set ANOTHER --admin
            2|  !       or: users:add ANOTHER --admin < KEY.pub
            exit 1
            ann$ users:remove bob
            Removed bob, their keys and what they had open
            ann$ users:remove bob
            2|  !     there is no user bob
            2|  !     next: users:list
            exit 1
            ann$ users:remove ann
            2|  !     you cannot remove yourself
            2|  !     next: another administrator can
            exit 1
            root$ users:add Bad_Name
            2|  !     "Bad_Name" is not a user's name
            2|  !     allowed: 1 to 32 characters a-z 0-9 . _ -, beginning with a letter or digit
            exit 1
        "#]],
    )
    .await;
}

#[tokio::test]
async fn keys_come_and_go() {
    let shop = Shop::staffed().await;
    shop.check(
        &[
            "root$ keys:list",
            "bob$ keys:list",
            "bob$ keys:list --json",
            "bob$ keys:add < ci",
            "bob$ keys:add",
            "bob$ keys:add < nonsense",
            "bob$ keys:list eve",
            "bob$ keys:remove SHA256:nope",
            "bob$ keys:remove ci",
            "root$ keys:add",
            "eve$ users:list",
            "eve$ users:add zoe",
        ],
        expect![[r#"
            root$ keys:list
            USER  FINGERPRINT                                         NAME  ADDED                BY
            ann   SHA256:MAOjg0iX7cdi8kYKHYX9f4Ktq6dKoTNh1NMDncExagI  ann   YYYY-MM-DD hh:mm:ss  root
            bob   SHA256:7uZpbnrDR+alD67ANvSZwGpZSjNBRi8xdK4KUHaT6wE  bob   YYYY-MM-DD hh:mm:ss  root
            eve   SHA256:sF6eeD84KTmwF0gH3EbqScdqIe6RIltsEasJlLDNAE8  eve   YYYY-MM-DD hh:mm:ss  root
            bob$ keys:list
            USER  FINGERPRINT                                         NAME  ADDED                BY
            bob   SHA256:7uZpbnrDR+alD67ANvSZwGpZSjNBRi8xdK4KUHaT6wE  bob   YYYY-MM-DD hh:mm:ss  root  in use now
            bob$ keys:list --json
            [{"added":"<time>","by":null,"current":true,"fingerprint":"SHA256:7uZpbnrDR+alD67ANvSZwGpZSjNBRi8xdK4KUHaT6wE","name":"bob","user":"bob"}]
            bob$ keys:add < ci
            Added SHA256:kec5oaDBuWGu8ITnzsOag5AwO0T9nmIX5IBbnFokVAY for bob
            bob$ keys:add
            2|  !     no key came on standard input
            2|  !     next: ssh … keys:add < ~/.ssh/id_ed25519.pub
            2|  !       or: make a key: ssh-keygen -t ed25519
            exit 1
            bob$ keys:add < nonsense
            2|  !     this is not a public key
            2|  !     length invalid
            2|  !     next: keys:add < ~/.ssh/id_ed25519.pub
            2|  !       or: make one: ssh-keygen -t ed25519
            exit 1
            bob$ keys:list eve
            2|  !     only administrators may do this
            2|  !     next: ask ann (an administrator)
            exit 1
            bob$ keys:remove SHA256:nope
            2|  !     bob has no key SHA256:nope
            2|  !     next: keys:list bob
            exit 1
            bob$ keys:remove ci
            2|  !     bob has no key ci
            2|  !     next: keys:list bob
            exit 1
            root$ keys:add
            2|  !     whose key? Name the user
            2|  !     next: keys:add USER
            2|  !       or: users:list
            exit 1
            eve$ users:list
            2|  !     only administrators may do this
            2|  !     next: ask ann (an administrator)
            exit 1
            eve$ users:add zoe
            2|  !     only administrators may do this
            2|  !     next: ask ann (an administrator)
            exit 1
        "#]],
    )
    .await;
}

#[tokio::test]
async fn deploy_keys() {
    let shop = Shop::staffed().await;
    shop.check(
        &[
            "bob$ deploy-keys:list blog",
            "bob$ deploy-keys:add blog ci < ci",
            "bob$ deploy-keys:add blog",
            "bob$ deploy-keys:list blog",
            "bob$ deploy-keys:list blog --json",
            "ci$ whoami",
            "ci$ builds blog",
            "ci$ config blog",
            "ci$ apps:create other",
            "bob$ deploy-keys:remove blog nope",
            "bob$ deploy-keys:remove blog ci",
            "eve$ deploy-keys:list blog",
        ],
        expect![[r#"
            bob$ deploy-keys:list blog
            2| No deploy keys. deploy-keys:add blog ci < key.pub
            bob$ deploy-keys:add blog ci < ci
            Added the deploy key ci (SHA256:kec5oaDBuWGu8ITnzsOag5AwO0T9nmIX5IBbnFokVAY): it may push to blog and look at its builds
            Its remote: ssh://hoist@example.com/blog
            It ends when bob may not change blog any more
            bob$ deploy-keys:add blog
            2|  !     no key came on standard input
            2|  !     next: ssh … deploy-keys:add blog < ~/.ssh/id_ed25519.pub
            2|  !       or: make a key: ssh-keygen -t ed25519
            exit 1
            bob$ deploy-keys:list blog
            NAME  FINGERPRINT                                         BY   ADDED
            ci    SHA256:kec5oaDBuWGu8ITnzsOag5AwO0T9nmIX5IBbnFokVAY  bob  YYYY-MM-DD hh:mm:ss
            bob$ deploy-keys:list blog --json
            [{"added":"<time>","by":"bob","fingerprint":"SHA256:kec5oaDBuWGu8ITnzsOag5AwO0T9nmIX5IBbnFokVAY","name":"ci"}]
            ci$ whoami
            name: deploy key ci
            role: deploy key
            key:  SHA256:kec5oaDBuWGu8ITnzsOag5AwO0T9nmIX5IBbnFokVAY ci
            from: local
            may:  push to blog and look at its builds
            ci$ builds blog
            2| No builds yet
            ci$ config blog
            2|  !     a deploy key may not do this
            2|  !     it may push to blog and look at its builds; a user's key may do more
            2|  !     next: whoami
            exit 1
            ci$ apps:create other
            2|  !     a deploy key may not do this
            2|  !     it may push to blog and look at its builds; a user's key may do more
            2|  !     next: whoami
            exit 1
            bob$ deploy-keys:remove blog nope
            2|  !     blog has no such deploy key
            2|  !     next: deploy-keys:list blog
            exit 1
            bob$ deploy-keys:remove blog ci
            Removed the deploy key ci (SHA256:kec5oaDBuWGu8ITnzsOag5AwO0T9nmIX5IBbnFokVAY) of blog
            eve$ deploy-keys:list blog
            2|  !     there is no app blog
            2|  !     next: apps:list
            2|  !       or: git push hoist main  (makes the app if nobody has the name)
            exit 1
        "#]],
    )
    .await;
}

#[tokio::test]
async fn apps_are_shared() {
    let shop = Shop::staffed().await;
    shop.check(
        &[
            "bob$ access:list blog",
            "bob$ access:add blog eve",
            "bob$ access:add blog eve",
            "bob$ access:add blog nobody",
            "bob$ access:list blog",
            "bob$ access:list blog --json",
            "eve$ apps:list",
            "bob$ access:remove blog eve",
            "bob$ access:remove blog eve",
            "eve$ access:list blog",
        ],
        expect![[r#"
            bob$ access:list blog
            USER  ACCESS  BY
            bob   owner
            bob$ access:add blog eve
            blog is now shared with eve
            bob$ access:add blog eve
            blog is shared already with eve
            bob$ access:add blog nobody
            2|  !     there is no user nobody
            2|  !     next: users:list
            exit 1
            bob$ access:list blog
            USER  ACCESS  BY
            bob   owner
            eve   shared  bob
            bob$ access:list blog --json
            [{"access":"owner","by":"","user":"bob"},{"access":"shared","by":"bob","user":"eve"}]
            eve$ apps:list
            APP   RELEASE  OWNER  URL
            blog  -        bob    http://blog.example.com/
            bob$ access:remove blog eve
            blog is no longer shared with eve
            2| What eve knows of blog stays known: its source and config vars. New values: config:set blog; programs they may have left in it end with: ps:restart blog
            bob$ access:remove blog eve
            blog was not shared with eve
            eve$ access:list blog
            2|  !     there is no app blog
            2|  !     next: apps:list
            2|  !       or: git push hoist main  (makes the app if nobody has the name)
            exit 1
        "#]],
    )
    .await;
}

#[tokio::test]
async fn who_am_i() {
    let shop = Shop::staffed().await;
    shop.check(&["root$ whoami", "ann$ whoami", "bob$ whoami --json"], expect![[r#"
        root$ whoami
        name: root
        role: admin (root on the server)
        key:
        from: local
        may:  everything
        ann$ whoami
        name: ann
        role: admin
        key:  SHA256:MAOjg0iX7cdi8kYKHYX9f4Ktq6dKoTNh1NMDncExagI ann
        from: local
        may:  everything
        bob$ whoami --json
        {"app":null,"from":"local","key":"SHA256:7uZpbnrDR+alD67ANvSZwGpZSjNBRi8xdK4KUHaT6wE","key_name":"bob","may":"make apps; see and change 1 app (apps:list)","name":"bob","role":"developer"}
    "#]]).await;
}

#[tokio::test]
async fn quotas() {
    let shop = Shop::staffed().await;
    shop.check(
        &[
            "bob$ quota",
            "bob$ quota --json",
            "bob$ quota ann",
            "ann$ quota:set bob apps=1",
            "ann$ quota:set bob apps=x",
            "ann$ quota:set bob what=1",
            "bob$ apps:create second",
            "ann$ quota bob",
            "ann$ quota:unset bob apps",
            "ann$ quota:unset bob",
            "bob$ quota:set bob apps=9",
            "ann$ quota bob --all",
        ],
        expect![[r#"
            bob$ quota
            WHAT        USED  OF       FROM
            apps        1     20       default (user-apps)
            instances   0     30       default (user-instances)
            memory      0 B   8.1 GB   default (user-memory)
            processors  0     45       default (user-cpu)
            disk        0 B   10.0 GB  default (user-disk)
            builds      0     2        default (user-builds)
            sessions    0     50       default (sessions-per-user)
            commands    1     50       default (commands-per-user)
            pushes      0     10       default (pushes-per-user)
            2| disk: 1 app was not measured yet
            bob$ quota --json
            [{"by":null,"from":"default","limit":20,"used":1,"user":"bob","what":"apps"},{"by":null,"from":"default","limit":30,"used":0,"user":"bob","what":"instances"},{"by":null,"from":"default","limit":8192000000,"used":0,"user":"bob","what":"memory"},{"by":null,"from":"default","limit":45000,"used":0,"user":"bob","what":"processors"},{"by":null,"from":"default","limit":10000000000,"measured_ms_ago":null,"unmeasured_apps":1,"used":0,"user":"bob","what":"disk"},{"by":null,"from":"default","limit":2,"used":0,"user":"bob","what":"builds"},{"by":null,"from":"default","limit":50,"used":0,"user":"bob","what":"sessions"},{"by":null,"from":"default","limit":50,"used":1,"user":"bob","what":"commands"},{"by":null,"from":"default","limit":10,"used":0,"user":"bob","what":"pushes"}]
            bob$ quota ann
            2|  !     only administrators may do this
            2|  !     next: ask ann (an administrator)
            exit 1
            ann$ quota:set bob apps=1
            bob may have apps: 1
            ann$ quota:set bob apps=x
            2|  !     "x" is not a number of apps
            2|  !     such as 20, or unlimited
            2|  !     next: quota:set USER apps=20
            exit 1
            ann$ quota:set bob what=1
            2|  !     there is no quota of "what"
            2|  !     there are: apps, instances, memory, processors, disk, builds, sessions, commands, pushes
            2|  !     next: quota:set USER apps=20 memory=8g
            exit 1
            bob$ apps:create second
            2|  !     bob uses 1 of 1 apps, this needs 2
            2|  !     what an app uses is counted for its owner, whoever asks
            2|  !     next: apps:destroy NAME --confirm NAME, one that is not needed (apps:list)
            2|  !       or: ask ann (an administrator) for: quota:set bob apps=2
            exit 1
            ann$ quota bob
            WHAT        USED  OF       FROM
            apps        1     1        set by ann
            instances   0     30       default (user-instances)
            memory      0 B   8.1 GB   default (user-memory)
            processors  0     45       default (user-cpu)
            disk        0 B   10.0 GB  default (user-disk)
            builds      0     2        default (user-builds)
            sessions    0     50       default (sessions-per-user)
            commands    0     50       default (commands-per-user)
            pushes      0     10       default (pushes-per-user)
            2| disk: 1 app was not measured yet
            ann$ quota:unset bob apps
            bob may have apps: 20 again, the default
            ann$ quota:unset bob
            None of that was set for bob; quota bob shows what is in force
            bob$ quota:set bob apps=9
            2|  !     only administrators may do this
            2|  !     next: ask ann (an administrator)
            exit 1
            ann$ quota bob --all
            2|  !     name a user, or --all, not both
            2|  !     next: quota --all
            exit 1
        "#]],
    )
    .await;
}
