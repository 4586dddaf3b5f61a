//! The questions of `leasehold top`, asked by a thread of their own.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::cli::CommandError;
use crate::cli::connection::{Connection, NodeArguments};
use crate::cli::documents::{Status, lines, object};
use crate::cli::why;

/// How often everything is asked for anew.
const INTERVAL: Duration = Duration::from_secs(1);
/// Decisions that are asked for.
const DECISIONS: &str = "50";

/// What the thread has learnt.
pub(super) enum News {
    /// How things are.
    Picture {
        /// The answer to LEASEHOLD STATUS.
        status: Status,
        /// The newest decisions, oldest first.
        decisions: Vec<Value>,
    },
    /// Why a shard is where it is.
    Why {
        /// The shard that was asked about.
        shard: u64,
        /// The answer in lines.
        text: String,
    },
    /// There was no answer.
    Failure(String),
}

/// The thread's two ends.
pub(super) struct Feed {
    news: Receiver<News>,
    questions: Sender<u64>,
}

impl Feed {
    /// Starts the thread. It ends with the receiver.
    pub(super) fn start(node: &NodeArguments) -> io::Result<Self> {
        let (out, news) = channel();
        let (questions, asked) = channel();
        let node = node.clone();
        thread::Builder::new().name("feed".into()).spawn(move || feed(&node, &asked, &out))?;
        Ok(Self { news, questions })
    }

    /// What has been learnt since, piece by piece.
    pub(super) fn news(&self) -> Option<News> {
        self.news.try_recv().ok()
    }

    /// Asks about a shard.
    pub(super) fn ask_why(&self, shard: u64) {
        // The thread ends only after this end is gone.
        let _ = self.questions.send(shard);
    }
}

/// Asks for the picture once.
pub(super) fn ask_once(node: &NodeArguments) -> Result<News, CommandError> {
    picture(&mut Connection::open(node)?)
}

fn picture(connection: &mut Connection) -> Result<News, CommandError> {
    let status = Status::ask(connection)?;
    let text = connection.ask_text(&["LEASEHOLD", "DECISIONS", "COUNT", DECISIONS])?;
    Ok(News::Picture { status, decisions: lines(&text, "LEASEHOLD DECISIONS")? })
}

fn explanation(connection: &mut Connection, shard: u64) -> Result<News, CommandError> {
    let text = connection.ask_text(&["LEASEHOLD", "WHY", &shard.to_string()])?;
    let text = why::explain(&object(&text, "LEASEHOLD WHY")?);
    Ok(News::Why { shard, text })
}

fn feed(node: &NodeArguments, questions: &Receiver<u64>, out: &Sender<News>) {
    let mut connection = None;
    loop {
        let question = match questions.recv_timeout(INTERVAL) {
            Ok(shard) => Some(shard),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let ask = |open: Option<Connection>| {
            let mut connection = open.map_or_else(|| Connection::open(node), Ok)?;
            let news = match question {
                Some(shard) => explanation(&mut connection, shard)?,
                None => picture(&mut connection)?,
            };
            Ok::<_, CommandError>((news, connection))
        };
        let news = match ask(connection.take()) {
            Ok((news, open)) => {
                connection = Some(open);
                news
            }
            Err(error) => match question {
                Some(shard) => News::Why { shard, text: error.text },
                None => News::Failure(error.text),
            },
        };
        if out.send(news).is_err() {
            return;
        }
    }
}
