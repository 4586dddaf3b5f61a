//! The table is consistent, found by name and by number, and says what Redis says.

use super::*;
use crate::reply::{Protocol, Reply};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

fn all() -> Vec<&'static Command> {
    commands().flat_map(|command| core::iter::once(command).chain(command.subcommands)).collect()
}

fn found(line: &str) -> Result<Vec<usize>, InvalidKeys> {
    let args: Vec<&str> = line.split(' ').collect();
    let mut command = lookup(args[0].as_bytes()).expect("a command");
    if let Some(subcommand) =
        args.get(1).and_then(|word| lookup_subcommand(command, word.as_bytes()))
    {
        command = subcommand;
    }
    Ok(keys(command, &args)?.map(|key| key.index).collect())
}

fn rejected(line: &[&str]) -> String {
    resolve(line).expect_err("no such command").1
}

#[test]
fn every_name_is_found_in_any_case() {
    for command in commands() {
        let upper = command.name.to_ascii_uppercase();
        for name in [command.name, &upper] {
            let row = lookup(name.as_bytes()).expect("every command is found");
            assert!(core::ptr::eq(row, command), "{name}");
        }
        for subcommand in command.subcommands {
            let full = subcommand.name.to_ascii_uppercase();
            let row = lookup_full(full.as_bytes()).expect("every subcommand is found");
            assert!(core::ptr::eq(row, subcommand), "{full}");
        }
    }
    for name in ["", "g", "gett", "ge", "leasehold.reap", "config|get", "get\0", "GE\u{54}T"] {
        assert!(lookup(name.as_bytes()).is_none(), "{name:?}");
    }
    assert!(lookup_full(b"config|").is_none());
    assert!(lookup_full(b"|get").is_none());
    assert!(lookup(&[b'x'; 100_000]).is_none());
}

#[test]
fn numbers_and_rows_correspond() {
    let mut last = 0;
    for id in CommandId::ALL {
        assert!(id.code() > last, "numbers ascend");
        last = id.code();
        assert_eq!(CommandId::from_code(id.code()), Some(*id));
        assert_eq!(id.command().id(), Some(*id));
    }
    assert_eq!(CommandId::from_code(0), None);
    assert_eq!(CommandId::from_code(u16::MAX), None);
    // Numbers are in the replicated log for ever.
    assert_eq!(CommandId::Get.code(), 4);
    assert_eq!(CommandId::Del.code(), 41);
    assert_eq!(CommandId::Reap.code(), 90);
}

#[test]
fn rows_are_well_formed() {
    for command in all() {
        let name = command.name;
        assert!(command.arity != 0 && !command.summary.is_empty(), "{name}");
        assert_eq!(name.to_ascii_lowercase(), name);
        match command.support {
            Support::Yes(_) => {}
            Support::Container => {
                assert!(command.subcommands.iter().any(Command::is_supported), "{name}");
            }
            Support::NotYet(text) | Support::Never(text) => assert!(!text.is_empty(), "{name}"),
        }
        for spec in command.key_specs {
            if let Find::Range { step, .. } | Find::Count { step, .. } = spec.find {
                assert!(step > 0, "{name}");
            }
        }
        let runs_on_keys = command.handler == Handler::Keyspace || name == "watch";
        assert_eq!(runs_on_keys, command.is_supported() && command.keys.first > 0, "{name}");
    }
}

#[test]
fn keys_are_found_by_every_kind_of_specification() {
    for (line, indexes) in [
        ("GET a", &[1][..]),
        ("MGET a b c", &[1, 2, 3]),
        ("MSET a 1 b 2", &[1, 3]),
        ("MSET a 1 b", &[1, 3]),
        ("BITOP AND d a b", &[2, 3, 4]),
        ("COPY a b DB 0", &[1, 2]),
        ("OBJECT ENCODING a", &[2]),
        ("MEMORY USAGE a SAMPLES 5", &[2]),
        ("PING", &[]),
        ("ZUNIONSTORE d 2 a b WEIGHTS 1 2", &[1, 3, 4]),
        ("EVAL x 2 a b c", &[3, 4]),
        ("XREAD COUNT 2 STREAMS a b 0 0", &[4, 5]),
        ("XREADGROUP GROUP g c STREAMS a 0", &[5]),
        ("GEORADIUS a 0 0 1 m STORE b", &[1, 7]),
        ("GEORADIUS a 0 0 1 m", &[1]),
    ] {
        assert_eq!(found(line).as_deref(), Ok(indexes), "{line}");
    }
    for line in ["EVAL x 3 a b", "EVAL x 0", "EVAL x -1 a", "EVAL x y a", "EVAL x", "SORT a", "GET"]
    {
        assert_eq!(found(line), Err(InvalidKeys), "{line}");
    }
    let most = alloc::format!("EVAL x {} a", i64::MAX);
    assert_eq!(found(&most), Err(InvalidKeys));
}

