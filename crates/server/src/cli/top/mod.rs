//! `leasehold top`: what is going on, live.
//!
//! `feed` asks in a thread of its own, so that a node that doesn't answer never freezes the keys;
//! `view` draws a frame of what is known. Here are the keys and the terminal, which is given back
//! as it was, however the command ends.

mod feed;
mod view;

use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::{Args, value_parser};
use ratatui::DefaultTerminal;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use signal_hook::consts::{SIGHUP, SIGTERM};

use super::connection::NodeArguments;
use super::{CommandError, flag_of, print};
use feed::Feed;
use view::View;

/// How long a key may wait for a picture.
const STEP: Duration = Duration::from_millis(100);

/// Show nodes, hottest shards and decisions, live.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  leasehold top
  leasehold top --once --columns 160    one frame, for scripts

Keys: up and down select a shard, Enter asks why it is where it is, Esc closes the answer, q ends.
The strip shows the load of the 16384 slots, by shard, in one line; higher and redder is hotter.")]
pub(super) struct TopArguments {
    /// Print one frame without colours, and end.
    #[arg(long)]
    once: bool,
    /// Columns of that frame.
    #[arg(long, default_value_t = 120, value_parser = value_parser!(u16).range(40..=400))]
    columns: u16,
    /// Lines of that frame.
    #[arg(long, default_value_t = 40, value_parser = value_parser!(u16).range(12..=200))]
    lines: u16,
    #[command(flatten)]
    node: NodeArguments,
}

pub(super) fn run(arguments: &TopArguments) -> Result<(), CommandError> {
    if arguments.once {
        let mut view = View::new(arguments.node.address());
        view.take(feed::ask_once(&arguments.node)?);
        return print(frame(&mut view, arguments.columns, arguments.lines)?);
    }
    if !(io::stdout().is_terminal() && io::stdin().is_terminal()) {
        return Err(CommandError::new(
            "`leasehold top` needs a terminal; --once prints one frame anywhere",
        ));
    }
    // A first answer before the screen is taken: most mistakes are shown as any other error.
    let first = feed::ask_once(&arguments.node)?;
    let stop = flag_of(&[SIGTERM, SIGHUP])?;
    let feed = Feed::start(&arguments.node)?;
    let mut view = View::new(arguments.node.address());
    view.take(first);
    // The hook that this sets gives the terminal back even if the program panics.
    let mut terminal = ratatui::try_init()?;
    let result = show(&mut terminal, &mut view, &feed, &stop);
    ratatui::try_restore()?;
    result
}

fn show(
    terminal: &mut DefaultTerminal,
    view: &mut View,
    feed: &Feed,
    stop: &AtomicBool,
) -> Result<(), CommandError> {
    let mut stale = true;
    while !stop.load(Ordering::Relaxed) {
        while let Some(news) = feed.news() {
            view.take(news);
            stale = true;
        }
        if stale {
            terminal.draw(|frame| view.draw(frame))?;
            stale = false;
        }
        if !event::poll(STEP)? {
            continue;
        }
        stale = true;
        let Event::Key(key) = event::read()? else { continue };
        if key.kind == KeyEventKind::Release {
            continue;
        }
        match act(key, view) {
            Act::Nothing => {}
            Act::AskWhy(shard) => feed.ask_why(shard),
            Act::End => break,
        }
    }
    Ok(())
}

/// What a key leads to beyond the picture.
#[derive(PartialEq, Eq, Debug)]
enum Act {
    Nothing,
    AskWhy(u64),
    End,
}

fn act(key: KeyEvent, view: &mut View) -> Act {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum of keys is not ours")]
    match key.code {
        KeyCode::Char('c') if control => return Act::End,
        KeyCode::Char('q') => return Act::End,
        KeyCode::Esc => view.close(),
        KeyCode::Up | KeyCode::Char('k') => view.select(-1),
        KeyCode::Down | KeyCode::Char('j') => view.select(1),
        KeyCode::PageUp => view.select(-10),
        KeyCode::PageDown => view.select(10),
        KeyCode::Enter => {
            if let Some(shard) = view.open() {
                return Act::AskWhy(shard);
            }
        }
        _ => {}
    }
    Act::Nothing
}

