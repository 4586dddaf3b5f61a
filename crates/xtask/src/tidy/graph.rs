//! Who may depend on whom. A new edge, or a new crate of others, is a decision: it is written
//! down here, and a decision record says why.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{File, sources};
use crate::{Failure, workspace};

/// What a crate of the workspace may use.
struct Rule {
    name: &'static str,
    /// Its folder under `crates/`.
    folder: &'static str,
    /// Crates of the workspace.
    ours: &'static [&'static str],
    /// Crates of others.
    others: &'static [&'static str],
    /// What its tests and examples may use beyond that.
    development: &'static [&'static str],
    /// Whether it is `no_std`: no clock, file, socket or thread can be named in it.
    pure: bool,
}

const RULES: [Rule; 13] = [
    Rule { name: "types", folder: "types", ours: &[], others: &[], development: &[], pure: true },
    Rule {
        name: "resp",
        folder: "resp",
        ours: &["types"],
        others: &["bytes"],
        development: &[],
        pure: true,
    },
    Rule {
        name: "keyspace",
        folder: "keyspace",
        ours: &["types", "resp"],
        others: &["bytes", "foldhash", "smallvec"],
        development: &["mimalloc"],
        pure: true,
    },
    Rule {
        name: "cluster",
        folder: "cluster",
        ours: &["types", "resp", "keyspace", "placement"],
        others: &["bytes", "foldhash", "hashbrown", "raft", "slog", "smallvec"],
        development: &[],
        pure: true,
    },
    Rule {
        name: "placement",
        folder: "placement",
        ours: &["types"],
        others: &[],
        development: &[],
        pure: true,
    },
    Rule {
        name: "laboratory",
        folder: "laboratory",
        ours: &["types", "placement"],
        others: &["serde_json"],
        development: &[],
        pure: false,
    },
    Rule {
        name: "wal",
        folder: "wal",
        ours: &["types"],
        others: &["bytes", "crc32fast", "rustix"],
        development: &["rustix"],
        pure: false,
    },
    Rule {
        name: "history",
        folder: "history",
        ours: &[],
        others: &["serde_json"],
        development: &[],
        pure: false,
    },
    Rule {
        name: "model",
        folder: "model",
        ours: &[],
        others: &["stateright"],
        development: &[],
        pure: false,
    },
    Rule {
        name: "bench",
        folder: "bench",
        ours: &["types", "resp", "history"],
        others: &["clap", "fastrand", "hdrhistogram", "mio", "rustix", "serde_json"],
        development: &[],
        pure: false,
    },
    Rule {
        name: "sim",
        folder: "sim",
        ours: &["types", "resp", "cluster", "wal", "history"],
        others: &["mimalloc"],
        development: &[],
        pure: false,
    },
    Rule {
        name: "leasehold",
        folder: "server",
        ours: &["types", "resp", "cluster", "wal", "bench", "placement", "laboratory"],
        others: &[
            "clap",
            "bytes",
            "crc32fast",
            "foldhash",
            "hashbrown",
            "httparse",
            "mimalloc",
            "mio",
            "ratatui",
            "rustix",
            "serde_json",
            "signal-hook",
            "slab",
            "smallvec",
            "socket2",
            "toml",
            "tracing",
            "tracing-subscriber",
        ],
        development: &["redis", "serde_json"],
        pure: false,
    },
    Rule {
        name: "xtask",
        folder: "xtask",
        ours: &[],
        others: &["serde_json", "signal-hook"],
        development: &[],
        pure: false,
    },
];