#[test]
fn refusals_are_worded_as_in_redis() {
    for (line, text) in [
        (&["foo", "a", "b"][..], "ERR unknown command 'foo', with args beginning with: 'a' 'b' "),
        (&["fo\r\no"], "ERR unknown command 'fo  o', with args beginning with: "),
        (&["a\u{1b}[", "x\0y"], "ERR unknown command 'a\\x1b[', with args beginning with: 'x' "),
        (&["client", "no"], "ERR unknown subcommand 'no'. Try CLIENT HELP."),
        (&["CLIENT"], "ERR wrong number of arguments for 'client' command"),
        (&["Client", "ID", "x"], "ERR wrong number of arguments for 'client|id' command"),
        (&["GET"], "ERR wrong number of arguments for 'get' command"),
        (
            &["LPUSH", "a"],
            "ERR 'LPUSH' is not supported by this version of Leasehold (lists are planned); \
             see docs/commands.md",
        ),
        (
            &["CLUSTER", "MEET"],
            "ERR 'CLUSTER MEET' is not supported by Leasehold: slots, replicas and leases are \
             managed by the lease manager; see docs/commands.md",
        ),
    ] {
        assert_eq!(rejected(line), text);
    }
    let (x, y) = ("x".repeat(200), "y".repeat(200));
    let text = alloc::format!(
        "ERR unknown command '{}', with args beginning with: '{}' ",
        &x[..128],
        &y[..128]
    );
    assert_eq!(rejected(&[&x, &y, "z"]), text);
    let text = "ERR unknown command 'f', with args beginning with: ";
    for (len, then) in [(124, " 'z' "), (125, " ")] {
        let text = alloc::format!("{text}'{}'{then}", &y[..len]);
        assert_eq!(rejected(&["f", &y[..len], "zz", "w"]), text);
    }
    let none: [&str; 0] = [];
    assert_eq!(rejected(&none), "ERR unknown command '', with args beginning with: ");
}

#[test]
fn what_is_accepted_has_a_number() {
    for (line, id) in [
        (&["gEt", "a"][..], CommandId::Get),
        (&["command"], CommandId::Command),
        (&["command", "count"], CommandId::CommandCount),
        (&["object", "encoding", "a"], CommandId::ObjectEncoding),
        (&["set", "a", "b", "NX", "EX", "1"], CommandId::Set),
        (&["function", "flush"], CommandId::FunctionFlush),
        (&["leasehold", "shards"], CommandId::LeaseholdShards),
    ] {
        let id_found = resolve(line).ok().and_then(Command::id);
        assert_eq!(id_found, Some(id), "{line:?}");
    }
}

/// Replies of Redis 7.0.15.
#[test]
fn command_info_is_what_redis_replies() {
    let info = |name: &str, protocol| {
        let mut buffer = Vec::new();
        let command = lookup_full(name.as_bytes()).expect("a command");
        command_info(&mut Reply::new(&mut buffer, protocol), command);
        String::from_utf8(buffer).expect("names are text")
    };
    let getex = "*10\r\n$5\r\ngetex\r\n:-2\r\n~2\r\n+write\r\n+fast\r\n:1\r\n:1\r\n:1\r\n~3\r\n\
        +@write\r\n+@string\r\n+@fast\r\n~0\r\n~1\r\n%4\r\n$5\r\nnotes\r\n$40\r\n\
        RW and UPDATE because it changes the TTL\r\n$5\r\nflags\r\n~3\r\n+RW\r\n+access\r\n\
        +update\r\n$12\r\nbegin_search\r\n%2\r\n$4\r\ntype\r\n$5\r\nindex\r\n$4\r\nspec\r\n%1\r\n\
        $5\r\nindex\r\n:1\r\n$9\r\nfind_keys\r\n%2\r\n$4\r\ntype\r\n$5\r\nrange\r\n$4\r\nspec\r\n\
        %3\r\n$7\r\nlastkey\r\n:0\r\n$7\r\nkeystep\r\n:1\r\n$5\r\nlimit\r\n:0\r\n~0\r\n";
    assert_eq!(info("getex", Protocol::Resp3), getex);
    let usage = "*10\r\n$12\r\nmemory|usage\r\n:-3\r\n*1\r\n+readonly\r\n:2\r\n:2\r\n:1\r\n*2\r\n\
        +@read\r\n+@slow\r\n*0\r\n*1\r\n*6\r\n$5\r\nflags\r\n*1\r\n+RO\r\n$12\r\nbegin_search\r\n\
        *4\r\n$4\r\ntype\r\n$5\r\nindex\r\n$4\r\nspec\r\n*2\r\n$5\r\nindex\r\n:2\r\n$9\r\n\
        find_keys\r\n*4\r\n$4\r\ntype\r\n$5\r\nrange\r\n$4\r\nspec\r\n*6\r\n$7\r\nlastkey\r\n:0\r\n\
        $7\r\nkeystep\r\n:1\r\n$5\r\nlimit\r\n:0\r\n*0\r\n";
    assert_eq!(info("MEMORY|USAGE", Protocol::Resp2), usage);
}

#[test]
fn every_rendering_is_one_value() {
    use crate::value::{Decoder, ReplyLimits};
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        for command in all() {
            let mut buffer = Vec::new();
            let mut reply = Reply::new(&mut buffer, protocol);
            reply.array(3);
            command_info(&mut reply, command);
            reply.map(1);
            command_docs(&mut reply, command);
            command_help(&mut reply, command);
            let decoded = Decoder::new(ReplyLimits::default()).next(&buffer).expect("a reply");
            assert!(decoded.value.is_some(), "{}", command.name);
            assert_eq!(decoded.consumed, buffer.len(), "{}", command.name);
        }
    }
}

#[test]
fn the_page_names_every_command() {
    let page = commands_markdown();
    for command in all() {
        let name = crate::error::display_name(command);
        let row = ["\n| `", &name, "` | "].concat();
        assert_eq!(page.matches(&row).count(), 1, "{name}");
    }
    assert!(page.lines().all(|line| line.trim_end() == line));
    assert!(page.contains("| `GET` | yes | 1.0.0 | Get the value of a key |"), "{page}");
    assert!(!page.to_string().contains("leasehold.reap"));
}
