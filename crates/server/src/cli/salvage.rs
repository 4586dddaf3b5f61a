//! `leasehold salvage`: what remains in data directories as commands that set it again.
//!
//! Each directory is read as a node reads its own at a start, but for that nothing is written into
//! it. First all are read to choose the copy of each shard, then those again that have a chosen
//! one: so there is never more in memory than the data of one node, as when that node ran.

mod report;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use cluster::salvage::{Choice, Salvaged, Survey, choose, missing_slots};
use cluster::{Recovered, Recovery, Start};
use types::limits::BUILT_BYTES_MAX;
use types::{SegmentId, ShardId};
use wal::{OpenError, Options, OsDisk, VisitError};

use super::CommandError;
use super::start::random;
use crate::data_directory::Identity;
pub(super) use report::say;

/// After how many bytes a word is said of how far it is.
const PROGRESS_BYTES: u64 = 1 << 30;
/// Bytes that are gathered before they are written.
const BUFFER_BYTES: usize = 1 << 20;
/// What a file is called until all is in it.
const UNFINISHED: &str = "unfinished";
/// The last command: with it, a number of keys. A stream that was cut off does not have it. Any
/// cluster, and any Redis, takes it and does nothing.
pub(super) const END_MARK: [&str; 2] = ["PING", "salvage ends after this number of keys: "];

/// Save what the data directories of stopped nodes still hold: the last resort when a shard has
/// lost too many copies.
///
/// A shard lives as long as a majority of its copies does. If those are gone for good, the rest
/// can't decide anything any more; but what they hold can be put into a new cluster. Nothing is
/// written into the directories. A node that comes back later with a copy that was believed lost
/// changes nothing: the new cluster is another one.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  leasehold salvage node-1 node-3                     what can be saved, and what is missing
  leasehold salvage node-1 node-3 --output saved      the same, and writes it

How to go on with what remains:
  1. Stop all nodes of the cluster. Keep every directory as it is.
  2. `leasehold salvage DIR.. --output saved`, with the directories of all nodes that are left,
     copied to one machine if need be. Give all of them: each can hold the newest copy of a shard,
     and only if a majority of a shard's copies is among them is nothing acknowledged missing.
  3. Start the nodes with new, empty directories (setting `dir`): they found a new cluster.
  4. `leasehold load saved --url HOST:PORT`, and then let clients in.
  5. Give the orders to the new cluster that were in force in the old one; they are shown.

The file has a SET command for each key, in Redis' protocol, so `redis-cli --pipe < saved` can load
it, too, also into a Redis. Times to live are points in time, so they go on meanwhile. Of a shard
without any copy the keys are lost; their slots are named.")]
pub(super) struct SalvageArguments {
    /// The data directories of stopped nodes of one cluster: all that are left.
    #[arg(required = true, value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// Write what was saved into this new file; - is standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Of a damaged directory take what was written before the damage: an older state.
    #[arg(long)]
    accept_damage: bool,
}

/// A directory that nobody writes to while this is there.
struct Source {
    path: PathBuf,
    disk: OsDisk,
    identity: Identity,
}

/// What one reading of a directory has found.
struct Read {
    recovered: Recovered,
    /// Why it is not all that was there once.
    damage: Option<String>,
}

/// What was written.
#[derive(Default)]
struct Written {
    keys: u64,
    bytes: u64,
    longest: usize,
    told: u64,
}

pub(super) fn run(arguments: &SalvageArguments) -> Result<(), CommandError> {
    let output = arguments.output.as_deref().map(Output::open).transpose()?;
    let sources = open(&arguments.dirs)?;
    let mut surveys = Vec::new();
    let mut orders = Vec::new();
    for source in &sources {
        let Read { mut recovered, damage } = source.read(None, arguments.accept_damage)?;
        let mut survey = recovered.survey(source.identity.node);
        survey.is_cut = damage.is_some();
        report::directory(source, &survey, damage.as_deref());
        surveys.push(survey);
        let system = recovered.salvage(ShardId::SYSTEM);
        orders.push(system.map(|it| it.and_then(|it| it.orders())));
    }
    check_one_cluster(&sources, &surveys)?;
    report::older_directories(&sources, &surveys);
    let choices = choose(&surveys);
    report::choices(&sources, &choices);
    let system = choices.iter().find(|choice| choice.shard == ShardId::SYSTEM);
    report::orders(system.and_then(|system| orders.get(system.from)?.as_ref()));
    let Some(mut output) = output else {
        say("nothing was written: --output FILE does that");
        return Ok(());
    };
    let written = write(&sources, &choices, arguments.accept_damage, &mut output)?;
    let file = output.finish()?;
    report::end(&written, file.as_deref(), &missing_slots(&choices));
    Ok(())
}

