//! Replicas that hold some of the partitions, as processes: exact in what they hold, also after they were killed; what
//! they do not hold is answered with where to go, and they take nobody's place.

use std::path::Path;
use std::process::Output;

use apograph_bench::exact::journals;
use apograph_client::client::{Match, Part, Scope};
use apograph_client::format::{Durability, Partitioning, Uri, View};
use apograph_client::types::{DocumentRequest, ReadQuery};
use serde_json::Value;

use super::process::{Server, block_on, done, eventually};

const KILLS: usize = 3;

fn uri(n: usize) -> Uri {
    Uri::parse(&format!("/d/{n}")).unwrap()
}

fn partition(uri: &Uri) -> u16 {
    Partitioning::new(3).unwrap().of(uri).0
}

fn in_partition(wanted: u16) -> Uri {
    (0..).map(uri).find(|uri| partition(uri) == wanted).unwrap()
}

fn held(server: &Server) -> &'static [u16] {
    if server.name == "left" { &[0, 2] } else { &[1] }
}

fn part(root: &Path, name: &'static str, primary: &Server) -> Server {
    let server = Server::init(root, name, "replica", Some((primary, "link-replica")), 0);
    let partitions = held(&server);
    server.configure(|database| database["held_partitions"] = partitions.into());
    server.start();
    server.wait();
    server
}

fn write(server: &Server, numbers: std::ops::Range<usize>) {
    let client = server.client("editor");
    for n in numbers {
        let document = DocumentRequest { body: Some(format!("text {n}")), ..DocumentRequest::default() };
        block_on(client.put_document("main", &uri(n % 60), &document, Match::Any)).unwrap();
    }
}

