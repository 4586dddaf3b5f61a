//! One node's process, as an operator would run it.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::wait_until;

/// The program under test, without the settings that the environment may hold.
pub(crate) fn leasehold() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leasehold"));
    command.env_clear().stdin(Stdio::null());
    command
}

/// A node and its process, if it runs.
#[derive(Debug)]
pub(crate) struct Node {
    /// Its number, from 1.
    pub(crate) number: u32,
    /// Where clients reach it.
    pub(crate) address: SocketAddr,
    /// Where its HTTP API is.
    pub(crate) http: SocketAddr,
    /// Its data directory.
    pub(crate) data: PathBuf,
    log: PathBuf,
    settings: Vec<String>,
    child: Option<Child>,
    paused: bool,
}

impl Node {
    pub(super) fn new(
        number: u32,
        [address, http]: [SocketAddr; 2],
        directory: &Path,
        settings: Vec<String>,
    ) -> Self {
        let data = directory.join(format!("node-{number}"));
        let log = directory.join(format!("node-{number}.log"));
        Self { number, address, http, data, log, settings, child: None, paused: false }
    }

    /// The command that starts it.
    pub(crate) fn command(&self) -> Command {
        let mut command = leasehold();
        command.arg("start");
        for setting in &self.settings {
            command.arg("--set").arg(setting);
        }
        command
    }

    /// What it is started with.
    pub(crate) fn setting(&self, name: &str) -> &str {
        let value = |setting: &'_ String| {
            setting.split_once('=').is_some_and(|(its_name, _)| its_name == name)
        };
        let setting = self.settings.iter().find(|setting| value(setting));
        setting.and_then(|setting| setting.split_once('=')).expect("the setting is there").1
    }

    /// Gives it another value of a setting for its next start.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        let begin = format!("{name}=");
        self.settings.retain(|setting| !setting.starts_with(&begin));
        self.settings.push(begin + value);
    }

    /// Starts the process. It ends with this one, whatever happens.
    pub(crate) fn start(&mut self) {
        assert!(self.child.is_none(), "node {} runs already", self.number);
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log.expect("the test's directory can be written to");
        let mut command = self.command();
        command.arg("--end-with-parent").arg(std::process::id().to_string());
        command.stdout(log.try_clone().expect("there are file descriptors left")).stderr(log);
        self.child = Some(command.spawn().expect("the program under test can be started"));
    }

    /// Starts the process by a shell that has run this before: limits, redirections. Nobody reads
    /// what it writes to its standard error, if that is still the pipe that it was given.
    pub(crate) fn start_after(&mut self, script: &str) {
        assert!(self.child.is_none(), "node {} runs already", self.number);
        let command = self.command();
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(format!("{script}; exec \"$0\" \"$@\"")).arg(command.get_program());
        shell.args(command.get_args());
        shell.arg("--end-with-parent").arg(std::process::id().to_string());
        shell.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        self.child = Some(shell.spawn().expect("there is a shell"));
    }

    /// The process's number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("the node runs").id()
    }

    /// Whether the process was started and has not been waited for.
    pub(crate) fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Whether it can answer.
    pub(crate) fn is_serving(&self) -> bool {
        self.child.is_some() && !self.paused
    }

    /// SIGKILL: no goodbye, no flush.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("the node runs");
        child.kill().expect("our own child can be killed");
        child.wait().expect("our own child can be waited for");
    }

    /// SIGSTOP: the process stands still and its clock goes on.
    pub(crate) fn pause(&mut self) {
        self.signal(Signal::STOP);
        self.paused = true;
    }

    /// SIGCONT.
    pub(crate) fn resume(&mut self) {
        self.signal(Signal::CONT);
        self.paused = false;
    }

    /// SIGTERM: the node hands its leases over and ends.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Waits for the end of the process.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        let child = self.child.as_mut().expect("the node runs");
        wait_until(&format!("node {} ends", self.number), || {
            status = child.try_wait().expect("our own child can be waited for");
            status.is_some()
        });
        self.child = None;
        status.expect("it was waited for")
    }

    /// What it has written to its log lines.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// CPU time it has used so far, in seconds.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("it runs");
        // The second field is the program's name in parentheses; 14 and 15 are what it used.
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let ticks = after_name.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.filter_map(|field| field.parse::<u64>().ok()).sum();
        ticks as f64 / rustix::param::clock_ticks_per_second() as f64
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("it is a number");
        kill_process(pid, signal).expect("our own child can be sent signals");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Both fail only if the process has just ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
