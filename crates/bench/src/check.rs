//! Judges a history file.

use crate::options::Error;
use history::{Report, check as judge, jsonl};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

/// Most steps of the search for one key that zones cannot judge.
const STEPS_MAX: u64 = 50_000_000;

/// The verdict on a history file.
pub type Checked = Report;

/// Reads a history and judges it: linearizability key by key, and whether acknowledged writes
/// are there at the end. Print the result; [`Report::is_clean`] is the verdict.
///
/// # Errors
/// When the file cannot be read or is not a history.
pub fn check(path: &Path) -> Result<Checked, Error> {
    let history = jsonl::read(BufReader::new(File::open(path)?)).map_err(Error::History)?;
    Ok(judge(&history, STEPS_MAX))
}
