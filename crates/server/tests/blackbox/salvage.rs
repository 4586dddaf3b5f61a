//! The last resort: what remains of a cluster that has lost too many copies goes into a new one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use resp::Value;

use crate::support::{Cluster, Finished, Plan, Program, bulk, integer, leasehold, ok, wait_until};

/// A time that comes long after any test.
const LATER: i64 = 4_000_000_000_000;
/// A value that is longer than a piece of a slot image.
const LONG: usize = 600 << 10;

/// Keys with their values and when they expire.
type Keys = BTreeMap<String, (Vec<u8>, Option<i64>)>;

/// Writes keys of many kinds; answers with what is to be there afterwards.
fn fill(cluster: &Cluster) -> Keys {
    let mut client = cluster.client(1);
    let mut keys = Keys::new();
    for number in 0..500 {
        let key = format!("key:{number}");
        let value = format!("value of {number}");
        assert_eq!(client.ask_args(&[b"SET", key.as_bytes(), value.as_bytes()]), ok());
        keys.insert(key, (value.into_bytes(), None));
    }
    for number in 0..50 {
        let (key, expiry) = (format!("late:{number}"), LATER + number);
        assert_eq!(client.ask(&format!("SET {key} v PXAT {expiry}")), ok());
        keys.insert(key, (b"v".to_vec(), Some(expiry)));
        // By the cluster's clock this one has expired when it is written.
        assert_eq!(client.ask(&format!("SET gone:{number} v PXAT 1000")), ok());
    }
    for number in 0..20 {
        let (from, to) = (format!("key:{number}"), format!("{{key:{number}}}:new"));
        assert_eq!(client.ask(&format!("RENAME {from} {to}")), ok());
        let value = keys.remove(&from).expect("it was written");
        keys.insert(to, value);
        assert_eq!(client.ask(&format!("DEL key:{}", number + 20)), integer(1));
        keys.remove(&format!("key:{}", number + 20));
    }
    client.send("MULTI");
    client.send("SET {tx}a 1");
    client.send("INCRBY {tx}a 41");
    client.send("EXEC");
    (0..3).for_each(|_| drop(client.receive()));
    assert!(matches!(client.receive(), Value::Array(_)));
    keys.insert("{tx}a".into(), (b"42".to_vec(), None));
    // Any bytes, none, and more than one piece.
    let bytes: Vec<u8> = (0..LONG).map(|at| ((at * 31) >> 3) as u8).collect();
    for (key, value) in
        [("bytes", bytes), ("empty", Vec::new()), ("lines", b"a\r\n$1\r\n".to_vec())]
    {
        assert_eq!(client.ask_args(&[b"SET", key.as_bytes(), &value]), ok());
        keys.insert(key.into(), (value, None));
    }
    keys
}

/// Checks that a cluster has exactly these keys.
fn assert_holds(cluster: &Cluster, keys: &Keys) {
    let mut client = cluster.client(1);
    for (key, (value, expiry)) in keys {
        let reply = client.ask_args(&[b"GET", key.as_bytes()]);
        assert_eq!(reply, Value::Bulk(value.clone()), "{key}");
        let expiry = expiry.unwrap_or(-1);
        assert_eq!(client.ask_args(&[b"PEXPIRETIME", key.as_bytes()]), integer(expiry), "{key}");
    }
    assert_eq!(client.ask("DBSIZE"), integer(keys.len() as i64));
}

fn kill_all(cluster: &mut Cluster) {
    for node in cluster.nodes_mut() {
        node.kill();
    }
}

/// The data directories of these nodes.
fn dirs(cluster: &Cluster, nodes: &[u32]) -> Vec<PathBuf> {
    nodes.iter().map(|node| cluster[*node].data.clone()).collect()
}

fn salvage(dirs: &[PathBuf], more: &[&str]) -> Finished {
    Program::run(leasehold().arg("salvage").args(dirs).args(more))
}

fn salvage_into(dirs: &[PathBuf], file: &Path) -> Finished {
    let file = file.to_str().expect("it is plain");
    salvage(dirs, &["--output", file])
}

fn load(cluster: &Cluster, file: &Path) -> String {
    let mut command = leasehold();
    command.arg("load").arg(file).arg("--url").arg(cluster[1].address.to_string());
    Program::run(&mut command).success()
}

/// What is in a directory, byte by byte.
fn content(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = fs::read_dir(directory).expect("it is there");
    let paths = files.map(|file| file.expect("it can be read").path());
    paths.map(|path| (path.clone(), fs::read(path).expect("it can be read"))).collect()
}

