//! Programs that the tasks need. What is missing is installed where that is possible; where it
//! isn't, the message says what to do.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::arguments::Arguments;
use crate::process::{capture, run as run_command};
use crate::{Failure, workspace};

pub(crate) const USAGE: &str = "\
Usage: cargo xtask tools [--python REQUIREMENTS]

Installs every program that the other tasks need and that is missing. With --python it also makes
a virtual environment under target/ with the packages of a requirements file, and prints the path
of its interpreter.";

/// A program and where it comes from.
pub(crate) struct Tool {
    name: &'static str,
    /// Succeeds if the program is there.
    probe: &'static [&'static str],
    from: Source,
}

/// What provides a program.
enum Source {
    /// A package of Debian and its relatives.
    Package(&'static str),
    /// A component of the Rust toolchain.
    Component(&'static str),
}

impl Tool {
    pub(crate) const RUSTFMT: Self = Self {
        name: "rustfmt",
        probe: &["cargo", "fmt", "--version"],
        from: Source::Component("rustfmt"),
    };
    pub(crate) const CLIPPY: Self = Self {
        name: "clippy",
        probe: &["cargo", "clippy", "--version"],
        from: Source::Component("clippy"),
    };
    /// The fuzzing engine is partly C++.
    pub(crate) const CPP: Self =
        Self { name: "g++", probe: &["g++", "--version"], from: Source::Package("g++") };
    pub(crate) const TCL: Self = Self {
        name: "tclsh",
        // The interpreter has no option for its version; an empty script ends at once.
        probe: &["tclsh", "/dev/null"],
        from: Source::Package("tcl"),
    };
    pub(crate) const REDIS_CLI: Self = Self {
        name: "redis-cli",
        probe: &["redis-cli", "--version"],
        from: Source::Package("redis-tools"),
    };
    pub(crate) const VENV: Self = Self {
        name: "python3 -m venv",
        probe: &["python3", "-c", "import ensurepip, venv"],
        from: Source::Package("python3-venv"),
    };

    const ALL: [Self; 6] =
        [Self::RUSTFMT, Self::CLIPPY, Self::CPP, Self::TCL, Self::REDIS_CLI, Self::VENV];

    fn is_there(&self) -> bool {
        let mut probe = Command::new(self.probe[0]);
        probe.args(&self.probe[1..]).stdin(Stdio::null());
        probe.stdout(Stdio::null()).stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    }

    fn install(&self) -> Result<(), Failure> {
        println!("{} is missing; installing it", self.name);
        let (name, advice) = match self.from {
            Source::Package(package) => {
                install_package(package)?;
                (package, "the system's package")
            }
            Source::Component(component) => {
                run_command(Command::new("rustup").args(["component", "add", component]))?;
                (component, "the toolchain's component")
            }
        };
        if self.is_there() {
            Ok(())
        } else {
            Err(format!("{advice} `{name}` has no {}", self.name))
        }
    }
}

pub(crate) fn run(arguments: &mut Arguments) -> Result<(), Failure> {
    let requirements = arguments.values("--python")?;
    arguments.end()?;
    ensure(&Tool::ALL)?;
    if requirements.is_empty() {
        println!("everything is there");
    }
    for file in requirements {
        println!("{}", python(&file)?.display());
    }
    Ok(())
}

/// Makes sure that the programs are there.
pub(crate) fn ensure(tools: &[Tool]) -> Result<(), Failure> {
    tools.iter().filter(|tool| !tool.is_there()).try_for_each(Tool::install)
}

/// Whether packages of the system can be installed.
pub(crate) fn is_root() -> bool {
    capture(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

fn install_package(package: &str) -> Result<(), Failure> {
    if !is_root() {
        return Err(format!("only root can install it; please run: apt-get install {package}"));
    }
    let apt = |words: &[&str]| {
        let mut command = Command::new("apt-get");
        run_command(command.args(words).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    let install = ["install", "--yes", "--quiet", "--no-install-recommends", package];
    // The lists of packages are often there already, and updating them takes a while.
    apt(&install).or_else(|_| apt(&["update", "--quiet"]).and_then(|()| apt(&install)))
}

/// The interpreter of a virtual environment with the packages of a requirements file, which is
/// relative to the root of the repository.
pub(crate) fn python(requirements: &str) -> Result<PathBuf, Failure> {
    ensure(&[Tool::VENV])?;
    let folder = workspace::target()?.join("venv");
    let python = folder.join("bin").join("python");
    let wanted = workspace::read(requirements)?;
    let stamp = folder.join("requirements.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    run_command(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    run_command(pip.arg(workspace::root().join(requirements)))?;
    // Written last, so that an interrupted installation is begun anew.
    std::fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))?;
    Ok(python)
}