/// Opens the directories, each of which must have been a node's and be left alone.
fn open(dirs: &[PathBuf]) -> Result<Vec<Source>, CommandError> {
    let mut paths = BTreeSet::new();
    let mut sources = Vec::new();
    for path in dirs {
        let shown = path.display();
        let real = fs::canonicalize(path)
            .map_err(|error| CommandError::new(format!("cannot open {shown}: {error}")))?;
        if !paths.insert(real) {
            return Err(CommandError::new(format!("{shown} is given twice")));
        }
        let disk = OsDisk::shared(path).map_err(|error| {
            let OpenError::InUse { pid, .. } = error else {
                return CommandError::new(format!("cannot open {shown}: {error}"));
            };
            let process = pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
            CommandError::new(format!(
                "a node runs on {shown}{process}: stop all nodes of the cluster first"
            ))
        })?;
        let identity = Identity::read(&disk)
            .map_err(|error| CommandError::new(format!("cannot use {shown}: {error}")))?;
        let identity = identity.ok_or_else(|| {
            CommandError::new(format!("no node has ever run on {shown}: give a node's `dir`"))
        })?;
        sources.push(Source { path: path.clone(), disk, identity });
    }
    Ok(sources)
}

impl Source {
    /// Reads the log, of these shards only if there are any named.
    fn read(&self, only: Option<&[ShardId]>, accept_damage: bool) -> Result<Read, CommandError> {
        let shown = self.path.display();
        let hash_seed = random();
        let mut recovery = match only {
            None => Recovery::new(hash_seed),
            Some(shards) => Recovery::of_shards(hash_seed, shards.iter().copied()),
        };
        let cluster = types::fingerprint(self.identity.cluster.bytes());
        let options = Options::new(cluster, self.identity.node, 0);
        let mut progress = Progress::default();
        let mut absorb = |segment: SegmentId, payload: &[u8]| {
            progress.add(payload.len() as u64, |gib| {
                say(&format!("reading {shown}: {gib} GiB so far"));
            });
            recovery.absorb(segment, payload).map_err(|error| VisitError(format!("{error:?}")))
        };
        let reading = wal::read(&self.disk, &options, &mut absorb).map_err(|error| {
            CommandError::new(format!("{}", Unreadable { source: self, error }))
        })?;
        let damage = reading.damage.map(|damage| damage_of(&damage));
        if let (Some(damage), false) = (&damage, accept_damage) {
            return Err(CommandError::new(format!(
                "the log in {shown} is damaged: {damage}.\n\
                 Nothing of it is taken as it stands. If copies of its shards are in other \
                 directories, leave this one out. --accept-damage takes what was written before \
                 the damage: the whole, but an older state."
            )));
        }
        let start = Start {
            incarnation: self.identity.incarnation,
            directory: self.identity.directory,
            log_end: reading.sequence,
            ..Start::default()
        };
        let recovered = recovery.finish(start).map_err(unusable(self))?;
        Ok(Read { recovered, damage })
    }
}

/// Why nothing of a log can be used.
struct Unreadable<'a> {
    source: &'a Source,
    error: OpenError,
}

impl std::fmt::Display for Unreadable<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = self.source.path.display();
        if matches!(self.error, OpenError::Corrupt { .. }) {
            return write!(
                f,
                "the log in {shown} is damaged: {}.\n\
                 What can be read of it is not the whole state of any moment, so nothing of it \
                 can be saved. Leave the directory out; a copy of it from before the damage would \
                 do.",
                damage_of(&self.error)
            );
        }
        write!(f, "cannot read the log in {shown}: {}", self.error)
    }
}

/// Damage in words that are about it alone: what to do differs from a node's start.
fn damage_of(error: &OpenError) -> String {
    let OpenError::Corrupt { segment, offset, damage } = error else { return error.to_string() };
    format!("{damage} (segment {}, byte {offset})", segment.0)
}

fn unusable(source: &Source) -> impl FnOnce(cluster::RecordError) -> CommandError {
    let shown = source.path.display().to_string();
    move |error| {
        CommandError::new(format!(
            "the log in {shown} contradicts itself: {error:?}. Was it written by another version \
             of the program? Leave the directory out, or use that version."
        ))
    }
}

/// Two clusters' data must not be mixed, and no directory counts twice.
fn check_one_cluster(sources: &[Source], surveys: &[Survey]) -> Result<(), CommandError> {
    let all: Vec<(&Source, &Survey)> = sources.iter().zip(surveys).collect();
    for (at, (source, survey)) in all.iter().enumerate() {
        for (other, its_survey) in &all[..at] {
            let both = format!("{} and {}", other.path.display(), source.path.display());
            let ids = [survey.cluster.0, its_survey.cluster.0];
            if source.identity.cluster != other.identity.cluster {
                return Err(CommandError::new(format!(
                    "{both} belong to different clusters, `{}` and `{}`: save them one by one",
                    other.identity.cluster, source.identity.cluster
                )));
            }
            if ids[0] != ids[1] && !ids.contains(&0) {
                return Err(CommandError::new(format!(
                    "{both} belong to different clusters of the same name: one was founded anew, \
                     empty, after the other. Give only the directories of the one whose data are \
                     wanted."
                )));
            }
            if survey.is_same_directory(its_survey) {
                return Err(CommandError::new(format!(
                    "{both} are copies of one directory of node {}: give only the newer one. They \
                     were started {} and {} times.",
                    survey.node.0, other.identity.incarnation.0, source.identity.incarnation.0
                )));
            }
        }
    }
    Ok(())
}

