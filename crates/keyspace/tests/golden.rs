//! Scenarios as text: each file of `testdata` is a transcript of commands and their replies.
//!
//! `> COMMAND ..` applies a command from the log, `? COMMAND ..` reads outside the log, `now N`
//! sets the time, `#` begins a comment. Arguments are separated by spaces; `"` quotes, with `\xHH`
//! for any byte. The environment variable `UPDATE_GOLDEN` rewrites the files with the replies of
//! this build.

use keyspace::{Changes, Context, Keyspace, Mode, Outcome};
use resp::{CommandId, Protocol, Reply};
use std::fmt::Write;
use std::path::Path;
use types::{SlotRange, UnixMillis};

fn arguments(line: &str) -> Vec<Vec<u8>> {
    let mut arguments = Vec::new();
    let mut current: Option<Vec<u8>> = None;
    let mut quoted = false;
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        match char {
            '"' => {
                quoted = !quoted;
                current.get_or_insert_default();
            }
            ' ' if !quoted => arguments.extend(current.take()),
            '\\' => {
                let digits: String = chars.by_ref().skip(1).take(2).collect();
                let byte = u8::from_str_radix(&digits, 16).expect("an escape is \\xHH");
                current.get_or_insert_default().push(byte);
            }
            char => current.get_or_insert_default().push(char as u8),
        }
    }
    arguments.extend(current);
    arguments
}

fn visible(reply: &[u8]) -> String {
    let mut text = String::new();
    let mut rest = reply;
    while let [byte, after @ ..] = rest {
        rest = after;
        match (byte, after) {
            (b'\r', [b'\n', after @ ..]) => {
                text.push('\n');
                rest = after;
            }
            (b' '..=b'~', _) => text.push(char::from(*byte)),
            _ => write!(text, "\\x{byte:02x}").expect("writing to a string"),
        }
    }
    text
}

fn replay(scenario: &str) -> String {
    let mut keyspace = Keyspace::new(SlotRange::ALL, 1);
    let slot = resp::slot_of(b"any: commands do not check the slot of their keys");
    let mut now = UnixMillis(1_000_000);
    let mut transcript = String::new();
    for line in scenario.lines() {
        let mode = match line.as_bytes() {
            [b'>', ..] => Mode::Apply,
            [b'?', ..] => Mode::Read,
            [b'#', ..] => {
                writeln!(transcript, "{line}").expect("writing to a string");
                continue;
            }
            _ => {
                if let Some(time) = line.strip_prefix("now ") {
                    writeln!(transcript, "{line}").expect("writing to a string");
                    now = UnixMillis(time.parse().expect("a time in milliseconds"));
                }
                continue;
            }
        };
        let arguments = arguments(&line[2..]);
        let args: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
        // REAP is not a client's command, so its name is not known.
        let known = resp::resolve(&args).ok().and_then(resp::Command::id);
        let reap = (args[0] == b"REAP").then_some(CommandId::Reap);
        let mut buffer = Vec::new();
        let mut reply = Reply::new(&mut buffer, Protocol::Resp2);
        let mut changes = Changes::recording();
        let context = Context { now, seed: 1, mode, budget: types::limits::COMMAND_WORK_MAX };
        let command = known.or(reap).expect("an implemented command");
        let outcome = keyspace.execute(command, slot, &args, &context, &mut changes, &mut reply);
        writeln!(transcript, "{line}").expect("writing to a string");
        transcript.push_str(&match outcome {
            Outcome::Done => visible(&buffer),
            Outcome::Expired => String::from("(expired)\n"),
        });
    }
    transcript
}

#[test]
fn the_scenarios_have_their_replies() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut scenarios = 0;
    for file in std::fs::read_dir(folder).expect("the folder of scenarios") {
        let path = file.expect("an entry of the folder").path();
        let expected = std::fs::read_to_string(&path).expect("a scenario");
        let actual = replay(&expected);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, actual).expect("the scenario can be rewritten");
        } else {
            assert_eq!(actual, expected, "{}", path.display());
        }
        scenarios += 1;
    }
    assert!(scenarios > 0);
}
