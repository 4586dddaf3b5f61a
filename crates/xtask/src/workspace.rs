//! The repository: its root, its files, and what Cargo knows about its packages.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::{Failure, process};

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package)
}

/// Paths of all files that belong to the project, relative to its root and sorted: those that are
/// committed and those that could be.
pub(crate) fn files() -> Result<Vec<String>, Failure> {
    let listed = git(&["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?;
    let mut files: Vec<String> =
        listed.split('\0').filter(|path| !path.is_empty()).map(String::from).collect();
    files.retain(|path| root().join(path).is_file());
    files.sort_unstable();
    files.dedup();
    Ok(files)
}

/// The text of a file of the project.
pub(crate) fn read(path: &str) -> Result<String, Failure> {
    std::fs::read_to_string(root().join(path)).map_err(|error| format!("{path}: {error}"))
}

/// Writes a file of the project.
pub(crate) fn write(path: &str, text: &str) -> Result<(), Failure> {
    let path = root().join(path);
    let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    let written = made.and_then(|()| std::fs::write(&path, text));
    written.map_err(|error| format!("{}: {error}", path.display()))
}

/// What `cargo metadata` says about all packages in the lock file.
pub(crate) fn metadata() -> Result<&'static Value, Failure> {
    static METADATA: OnceLock<Result<Value, Failure>> = OnceLock::new();
    METADATA.get_or_init(|| metadata_of("Cargo.toml")).as_ref().map_err(Failure::clone)
}

/// The same for the workspace with this manifest.
pub(crate) fn metadata_of(manifest: &str) -> Result<Value, Failure> {
    let words = ["metadata", "--format-version", "1", "--locked", "--manifest-path", manifest];
    let text = process::capture(&mut process::cargo(&words))?;
    serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))
}

/// Where Cargo puts what it builds.
pub(crate) fn target() -> Result<PathBuf, Failure> {
    let target = metadata()?["target_directory"].as_str();
    target.map(PathBuf::from).ok_or_else(|| "cargo metadata names no target directory".into())
}

/// The commit that is checked out, short, with a mark if the files differ from it.
pub(crate) fn commit() -> String {
    let commit = git(&["rev-parse", "--short=12", "HEAD"]);
    let changed = git(&["status", "--porcelain"]).is_ok_and(|changes| !changes.is_empty());
    let commit = commit.unwrap_or_else(|_| "unknown".into());
    format!("{}{}", commit.trim(), if changed { " with uncommitted changes" } else { "" })
}

/// What git says about the repository, whoever owns its folder.
fn git(words: &[&str]) -> Result<String, Failure> {
    let mut git = Command::new("git");
    process::capture(git.args(["-c", "safe.directory=*"]).args(words).current_dir(root()))
}

/// Builds the released server alone, and says where it is. Alone, because with the simulator
/// beside it Cargo would build it with the features that only tests may have.
pub(crate) fn build_server() -> Result<PathBuf, Failure> {
    process::run(&mut process::cargo(&["build", "--release", "--locked", "-p", "leasehold"]))?;
    Ok(target()?.join("release").join("leasehold"))
}
