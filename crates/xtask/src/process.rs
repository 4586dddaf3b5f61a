//! Running other programs: shown, captured, or both, and never longer than is said.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Failure;

/// How often a program with a time limit is looked at.
const STEP: Duration = Duration::from_millis(20);

/// `cargo` with these words, in the root of the workspace.
pub(crate) fn cargo(words: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(words).current_dir(crate::workspace::root());
    command
}

/// A command as one could type it.
pub(crate) fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Runs a program that may print. Fails if it does.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let status = command.stdin(Stdio::null()).status().map_err(|error| failed(command, &error))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` ended with {status}", show(command))) }
}

/// Runs a program and returns what it wrote to standard output. Standard error is shown only if
/// the program fails.
pub(crate) fn capture(command: &mut Command) -> Result<String, Failure> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| failed(command, &error))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`{}` ended with {}\n{said}", show(command), output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a program; each line of its standard output goes to `each`. Returns whether it succeeded.
pub(crate) fn lines(command: &mut Command, each: &mut dyn FnMut(&str)) -> Result<bool, Failure> {
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|error| failed(command, &error))?;
    if let Some(out) = child.stdout.take() {
        let mut reader = BufReader::new(out);
        let mut line = Vec::new();
        // A program's output need not be text, so lines are read as bytes.
        while reader.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
            each(String::from_utf8_lossy(&line).trim_end());
            line.clear();
        }
    }
    let status = child.wait().map_err(|error| failed(command, &error))?;
    Ok(status.success())
}

/// What became of a program with a time limit.
pub(crate) struct Finished {
    /// Standard output and standard error, in no particular order between them.
    pub(crate) output: String,
    /// Whether it succeeded, within the time.
    pub(crate) success: bool,
    /// Whether it was ended for taking too long.
    pub(crate) late: bool,
}

/// Runs a program for at most so long; then it is killed.
pub(crate) fn within(command: &mut Command, limit: Duration) -> Result<Finished, Failure> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| failed(command, &error))?;
    let out = child.stdout.take().map(reader);
    let err = child.stderr.take().map(reader);
    let status = wait(&mut child, limit).map_err(|error| failed(command, &error))?;
    if status.is_none() {
        // It may have ended just now.
        let _ = child.kill();
        let _ = child.wait();
    }
    let text = |reader: Option<thread::JoinHandle<String>>| {
        reader.and_then(|reader| reader.join().ok()).unwrap_or_default()
    };
    let output = text(out) + &text(err);
    Ok(Finished {
        output,
        success: status.is_some_and(|status| status.success()),
        late: status.is_none(),
    })
}

/// Waits for a child for at most so long.
pub(crate) fn wait(
    child: &mut Child,
    limit: Duration,
) -> std::io::Result<Option<std::process::ExitStatus>> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        thread::sleep(STEP);
    }
}

fn reader(mut stream: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is still worth showing.
        let _ = stream.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn failed(command: &Command, error: &std::io::Error) -> Failure {
    format!("`{}` can't be run: {error}", show(command))
}
