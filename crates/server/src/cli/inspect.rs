//! `leasehold inspect`: what lies in a data directory, without changing or locking it.

use std::path::PathBuf;

use clap::Args;
use types::SegmentId;
use wal::{Finding, OsDisk};

use super::{CommandError, print};
use crate::data_directory::Identity;

/// Print what a node's data directory holds, and report damage.
///
/// Nothing is changed and no lock is taken, so a running node's directory can be looked at; its
/// newest commits may then look torn. The exit code is 1 if something is damaged.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  leasehold inspect leasehold-dev/node-1
  leasehold inspect --records leasehold-dev/node-1 | grep 's3 '")]
pub(super) struct InspectArguments {
    /// The data directory.
    dir: PathBuf,
    /// Print every record, not only segments and totals.
    #[arg(long)]
    records: bool,
}

#[derive(Default)]
struct Totals {
    segments: u64,
    spares: u64,
    commits: u64,
    payloads: u64,
    payload_bytes: u64,
    damages: Vec<String>,
    /// The segment without a header that is being read, until a commit is found in it.
    spare: Option<SegmentId>,
    /// What could not be read with nothing readable after it: the trace of a crash, if anything.
    trailing: Option<String>,
}

pub(super) fn run(arguments: &InspectArguments) -> Result<(), CommandError> {
    let path = arguments.dir.display();
    let disk = OsDisk::read_only(&arguments.dir)
        .map_err(|error| CommandError::new(format!("cannot open {path}: {error}")))?;
    match Identity::read(&disk) {
        Ok(Some(identity)) => print(format_args!(
            "node {} of cluster `{}`, started {} times, longest promise {:?}\n",
            identity.node.0, identity.cluster, identity.incarnation.0, identity.longest_promise
        ))?,
        Ok(None) => print("no node has ever started here\n")?,
        Err(error) => print(format_args!("DAMAGE: {error}\n"))?,
    }
    let mut totals = Totals::default();
    let mut failure = None;
    wal::inspect(&disk, &mut |finding| {
        if failure.is_none() {
            failure = totals.add(&finding, arguments.records).err();
        }
    })
    .map_err(|error| CommandError::new(error.to_string()))?;
    failure.map_or(Ok(()), Err)?;
    totals.report()
}

impl Totals {
    fn add(&mut self, finding: &Finding<'_>, records: bool) -> Result<(), CommandError> {
        match *finding {
            Finding::Segment { segment, header, file_bytes } => {
                self.segments += 1;
                print(format_args!(
                    "segment {}: {file_bytes} bytes in blocks of {}, first commit {}\n",
                    segment.0, header.block_bytes, header.first_sequence
                ))
            }
            Finding::Spare { segment, file_bytes } => {
                self.spares += 1;
                self.spare = Some(segment);
                print(format_args!("segment {}: spare, {file_bytes} bytes\n", segment.0))
            }
            Finding::UnknownVersion { segment, found } => {
                self.damage(format!("segment {} has the unknown version {found}", segment.0))
            }
            Finding::Commit { segment, offset, sequence, records: count, .. } => {
                self.commits += 1;
                if self.spare.take_if(|spare| *spare == segment).is_some() {
                    self.damage(format!(
                        "segment {} has commits, but its header is unreadable",
                        segment.0
                    ))?;
                }
                if let Some(unreadable) = self.trailing.take() {
                    self.damage(unreadable)?;
                }
                if !records {
                    return Ok(());
                }
                print(format_args!(
                    "commit {sequence} in segment {} at byte {offset}, {count} payloads\n",
                    segment.0
                ))
            }
            Finding::Payload { segment, sequence, payload } => {
                self.payloads += 1;
                self.payload_bytes += payload.len() as u64;
                match cluster::record::describe(payload) {
                    Ok(lines) if records => {
                        lines.iter().try_for_each(|line| print(format_args!("    {line}\n")))
                    }
                    Ok(_) => Ok(()),
                    Err(error) => self.damage(format!(
                        "commit {sequence} in segment {} holds records that this program does \
                         not know: {error:?}",
                        segment.0
                    )),
                }
            }
            Finding::Unreadable { segment, offset, sequence } => {
                let number = sequence.map_or_else(String::new, |it| format!(" {it}"));
                let text = format!(
                    "commit{number} in segment {} at byte {offset} is unreadable",
                    segment.0
                );
                match self.trailing.replace(text) {
                    Some(before) => self.damage(before),
                    None => Ok(()),
                }
            }
            Finding::Gap { segment, expected, found } => self.damage(format!(
                "in segment {} commit {found} stands where commit {expected} belongs",
                segment.0
            )),
        }
    }

    fn damage(&mut self, text: String) -> Result<(), CommandError> {
        print(format_args!("DAMAGE: {text}\n"))?;
        self.damages.push(text);
        Ok(())
    }

    fn report(&self) -> Result<(), CommandError> {
        print(format_args!(
            "{} segments, {} spares, {} commits, {} payloads, {} bytes of payload\n",
            self.segments, self.spares, self.commits, self.payloads, self.payload_bytes
        ))?;
        if let Some(trailing) = &self.trailing {
            print(format_args!(
                "the end is torn, as a crash leaves it (the next start cuts it): {trailing}\n"
            ))?;
        }
        if self.damages.is_empty() {
            return Ok(());
        }
        Err(CommandError::new(format!(
            "{} damages found. The node will refuse to start from this directory if it needs \
             what is damaged; start it with an empty one and it is rebuilt from its peers.",
            self.damages.len()
        )))
    }
}
