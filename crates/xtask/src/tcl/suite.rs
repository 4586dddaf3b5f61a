//! Getting the suite: the source package of Redis, through the system's own package archive.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{capture, run as run_command};
use crate::{Failure, workspace};

/// The version whose suite is the exam.
const VERSION: &str = "7.0.15";

/// The folder of the suite; fetched if it isn't there.
pub(super) fn fetch() -> Result<PathBuf, Failure> {
    let folder = workspace::target()?.join("redis-suite");
    let suite = folder.join("redis");
    if suite.join("tests/test_helper.tcl").is_file() {
        return Ok(suite);
    }
    println!("fetching the test-suite of Redis {VERSION}");
    fetch_into(&folder).map_err(|error| {
        let advice = "put the `tests` folder of that version's source there, or check apt-get";
        format!("can't fetch the suite into {}: {error}; {advice}", suite.display())
    })?;
    Ok(suite)
}

fn fetch_into(folder: &Path) -> Result<(), Failure> {
    let io = |error: std::io::Error| error.to_string();
    let parts = folder.join("sources");
    let lists = folder.join("lists");
    for path in [&parts, &lists.join("partial")] {
        fs::create_dir_all(path).map_err(io)?;
    }
    // The archive's address is the machine's own: its lists of sources, turned to source packages.
    fs::write(parts.join("source.list"), one_line_sources()?).map_err(io)?;
    fs::write(parts.join("source.sources"), deb822_sources()?).map_err(io)?;
    let apt = |words: &[&str]| {
        let mut command = Command::new("apt-get");
        for (option, path) in [("Dir::Etc::SourceParts", &parts), ("Dir::State::Lists", &lists)] {
            command.arg("-o").arg(format!("{option}={}", path.display()));
        }
        // No user of its own for the download: it may not write here.
        command.args(["-o", "Dir::Etc::SourceList=/dev/null", "-o", "APT::Sandbox::User=root"]);
        capture(command.args(words).arg("--quiet").current_dir(folder))
    };
    apt(&["update"])?;
    apt(&["source", "--download-only", "redis"])?;
    let archive = fs::read_dir(folder).map_err(io)?.filter_map(Result::ok).find(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name.starts_with(&format!("redis_{VERSION}")) && name.contains(".orig.tar")
    });
    let archive = archive.ok_or_else(|| format!("the archive has no Redis {VERSION}"))?;
    let unpacked = folder.join("unpacked");
    fs::create_dir_all(&unpacked).map_err(io)?;
    let mut tar = Command::new("tar");
    tar.arg("--extract").arg("--file").arg(archive.path()).args(["--strip-components", "1"]);
    run_command(tar.arg("--directory").arg(&unpacked))?;
    // Renamed last, so that an interrupted fetch is begun anew.
    fs::rename(&unpacked, folder.join("redis")).map_err(io)
}

/// The system's files of sources with this ending, one text after the other.
fn system_sources(ending: &str) -> Result<String, Failure> {
    let mut paths = vec![PathBuf::from("/etc/apt/sources.list")];
    let folder =
        fs::read_dir("/etc/apt/sources.list.d").map_err(|error| format!("apt: {error}"))?;
    paths.extend(folder.filter_map(Result::ok).map(|entry| entry.path()));
    paths.retain(|path| path.extension().is_some_and(|extension| extension == ending));
    paths.sort_unstable();
    let mut text = String::new();
    for path in paths.iter().filter(|path| path.is_file()) {
        let part = fs::read_to_string(path);
        text += &part.map_err(|error| format!("{}: {error}", path.display()))?;
        text.push_str("\n\n");
    }
    Ok(text)
}

/// Lines such as `deb ADDRESS bookworm main`, of the distribution only: others have no Redis.
fn one_line_sources() -> Result<String, Failure> {
    let mut sources = String::new();
    for line in system_sources("list")?.lines() {
        if let Some(rest) = line.strip_prefix("deb ")
            && rest.split_whitespace().any(|word| word == "main")
            && rest.contains("debian")
        {
            // Writing to a string can't fail.
            let _ = writeln!(sources, "deb-src {rest}");
        }
    }
    Ok(sources)
}

/// Paragraphs with `Types: deb`, signed by the distribution.
fn deb822_sources() -> Result<String, Failure> {
    let text = system_sources("sources")?;
    let mut sources = String::new();
    for paragraph in text.split("\n\n").filter(|paragraph| paragraph.contains("debian-archive")) {
        for line in paragraph.lines() {
            let line = if line.starts_with("Types:") { "Types: deb-src" } else { line };
            let _ = writeln!(sources, "{line}");
        }
        sources.push('\n');
    }
    Ok(sources)
}