pub(super) fn check(metadata: &Value, files: &[File]) -> Vec<String> {
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ours: Vec<&Value> = packages.iter().filter(|package| package["source"].is_null()).collect();
    let mut findings = Vec::new();
    for package in &ours {
        let name = text(&package["name"]);
        match RULES.iter().find(|rule| rule.name == name) {
            Some(rule) => findings.extend(check_package(package, rule)),
            None => findings.push(format!("crate `{name}` is not in the table of crates")),
        }
    }
    for rule in RULES.iter().filter(|rule| rule.pure) {
        findings.extend(check_pure(rule, files));
    }
    findings
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn check_package(package: &Value, rule: &Rule) -> Vec<String> {
    let mut findings = Vec::new();
    let folder = format!("/crates/{}/Cargo.toml", rule.folder);
    if !text(&package["manifest_path"]).ends_with(&folder) {
        findings.push(format!("crate `{}` is not in crates/{}", rule.name, rule.folder));
    }
    let mut unused: BTreeSet<&str> =
        [rule.ours, rule.others, rule.development].concat().into_iter().collect();
    let dependencies = package["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
    for dependency in dependencies {
        let (name, is_ours) = (text(&dependency["name"]), dependency["source"].is_null());
        let list = if is_ours { rule.ours } else { rule.others };
        let development = text(&dependency["kind"]) == "dev";
        if !(list.contains(&name) || development && rule.development.contains(&name)) {
            let what = if development { "use in tests" } else { "depend on" };
            findings.push(format!("crate `{}` may not {what} `{name}`", rule.name));
        }
        unused.remove(name);
    }
    findings.extend(unused.into_iter().map(|name| {
        format!("crate `{}` doesn't use `{name}`; the table of crates says it may", rule.name)
    }));
    findings
}

/// A crate that says `no_std` and takes `std` back by no door.
fn check_pure(rule: &Rule, files: &[File]) -> Vec<String> {
    let folder = format!("crates/{}/src/", rule.folder);
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.path.starts_with(&folder) && file.is_rust()) {
        let path = &file.path;
        if path.strip_prefix(&folder) == Some("lib.rs") && !file.text.contains("#![no_std]") {
            findings.push(format!("{path}: the crate must be `#![no_std]`"));
        }
        if sources::is_for_development(path) {
            continue;
        }
        let mut lines = (1..).zip(file.text.lines());
        // Unit tests stand at the end of a file.
        let code = lines.by_ref().take_while(|(_, line)| line.trim() != "#[cfg(test)]");
        for (number, line) in code {
            let comment = line.trim_start().starts_with("//");
            if !comment && (names_std(line) || line.contains("extern crate std")) {
                findings.push(format!("{path}:{number}: `std` in a pure crate"));
            }
        }
    }
    findings
}

fn names_std(line: &str) -> bool {
    line.match_indices("std::").any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

/// Fails if a dependency has a licence that `deny.toml` doesn't allow, or doesn't come from the
/// usual registry. What `cargo deny check licenses sources` does, without installing it.
pub(crate) fn licences() -> Result<(), Failure> {
    let allowed = allowed_licences(&workspace::read("deny.toml")?)?;
    let allowed: BTreeSet<&str> = allowed.iter().map(String::as_str).collect();
    let fuzz = workspace::metadata_of("fuzz/Cargo.toml")?;
    let both = [workspace::metadata()?, &fuzz].map(|metadata| metadata["packages"].as_array());
    let packages: Vec<&Value> = both.into_iter().flatten().flatten().collect();
    let mut findings = Vec::new();
    for package in &packages {
        let name = format!("{} {}", text(&package["name"]), text(&package["version"]));
        let licence = text(&package["license"]);
        if !permits(licence, &allowed) {
            findings.push(format!("{name}: licence `{licence}` is not allowed by deny.toml"));
        }
        let source = text(&package["source"]);
        if !(source.is_empty() || source.starts_with("registry+")) {
            findings.push(format!("{name}: comes from {source}, not from the registry"));
        }
    }
    if !findings.is_empty() {
        return Err(findings.join("\n"));
    }
    println!("{} packages, {} licences allowed", packages.len(), allowed.len());
    Ok(())
}

/// The list `allow` of the section `[licenses]`.
fn allowed_licences(deny: &str) -> Result<Vec<String>, Failure> {
    let section = deny.split("[licenses]").nth(1).unwrap_or_default();
    let list = section.split_once("allow = [").and_then(|(_, list)| list.split_once(']'));
    let (list, _) = list.ok_or("deny.toml has no list of allowed licences")?;
    Ok(list.split('"').skip(1).step_by(2).map(String::from).collect())
}

/// Whether an expression such as `(MIT OR Apache-2.0) AND Zlib` can be satisfied. `/` is how old
/// packages write `OR`. `OR` binds less than `AND`.
fn permits(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let words = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = words.split_whitespace().collect();
    let mut rest = words.as_slice();
    let permitted = any(&mut rest, allowed);
    permitted && rest.is_empty()
}

fn any(words: &mut &[&str], allowed: &BTreeSet<&str>) -> bool {
    let mut permitted = all(words, allowed);
    while let ["OR", rest @ ..] = *words {
        *words = rest;
        permitted |= all(words, allowed);
    }
    permitted
}

fn all(words: &mut &[&str], allowed: &BTreeSet<&str>) -> bool {
    let mut permitted = one(words, allowed);
    while let ["AND", rest @ ..] = *words {
        *words = rest;
        permitted &= one(words, allowed);
    }
    permitted
}

fn one(words: &mut &[&str], allowed: &BTreeSet<&str>) -> bool {
    match *words {
        ["(", rest @ ..] => {
            *words = rest;
            let permitted = any(words, allowed);
            if let [")", rest @ ..] = *words {
                *words = rest;
                return permitted;
            }
            false
        }
        [licence, "WITH", exception, rest @ ..] => {
            *words = rest;
            allowed.contains(format!("{licence} WITH {exception}").as_str())
        }
        [licence, rest @ ..] => {
            *words = rest;
            allowed.contains(licence)
        }
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licence_expressions() {
        let list = allowed_licences(
            "x\n[licenses]\n# why\nallow = [\n  \"MIT\",\n  \"Zlib\", \
                                     \"A WITH E\",\n]\n",
        );
        let list = list.expect("a list");
        let allowed = list.iter().map(String::as_str).collect();
        for good in ["MIT", "GPL-3.0 OR MIT", "MIT/X", "(X OR MIT) AND Zlib", "A WITH E OR X"] {
            assert!(permits(good, &allowed), "{good}");
        }
        for bad in ["", "X", "MIT AND X", "MIT AND (X OR Y)", "A", "MIT WITH E", "(MIT", "MIT MIT"]
        {
            assert!(!permits(bad, &allowed), "{bad}");
        }
    }

    #[test]
    fn std_is_found_as_a_word() {
        assert!(names_std("use std::fmt;"));
        assert!(names_std("    ::std::mem::swap(a, b)"));
        assert!(!names_std("my_std::x"));
        assert!(!names_std("use core::fmt;"));
    }
}
