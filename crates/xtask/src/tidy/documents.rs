//! Rules about pages: a link to a file leads to one, and so does a page that a source names.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::{File, sources};

pub(super) fn check(files: &[File], paths: &[String]) -> Vec<String> {
    let mut known: BTreeSet<&str> = BTreeSet::new();
    for path in paths {
        known.extend(Path::new(path).ancestors().filter_map(Path::to_str));
    }
    let mut findings = Vec::new();
    for file in files {
        let path = &file.path;
        let mut missing = |number: usize, target: &str| {
            findings.push(format!("{path}:{number}: there is no `{target}`"));
        };
        for (number, line) in (1..).zip(file.text.lines()) {
            if file.is_page() {
                for link in links(line) {
                    if !resolve(path, link).is_some_and(|to| known.contains(to.as_str())) {
                        missing(number, link);
                    }
                }
            } else if !sources::is_for_development(path) && !path.starts_with("crates/xtask/") {
                for page in pages(line) {
                    // `docs/adr/0004` stands for the page whose name begins so.
                    if !paths.iter().any(|path| path.starts_with(page)) {
                        missing(number, page);
                    }
                }
            }
        }
    }
    findings
}

/// The targets of links to files. What stands between back quotes is code.
fn links(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for text in line.split('`').step_by(2) {
        for behind in text.split("](").skip(1) {
            let target = behind.split(')').next().unwrap_or_default();
            let target = target.split(['#', ' ']).next().unwrap_or_default();
            let elsewhere = target.contains("://") || target.starts_with("mailto:");
            if !target.is_empty() && !elsewhere {
                found.push(target);
            }
        }
    }
    found
}

/// A link's target from the root of the project; `None` if it leads out of it.
fn resolve(page: &str, link: &str) -> Option<String> {
    let mut path = PathBuf::new();
    let from = if link.starts_with('/') { Path::new("") } else { Path::new(page).parent()? };
    for part in from.join(link.trim_start_matches('/')).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::ParentDir => {
                if !path.pop() {
                    return None;
                }
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    path.to_str().map(String::from)
}

/// The pages under `docs/` that a line names.
fn pages(line: &str) -> Vec<&str> {
    let is_path = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.');
    let mut found = Vec::new();
    for (at, _) in line.match_indices("docs/") {
        let end = line[at..].find(|c| !is_path(c)).map_or(line.len(), |end| at + end);
        let page = line[at..end].trim_end_matches(['.', '/']);
        let begins = at == 0 || !is_path(line.as_bytes()[at - 1].into());
        if begins && page.len() > "docs/".len() {
            found.push(page);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_and_resolved() {
        let line = "see [a](b.md#c), `[x](y)`, [w](https://e.org/) and ![p](../img/p.png \"t\")";
        assert_eq!(links(line), ["b.md", "../img/p.png"]);
        assert_eq!(resolve("docs/a.md", "b.md").as_deref(), Some("docs/b.md"));
        assert_eq!(resolve("docs/adr/a.md", "../../README.md").as_deref(), Some("README.md"));
        assert_eq!(resolve("README.md", "/docs").as_deref(), Some("docs"));
        assert_eq!(resolve("README.md", "../x"), None);
    }

    #[test]
    fn pages_that_sources_name_are_found() {
        assert_eq!(
            pages("// docs/adr/0002. See docs/model.md, mydocs/x."),
            ["docs/adr/0002", "docs/model.md"]
        );
    }
}