/// One frame as plain lines.
fn frame(view: &mut View, columns: u16, lines: u16) -> Result<String, CommandError> {
    let mut terminal = Terminal::new(TestBackend::new(columns, lines))
        .map_err(|error| CommandError::new(format!("cannot draw: {error}")))?;
    terminal
        .draw(|frame| view.draw(frame))
        .map_err(|error| CommandError::new(format!("cannot draw: {error}")))?;
    Ok(text_of(terminal.backend().buffer()))
}

fn text_of(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width).max(1);
    let mut text = String::new();
    for line in buffer.content().chunks(width) {
        let line: String = line.iter().map(ratatui::buffer::Cell::symbol).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::feed::News;
    use super::*;
    use crate::cli::documents::{Status, lines, object};

    fn recorded() -> View {
        let mut view = View::new("127.0.0.1:7001");
        let status = include_str!("../../../testdata/status.json");
        let decisions = include_str!("../../../testdata/decisions.jsonl");
        view.take(News::Picture {
            status: Status::parse(status).expect("is valid"),
            decisions: lines(decisions, "").expect("is valid"),
        });
        view
    }

    #[test]
    fn a_frame_shows_nodes_shards_and_decisions() {
        let text = frame(&mut recorded(), 120, 40).expect("it can be drawn");
        for words in
            ["leasehold", "manager n1", "mean 49%", "urgent", "down", "10.0.0.2:7001", "d42", "s5"]
        {
            assert!(text.contains(words), "no {words:?} in\n{text}");
        }
        // Hottest first, and selected.
        let shards: Vec<&str> = text.lines().filter(|line| line.contains("> ")).collect();
        assert!(shards.iter().any(|line| line.contains("> s5")), "{text}");
        assert!(text.lines().count() <= 40 && text.lines().all(|it| it.chars().count() <= 120));
    }

    #[test]
    fn every_size_and_an_empty_cluster_can_be_drawn() {
        for (columns, lines) in [(1, 1), (10, 3), (40, 12), (60, 20), (400, 200)] {
            let mut view = recorded();
            view.open();
            frame(&mut view, columns, lines).expect("it can be drawn");
            view.take(News::Picture { status: Status::default(), decisions: Vec::new() });
            view.select(1);
            frame(&mut view, columns, lines).expect("it can be drawn");
        }
    }

    #[test]
    fn keys_select_ask_and_end() {
        let mut view = recorded();
        let mut press = |code| act(KeyEvent::new(code, KeyModifiers::NONE), &mut view);
        assert_eq!(press(KeyCode::Enter), Act::AskWhy(5));
        assert_eq!(press(KeyCode::Esc), Act::Nothing);
        assert_eq!(press(KeyCode::Down), Act::Nothing);
        assert_eq!(press(KeyCode::Enter), Act::AskWhy(10));
        press(KeyCode::PageDown);
        press(KeyCode::PageDown);
        press(KeyCode::Up);
        press(KeyCode::Char('x'));
        assert_eq!(press(KeyCode::Char('q')), Act::End);
        let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(act(control_c, &mut view), Act::End);
    }

    #[test]
    fn an_answer_and_a_failure_are_shown() {
        let mut view = recorded();
        view.open();
        let why = object(include_str!("../../../testdata/why.json"), "").expect("is valid");
        view.take(News::Why { shard: 5, text: crate::cli::why::explain(&why) });
        let text = frame(&mut view, 120, 40).expect("it can be drawn");
        assert!(text.contains("Why it is not moved") && text.contains("+0.001"), "{text}");
        view.take(News::Failure(String::from("CLUSTERDOWN nobody")));
        let text = frame(&mut view, 120, 40).expect("it can be drawn");
        assert!(text.contains("CLUSTERDOWN nobody"), "{text}");
    }
}