#[test]
fn what_one_of_three_nodes_has_left_goes_into_a_new_cluster() {
    let mut cluster = Plan::of(3).patient().start();
    let keys = fill(&cluster);
    let mut client = cluster.client(1);
    assert_eq!(client.ask("LEASEHOLD PIN 3 NODE 2"), ok());
    // Read at a holder, or what has expired would not be gone by the log yet.
    assert_holds(&cluster, &keys);
    kill_all(&mut cluster);
    for lost in [1, 3] {
        fs::remove_dir_all(&cluster[lost].data).expect("it can be removed");
    }
    let left = dirs(&cluster, &[2]);
    let before = content(&left[0]);
    let file = cluster.directory().join("saved");
    let said = salvage_into(&left, &file);
    assert!(said.status.success(), "{said:#?}");
    assert!(said.errors.contains("MAY MISS WRITES"), "{said:#?}");
    assert!(said.errors.contains("1 of 3: n2"), "{said:#?}");
    assert!(!said.errors.contains("LOST"), "{said:#?}");
    assert!(said.errors.contains("leasehold pin 3 --node 2"), "{said:#?}");
    assert!(content(&left[0]) == before, "the directory was changed");
    let again = salvage_into(&left, &file);
    assert!(!again.status.success() && again.errors.contains("exists already"), "{again:#?}");
    let mut new = Plan::of(3).patient().start();
    assert_eq!(load(&new, &file), format!("{} keys loaded.\n", keys.len()));
    assert_holds(&new, &keys);
    // It is a cluster like any other.
    kill_all(&mut new);
    new.start_all();
    assert_holds(&new, &keys);
}

#[test]
fn two_of_three_nodes_have_all_that_was_acknowledged() {
    let mut cluster = Plan::of(3).patient().start();
    let mut keys = fill(&cluster);
    // Node 3 has not heard of these: it is the one with the older copies.
    cluster[3].kill();
    cluster.wait_until_without_leases(3);
    let mut client = cluster.client(1);
    for number in 0..100 {
        assert_eq!(client.ask(&format!("SET new:{number} {number}")), ok());
        keys.insert(format!("new:{number}"), (number.to_string().into_bytes(), None));
    }
    cluster[1].kill();
    cluster[2].kill();
    let file = cluster.directory().join("saved");
    let said = salvage_into(&dirs(&cluster, &[3, 2]), &file);
    assert!(said.status.success(), "{said:#?}");
    assert!(said.errors.contains("nothing that was acknowledged is missing"), "{said:#?}");
    let new = Plan::of(1).patient().start();
    load(&new, &file);
    assert_holds(&new, &keys);
}

#[test]
fn of_five_nodes_what_no_copy_is_left_of_is_named() {
    let mut cluster = Plan::of(5).with("replicas", "3").patient().start();
    let keys = fill(&cluster);
    assert_holds(&cluster, &keys);
    kill_all(&mut cluster);
    // Each shard has three of five nodes, so two that are left have a copy of almost all.
    let file = cluster.directory().join("two");
    let said = salvage_into(&dirs(&cluster, &[4, 5]), &file);
    assert!(said.status.success(), "{said:#?}");
    assert!(said.errors.contains("LOST") && said.errors.contains("MAY MISS"), "{said:#?}");
    let new = Plan::of(1).patient().start();
    load(&new, &file);
    let mut client = new.client(1);
    let mut found = 0;
    for (key, (value, _)) in &keys {
        let reply = client.ask_args(&[b"GET", key.as_bytes()]);
        if reply != Value::Null {
            assert_eq!(reply, Value::Bulk(value.clone()), "{key}");
            found += 1;
        }
    }
    assert!(found > 0 && found < keys.len(), "{found} of {}", keys.len());
    // Three of five have a copy of all.
    let file = cluster.directory().join("three");
    let said = salvage_into(&dirs(&cluster, &[1, 4, 5]), &file);
    assert!(said.status.success() && !said.errors.contains("LOST"), "{said:#?}");
    let new = Plan::of(1).patient().start();
    load(&new, &file);
    assert_holds(&new, &keys);
}

#[test]
fn a_new_cluster_is_founded_with_a_word_or_not_at_all() {
    let mut cluster = Plan::of(3).patient().start();
    for node in cluster.nodes() {
        assert!(node.log().contains("a founder of a new, empty one"), "{}", node.log());
    }
    assert_eq!(cluster.client(1).ask("SET a 1"), ok());
    kill_all(&mut cluster);
    for node in cluster.nodes_mut() {
        node.set("found", "false");
    }
    // Those that know the cluster give a lost directory its data back as ever.
    fs::remove_dir_all(&cluster[1].data).expect("it can be removed");
    cluster.start_all();
    cluster.wait_until_voters(1, 3);
    assert_eq!(cluster.client(1).ask("GET a"), bulk("1"));
    kill_all(&mut cluster);
    for node in cluster.nodes_mut() {
        fs::remove_dir_all(&node.data).expect("it can be removed");
        node.start();
    }
    wait_until("all say that they found nothing", || {
        cluster.nodes().iter().all(|node| node.log().contains("not to found a new one"))
    });
    kill_all(&mut cluster);
    for node in cluster.nodes_mut() {
        node.set("found", "true");
    }
    cluster.start_all();
    assert_eq!(cluster.client(1).ask("GET a"), Value::Null);
}

