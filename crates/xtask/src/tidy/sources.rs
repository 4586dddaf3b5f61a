//! Rules about the text of a file: header, width, ASCII, words that must not stand there.

use super::File;

/// Columns of a line of code or comment.
const COLUMNS_MAX: usize = 100;

/// Words that must not stand in any source, and why. Spelled in pieces, since this file is a
/// source too.
const LEFTOVERS: [(&str, &str); 7] = [
    (concat!("FIX", "ME"), "finish it, or write down why it is fine"),
    (concat!("XX", "X:"), "finish it, or write down why it is fine"),
    (concat!("TO", "DO"), "finish it, or write down why it is fine"),
    (concat!("to", "do!("), "write it"),
    (concat!("unimple", "mented!("), "write it"),
    (concat!("db", "g!("), "remove it"),
    (concat!("#[ig", "nore"), "a test runs, or it is removed"),
];

/// Beginnings of paths that exist on one machine only.
const MACHINE_PATHS: [&str; 3] =
    [concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/wo", "rk/")];

/// A word that is allowed in some places only.
struct Confined {
    word: &'static str,
    reason: &'static str,
    /// Beginnings of paths of files that may use it.
    places: &'static [&'static str],
}

/// What makes a run differ from the run before it stays in the shells, and code that nobody calls
/// goes. Tests, examples and the tools of development may use all of it everywhere.
const CONFINED: [Confined; 6] = [
    Confined { word: "allow(dead_code", reason: "remove the code", places: &["crates/xtask/"] },
    Confined {
        word: "Instant::now(",
        reason: "time is an argument; the server's only clock is clock.rs",
        places: &[
            "crates/server/src/clock.rs",
            "crates/bench/",
            "crates/model/",
            "crates/sim/src/main.rs",
            "crates/xtask/",
        ],
    },
    Confined {
        word: "SystemTime::now(",
        reason: "time is an argument; the server's only clock is clock.rs",
        places: &["crates/server/src/clock.rs", "crates/bench/", "crates/xtask/"],
    },
    Confined {
        word: "thread::sleep(",
        reason: "wait for what you need, with a deadline",
        places: &["crates/server/src/cli/", "crates/bench/", "crates/xtask/"],
    },
    Confined {
        word: "env::var",
        reason: "settings come from the configuration",
        places: &["crates/server/src/cli/", "crates/xtask/"],
    },
    Confined {
        word: "thread_rng(",
        reason: "randomness comes from a seed",
        places: &["crates/xtask/"],
    },
];

pub(super) fn check(files: &[File]) -> Vec<String> {
    files.iter().flat_map(check_file).collect()
}

fn check_file(file: &File) -> Vec<String> {
    let mut findings = Vec::new();
    let path = &file.path;
    if file.is_rust() && !file.text.starts_with("//! ") {
        findings.push(format!("{path}:1: the file doesn't begin with a `//!` header"));
    }
    if !file.text.is_empty() && !file.text.ends_with('\n') {
        findings.push(format!("{path}: the last line doesn't end"));
    }
    let may_wait = file.is_page() || is_for_development(path);
    for (number, line) in (1..).zip(file.text.lines()) {
        let mut found = |what: String| findings.push(format!("{path}:{number}: {what}"));
        if !file.is_page() {
            if line.chars().count() > COLUMNS_MAX {
                found(format!("more than {COLUMNS_MAX} columns"));
            }
            if let Some(other) = line.chars().find(|character| !character.is_ascii()) {
                found(format!("`{other}` is not ASCII"));
            }
        }
        for (word, advice) in LEFTOVERS {
            if line.contains(word) {
                found(format!("`{word}` is left over: {advice}"));
            }
        }
        for word in MACHINE_PATHS {
            if line.contains(word) {
                found(format!("`{word}` is a path of one machine"));
            }
        }
        for Confined { word, reason, places } in &CONFINED {
            if !may_wait && line.contains(word) && !places.iter().any(|at| path.starts_with(at)) {
                found(format!("`{word}` does not belong here: {reason}"));
            }
        }
        if line.trim_end() != line && !file.is_page() {
            found(String::from("blanks at the end of the line"));
        }
    }
    findings
}

/// Whether a file is a test, an example, or a tool beside the workspace.
pub(super) fn is_for_development(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    let folder = |name: &str| parts.iter().rev().skip(1).any(|part| *part == name);
    parts.last() == Some(&"tests.rs") || parts[0] == "fuzz" || folder("tests") || folder("examples")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        check_file(&File { path: path.into(), text: text.into() })
    }

    #[test]
    fn each_rule_finds_what_it_is_about() {
        let good = "//! What it is.\n\nfn main() {}\n";
        assert_eq!(findings("crates/types/src/lib.rs", good), [""; 0]);
        let one = |text: &str| findings("crates/types/src/lib.rs", text).len();
        assert_eq!(one("fn main() {}\n"), 1);
        assert_eq!(one("//! Header."), 1);
        assert_eq!(one("//! Header.\n// \u{e4}\n"), 1);
        assert_eq!(one(&format!("//! {}\n", "x".repeat(97))), 1);
        assert_eq!(one(&format!("//! Header.\n// {}\n", LEFTOVERS[0].0)), 1);
        assert_eq!(one(&format!("//! Header.\n// {}x\n", MACHINE_PATHS[0])), 1);
        assert_eq!(one("//! Header.\n// x \n"), 1);
    }

    #[test]
    fn clocks_are_confined() {
        let text = "//! Header.\nlet now = Instant::now();\n";
        assert_eq!(findings("crates/cluster/src/node/mod.rs", text).len(), 1);
        assert_eq!(findings("crates/server/src/clock.rs", text).len(), 0);
        assert_eq!(findings("crates/cluster/tests/replay.rs", text).len(), 0);
        assert_eq!(findings("crates/wal/examples/speed.rs", text).len(), 0);
    }
}