fn outcome(server: &Server, role: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = server.command(role, arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

fn json(server: &Server, role: &str, arguments: &[&str]) -> Value {
    let mut command = server.command(role, arguments);
    serde_json::from_slice(&done(command.args(["--output", "json"])).stdout).unwrap()
}

/// Digests, exports and positions of what a part holds are those of the primary.
fn check_equal(primary: &Server, copy: &Server) {
    let token = primary.token("reader");
    let against = ["--against", &primary.url(), "--against-token-file", token.to_str().unwrap()];
    eventually("it is equal", || {
        let verified = outcome(copy, "reader", &[&["verify"], &against[..]].concat());
        let status = |server: &Server| server.status().unwrap().databases[0].clone();
        verified.0 == Some(0) && status(copy).visible == status(primary).visible
    });
    let verdict = json(copy, "reader", &[&["verify", "--thorough"], &against[..]].concat());
    assert_eq!((&verdict["equal"], &verdict["common"]), (&true.into(), &held(copy).into()), "{verdict}");
    let at = copy.status().unwrap().databases[0].visible;
    let of = Part { view: View::Full, at, scope: Scope::Whole, partitions: held(copy).to_vec() };
    let export = |server: &Server| {
        block_on(async {
            let mut lines = server.client("reader").export_lines("main", &of).await.unwrap();
            let mut found = Vec::new();
            while let Some(line) = lines.next().await.unwrap() {
                found.push(line);
            }
            found
        })
    };
    assert!(export(copy) == export(primary), "{}: another export", copy.name);
    // A checkpoint of the primary may be on its way.
    eventually("it stands where the primary stands", || {
        let (here, there) =
            (copy.status().unwrap().databases.remove(0), primary.status().unwrap().databases.remove(0));
        here.partitions.iter().all(|of| {
            let expected = &there.partitions[usize::from(of.partition.0)];
            (of.applied, of.journal_end) == (expected.applied, expected.journal_end)
        })
    });
}

/// The same, and journals that begin at the beginning are equal byte for byte.
fn check_exact(primary: &Server, copy: &Server) {
    check_equal(primary, copy);
    let is_held = |name: &str| held(copy).iter().any(|of| name.contains(&format!("/{of:0>3}/")));
    eventually("the journals are equal", || {
        let (here, there) = (journals(&copy.folder), journals(&primary.folder));
        assert!(there.keys().any(|name| is_held(name)) && !there.keys().all(|name| is_held(name)));
        there.iter().all(|(name, bytes)| here.get(name) == is_held(name).then_some(bytes))
    });
}

#[test]
fn parts_are_exact_and_say_where_the_rest_is() {
    let root = tempfile::tempdir().unwrap();
    let primary = Server::init(root.path(), "primary", "primary", None, 3);
    primary.start();
    primary.wait();
    write(&primary, 0..100);
    let [left, right] = ["left", "right"].map(|name| part(root.path(), name, &primary));
    for copy in [&left, &right] {
        check_exact(&primary, copy);
    }

    // Killed while something is written, again and again.
    for kill in 0..KILLS {
        std::thread::scope(|scope| {
            scope.spawn(|| write(&primary, 100 * kill..100 * kill + 120));
            left.kill();
            left.start();
            left.wait();
        });
        check_exact(&primary, &left);
    }

    // By difference.
    done(&mut left.command("admin", &["sync", "--wait"]));
    check_equal(&primary, &left);
    write(&primary, 0..30);
    check_equal(&primary, &left);

    // Reads elsewhere.
    let (here, there) = (in_partition(0), in_partition(1));
    let get = |uri: &Uri| outcome(&left, "reader", &["get", uri.as_str()]);
    assert_eq!(get(&here).0, Some(0));
    for arguments in [&["get", there.as_str()][..], &["history", there.as_str()]] {
        let (status, _, said) = outcome(&left, "reader", arguments);
        assert_eq!(status, Some(3), "{said}");
        assert!(
            said.contains("partition 1") && said.contains(&format!("--server {}", primary.url())),
            "{said}"
        );
    }
    let refused =
        block_on(left.client("reader").document("main", &there, &ReadQuery::default())).unwrap_err();
    let problem = refused.problem().unwrap();
    assert_eq!((problem.status, problem.code.as_str()), (421, "partition-elsewhere"));
    assert_eq!(problem.text("url"), Some(primary.url().as_str()));
    assert_eq!(problem.extra["partition"], 1);
    let (_, listed, note) = outcome(&left, "reader", &["ls"]);
    assert!(listed.contains(here.as_str()) && !listed.contains(&format!("{there}\n")), "{listed}");
    assert!(note.contains("of partitions 0, 2 only"), "{note}");
    let (_, exported, _) = outcome(&left, "reader", &["export"]);
    assert!(exported.lines().next().unwrap().contains(r#""partitions":[0,2],"of":3"#));

    // What they have together.
    let together = |with: &[&Server]| {
        let urls: Vec<String> = with.iter().map(|server| server.url()).collect();
        let files: Vec<String> =
            with.iter().map(|server| server.token("reader").to_string_lossy().into_owned()).collect();
        let mut arguments = vec!["status"];
        for (url, file) in urls.iter().zip(&files) {
            arguments.extend(["--with", url, "--with-token-file", file]);
        }
        json(&left, "reader", &arguments)
    };
    // A checkpoint of the primary may be on its way to either of them.
    let common =
        || [&left, &right].map(|server| server.status().unwrap().databases[0].visible.0).into_iter().min();
    let before = common();
    let both = together(&[&right]);
    assert!(before <= both["common"].as_u64() && both["common"].as_u64() <= common(), "{both}");
    assert_eq!(
        (&both["missing"], &both["partitions"][1]["best"]),
        (&Value::Array(vec![]), &right.url().into())
    );
    right.stop();
    let missing = together(&[&primary]);
    assert_eq!(missing["missing"], Value::Array(vec![]));
    right.start();
    right.wait();
    check_exact(&primary, &right);

    // They take nobody's place, and count for no write.
    let (status, plan, _) = outcome(&left, "admin", &["promote", "--plan"]);
    assert_eq!(status, Some(3));
    assert!(plan.contains("partitions-elsewhere") && plan.contains("and not 1"), "{plan}");
    let (status, _, said) = outcome(&left, "admin", &["promote", "--force"]);
    assert_eq!(status, Some(3), "{said}");
    eventually("it reports what it holds", || {
        let (status, _, said) = outcome(&primary, "admin", &["switchover", "--to", "left"]);
        assert_eq!(status, Some(3), "{said}");
        said.contains("holds partitions 0, 2 only")
    });
    let durability = Durability::of(1).to_string();
    let put = ["put", there.as_str(), "-m", "more", "--durability", &durability, "--within", "300ms"];
    assert_eq!(outcome(&primary, "editor", &put).0, Some(10));
    assert_eq!(outcome(&left, "admin", &["backup", "make", "x"]).0.map(|status| status != 0), Some(true));

    // A setting does not change what is held.
    left.stop();
    left.configure(|database| database["held_partitions"] = Value::from(&[0_u16, 1][..]));
    let mut serve = super::process::apograph();
    let refused = serve.arg("serve").arg("--dir").arg(&left.folder).output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && said.contains("does not change which"), "{said}");
}

#[test]
fn init_refuses_parts_that_cannot_be() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("x");
    for (role, partitions) in [("primary", "0"), ("staging", "0"), ("replica", "1,1"), ("replica", "64")] {
        let mut init = super::process::apograph();
        init.args(["init", "--role", role, "--held-partitions", partitions, "--dir"]).arg(&dir);
        let refused = init.output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{}", String::from_utf8_lossy(&refused.stderr));
        assert!(!dir.exists());
    }
}