fn assert_refused(finished: &Finished, words: &[&str]) {
    assert_eq!(finished.status.code(), Some(1), "{finished:#?}");
    for word in words {
        assert!(finished.errors.contains(word), "no {word:?} in {finished:#?}");
    }
}

#[test]
fn directories_in_use_of_others_and_given_twice_are_refused() {
    let mut cluster = Plan::of(1).patient().start();
    assert_eq!(cluster.client(1).ask("SET a 1"), ok());
    let pid = format!("process {}", cluster[1].pid());
    assert_refused(&salvage(&dirs(&cluster, &[1]), &[]), &["a node runs on", &pid, "stop all"]);
    kill_all(&mut cluster);
    let own = dirs(&cluster, &[1])[0].clone();
    assert_refused(&salvage(&[own.clone(), own.clone()], &[]), &["is given twice"]);
    let copy = cluster.directory().join("copy");
    fs::create_dir(&copy).expect("it can be made");
    for (path, bytes) in content(&own) {
        fs::write(copy.join(path.file_name().expect("it has one")), bytes).expect("a copy");
    }
    assert_refused(&salvage(&[own.clone(), copy], &[]), &["copies of one directory of node 1"]);
    let empty = cluster.directory().join("empty");
    fs::create_dir(&empty).expect("it can be made");
    assert_refused(&salvage(&[own.clone(), empty.clone()], &[]), &["no node has ever run on"]);
    assert!(content(&empty).is_empty(), "something was written there");
    assert_refused(&salvage(&[cluster.directory().join("none")], &[]), &["cannot open"]);
    // Another cluster of the same name.
    let mut other = Plan::of(1).patient().start();
    kill_all(&mut other);
    let both = [own.clone(), other[1].data.clone()];
    assert_refused(&salvage(&both, &[]), &["different clusters of the same name"]);
    let mut other = Plan::of(1).with("cluster", "other").patient().start();
    kill_all(&mut other);
    let both = [own, other[1].data.clone()];
    assert_refused(&salvage(&both, &[]), &["different clusters, `leasehold` and `other`"]);
}

#[test]
fn of_a_damaged_directory_nothing_is_taken_unasked() {
    let mut cluster = Plan::of(1).patient().start();
    let mut client = cluster.client(1);
    let value = vec![b'v'; 4 << 10];
    for number in 0..400 {
        let key = format!("key:{number}");
        assert_eq!(client.ask_args(&[b"SET", key.as_bytes(), &value]), ok());
    }
    kill_all(&mut cluster);
    let own = dirs(&cluster, &[1]);
    let segments = content(&own[0]).into_keys();
    let segment = segments.filter(|path| path.extension().is_some_and(|it| it == "segment"));
    let victim = segment.min().expect("there is a log");
    let mut bytes = fs::read(&victim).expect("it can be read");
    let end = bytes.iter().rposition(|byte| *byte != 0).expect("it has commits");
    let within = bytes[end / 2..].iter().position(|byte| *byte == b'v').expect("it has values");
    bytes[end / 2 + within] ^= 0x10;
    fs::write(&victim, &bytes).expect("it can be written to");
    let words = ["is damaged", "is unreadable, but later ones exist", "--accept-damage"];
    assert_refused(&salvage(&own, &[]), &words);
    let file = cluster.directory().join("saved");
    let file_name = file.to_str().expect("it is plain");
    let said = salvage(&own, &["--accept-damage", "--output", file_name]);
    assert!(said.status.success(), "{said:#?}");
    assert!(said.errors.contains("DAMAGED") && said.errors.contains("MAY MISS"), "{said:#?}");
    let new = Plan::of(1).patient().start();
    load(&new, &file);
    let Value::Integer(keys) = new.client(1).ask("DBSIZE") else { panic!("a number") };
    assert!((1..400).contains(&keys), "{keys} keys");
    // They are those that were written first.
    for number in 0..keys {
        let reply = new.client(1).ask(&format!("GET key:{number}"));
        assert_eq!(reply, Value::Bulk(value.clone()), "key:{number}");
    }
}