/// Writes the chosen copies, directory by directory.
fn write(
    sources: &[Source],
    choices: &[Choice],
    accept_damage: bool,
    output: &mut Output,
) -> Result<Written, CommandError> {
    let mut written = Written::default();
    for (at, source) in sources.iter().enumerate() {
        let mine = choices.iter().filter(|it| it.from == at && it.shard != ShardId::SYSTEM);
        let shards: Vec<ShardId> = mine.map(|choice| choice.shard).collect();
        if shards.is_empty() {
            continue;
        }
        let mut recovered = source.read(Some(&shards), accept_damage)?.recovered;
        for shard in shards {
            let Some(salvaged) = recovered.salvage(shard) else { continue };
            let salvaged = salvaged.map_err(unusable(source))?;
            written.add(&salvaged, output).map_err(|error| output.error(&error))?;
        }
    }
    let [name, words] = END_MARK;
    let words = format!("{words}{}", written.keys);
    put_request(&mut output.writer, &[name.as_bytes(), words.as_bytes()])
        .map_err(|error| output.error(&error))?;
    Ok(written)
}

impl Written {
    fn add(&mut self, salvaged: &Salvaged, output: &mut Output) -> io::Result<()> {
        for (key, value, expiry) in salvaged.keys() {
            // Not RESTORE: its payload is longer than the value, so the longest would not fit.
            match expiry.map(|expiry| expiry.0.to_string()) {
                None => put_request(&mut output.writer, &[b"SET", key, value])?,
                Some(expiry) => {
                    let args = [b"SET", key, value, b"PXAT", expiry.as_bytes()];
                    put_request(&mut output.writer, &args)?;
                }
            }
            self.keys += 1;
            self.bytes += (key.len() + value.len()) as u64;
            self.longest = self.longest.max(value.len());
            if self.bytes >= self.told + PROGRESS_BYTES {
                self.told = self.bytes;
                say(&format!("{} keys written, {} GiB", self.keys, self.bytes >> 30));
            }
        }
        Ok(())
    }

    /// Whether a node with the usual settings would refuse the longest value.
    fn needs_longer_arguments(&self) -> bool {
        self.longest > BUILT_BYTES_MAX
    }
}

/// One request, without a copy of its arguments: they may be long.
fn put_request(into: &mut impl Write, args: &[&[u8]]) -> io::Result<()> {
    write!(into, "*{}\r\n", args.len())?;
    for arg in args {
        write!(into, "${}\r\n", arg.len())?;
        into.write_all(arg)?;
        into.write_all(b"\r\n")?;
    }
    Ok(())
}

/// Counts bytes, and says now and then how many there were.
#[derive(Default)]
struct Progress {
    bytes: u64,
    told: u64,
}

impl Progress {
    fn add(&mut self, bytes: u64, tell: impl FnOnce(u64)) {
        self.bytes += bytes;
        if self.bytes >= self.told + PROGRESS_BYTES {
            self.told = self.bytes;
            tell(self.bytes >> 30);
        }
    }
}

/// Where the commands go.
struct Output {
    writer: BufWriter<Box<dyn Write>>,
    /// The file that it will be when it is whole.
    file: Option<PathBuf>,
}

impl Output {
    fn open(path: &Path) -> Result<Self, CommandError> {
        let (writer, file): (Box<dyn Write>, _) = if path == Path::new("-") {
            if io::stdout().is_terminal() {
                return Err(CommandError::new(
                    "the keys would be written to the terminal: name a file, or pipe them on",
                ));
            }
            (Box::new(io::stdout()), None)
        } else {
            let shown = path.display();
            if path.exists() {
                return Err(CommandError::new(format!("{shown} exists already: name a new file")));
            }
            let file = File::create(unfinished(path)).map_err(|error| {
                CommandError::new(format!("cannot write to {shown}.{UNFINISHED}: {error}"))
            })?;
            (Box::new(file), Some(path.to_path_buf()))
        };
        Ok(Self { writer: BufWriter::with_capacity(BUFFER_BYTES, writer), file })
    }

    /// Writes the rest; the file has its name only now. Answers with it.
    fn finish(mut self) -> Result<Option<PathBuf>, CommandError> {
        let written = self.writer.flush().and_then(|()| match &self.file {
            Some(path) => {
                let whole = unfinished(path);
                File::open(&whole)?.sync_all()?;
                fs::rename(whole, path)?;
                File::open(directory_of(path))?.sync_all()
            }
            None => Ok(()),
        });
        written.map_err(|error| self.error(&error))?;
        Ok(self.file)
    }

    fn error(&self, error: &io::Error) -> CommandError {
        let to = self.file.as_ref().map_or_else(
            || String::from("standard output"),
            |file| unfinished(file).display().to_string(),
        );
        CommandError::new(format!("cannot write to {to}: {error}; what is there is incomplete"))
    }
}

/// Where a file's name stands.
fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(".");
    name.push(UNFINISHED);
    name.into()
}
