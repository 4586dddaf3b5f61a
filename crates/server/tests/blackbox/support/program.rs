//! Other people's programs, and our own command line, with a bound on the time they may take.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread::{self, JoinHandle};

use super::wait_until;

/// A program that runs.
pub(crate) struct Program {
    child: Child,
    name: String,
    output: Option<JoinHandle<String>>,
    errors: Option<JoinHandle<String>>,
}

/// How a program ended, and what it said.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Its exit code.
    pub(crate) status: ExitStatus,
    /// Its standard output.
    pub(crate) output: String,
    /// Its standard error.
    pub(crate) errors: String,
}

impl Program {
    /// Starts it with this on its standard input.
    pub(crate) fn start(command: &mut Command, input: &str) -> Self {
        let name = format!("{command:?}");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!("{name}: {error}\n`cargo xtask tools` installs what the tests need")
        });
        let mut stdin = child.stdin.take().expect("it was piped");
        // A program that ends without reading everything says so by its exit code.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = Some(collect(child.stdout.take().expect("it was piped")));
        let errors = Some(collect(child.stderr.take().expect("it was piped")));
        Self { child, name, output, errors }
    }

    /// The process's number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Finished {
        let mut status = None;
        wait_until(&format!("the end of {}", self.name), || {
            status = self.child.try_wait().expect("our own child can be waited for");
            status.is_some()
        });
        Finished {
            status: status.expect("it was waited for"),
            output: text(self.output.take()),
            errors: text(self.errors.take()),
        }
    }

    /// Runs it from start to end.
    pub(crate) fn run(command: &mut Command) -> Finished {
        Self::start(command, "").wait()
    }
}

impl Finished {
    /// Fails unless it ended well; answers with its standard output.
    pub(crate) fn success(self) -> String {
        assert!(self.status.success(), "{self:#?}");
        self.output
    }
}

impl Drop for Program {
    /// After a failed test nothing stays behind. Nodes of `dev` end along with it.
    fn drop(&mut self) {
        // Both fail only if the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(reader: Option<JoinHandle<String>>) -> String {
    let reader = reader.expect("a program is waited for once");
    reader.join().expect("the reader does not panic")
}

fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read until then is what there is.
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// A script of `python/`, to be run with the packages that it needs.
pub(crate) fn python(script: &str) -> Command {
    static INTERPRETER: OnceLock<PathBuf> = OnceLock::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/blackbox/python");
    let interpreter = INTERPRETER.get_or_init(|| {
        let requirements = "crates/server/tests/blackbox/python/requirements.txt";
        let mut tools = Command::new(env!("CARGO"));
        tools.args(["xtask", "tools", "--python", requirements]).current_dir(&folder);
        let output = Program::run(&mut tools).success();
        let path = PathBuf::from(output.lines().last().unwrap_or_default());
        assert!(fs::exists(&path).unwrap_or(false), "no interpreter at {}", path.display());
        path
    });
    let mut command = Command::new(interpreter);
    command.arg(folder.join(script));
    command
}
