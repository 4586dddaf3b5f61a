//! The picture of `leasehold top`.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Clear, Paragraph, Row, Table, TableState, Wrap};
use serde_json::Value;
use types::SLOT_COUNT;

use super::feed::News;
use crate::cli::decisions::describe;
use crate::cli::documents::{NodeStatus, ShardStatus, Status, node_or_dash};
use crate::cli::table::{age, amount, micros, percent, plain};

/// Columns of a node's bar.
const BAR: usize = 20;
/// A bar's filled and empty part, and the heights of the strip's cells.
const FILLED: &str = "\u{2588}";
const EMPTY: &str = "\u{2591}";
const HEIGHTS: [&str; 9] = [
    " ", "\u{2581}", "\u{2582}", "\u{2583}", "\u{2584}", "\u{2585}", "\u{2586}", "\u{2587}",
    "\u{2588}",
];
/// Longest failure that is shown.
const FAILURE_MAX: usize = 300;

/// What is known, and what is selected.
pub(super) struct View {
    address: String,
    status: Status,
    /// Hottest first.
    shards: Vec<ShardStatus>,
    decisions: Vec<Value>,
    failure: Option<String>,
    /// The shard that is selected; it stays selected when the order changes.
    selected: Option<u64>,
    /// The shard whose explanation is shown, and the explanation if it is there.
    open: Option<(u64, Option<String>)>,
}

impl View {
    /// Nothing is known yet of the cluster that is asked at `address`.
    pub(super) fn new(address: &str) -> Self {
        Self {
            address: plain(address, 64),
            status: Status::default(),
            shards: Vec::new(),
            decisions: Vec::new(),
            failure: None,
            selected: None,
            open: None,
        }
    }

    /// Takes in what has been learnt.
    pub(super) fn take(&mut self, news: News) {
        match news {
            News::Picture { mut status, decisions } => {
                self.shards = std::mem::take(&mut status.shards);
                self.shards.sort_by(|left, right| {
                    right.load.total_cmp(&left.load).then(left.shard.cmp(&right.shard))
                });
                self.status = status;
                self.decisions = decisions;
                self.failure = None;
                if self.place().is_none() {
                    self.selected = self.shards.first().map(|it| it.shard);
                }
            }
            News::Why { shard, text } => {
                if let Some((_, answer)) = self.open.as_mut().filter(|(open, _)| *open == shard) {
                    *answer = Some(text);
                }
            }
            News::Failure(text) => self.failure = Some(plain(&text, FAILURE_MAX)),
        }
    }

    /// The selected shard's place in the list.
    fn place(&self) -> Option<usize> {
        self.shards.iter().position(|it| Some(it.shard) == self.selected)
    }

    /// Moves the selection.
    pub(super) fn select(&mut self, step: isize) {
        let Some(last) = self.shards.len().checked_sub(1) else { return };
        let place = self.place().unwrap_or(0).saturating_add_signed(step).min(last);
        self.selected = Some(self.shards[place].shard);
    }

    /// Opens the explanation of the selected shard, which is to be asked for.
    pub(super) fn open(&mut self) -> Option<u64> {
        self.open = self.selected.map(|shard| (shard, None));
        self.selected
    }

    /// Closes it.
    pub(super) fn close(&mut self) {
        self.open = None;
    }

    /// Draws everything.
    pub(super) fn draw(&self, frame: &mut Frame<'_>) {
        let nodes = u16::try_from(self.status.nodes.len()).unwrap_or(u16::MAX);
        let area = frame.area();
        let [head, top, strip, middle, bottom, foot] = Layout::vertical([
            Constraint::Length(2),
            // The nodes get what they need, up to a third of the screen.
            Constraint::Length(nodes.saturating_add(2).min(area.height / 3)),
            Constraint::Length(2),
            Constraint::Fill(3),
            Constraint::Fill(2),
            Constraint::Length(1),
        ])
        .areas(area);
        frame.render_widget(Paragraph::new(self.head()), head);
        self.draw_nodes(frame, top);
        self.draw_strip(frame, strip);
        self.draw_shards(frame, middle);
        self.draw_decisions(frame, bottom);
        let keys = " q end   up/down select a shard   Enter why is it there   Esc close";
        frame.render_widget(Paragraph::new(keys).style(dim()), foot);
        if let Some((shard, text)) = &self.open {
            draw_explanation(frame, *shard, text.as_deref());
        }
    }

    fn head(&self) -> Vec<Line<'_>> {
        let status = &self.status;
        let manager = match status.manager {
            Some((node, epoch, since)) => format!("manager n{node} e{epoch} {}", age(since)),
            None => String::from("no manager"),
        };
        let sum = |of: fn(&ShardStatus) -> f64| amount(self.shards.iter().map(of).sum());
        let first = format!(
            " {}  at {}   {manager}   mean {}   {} reads/s  {} writes/s",
            status.cluster,
            self.address,
            percent(status.mean),
            sum(|it| it.reads),
            sum(|it| it.writes)
        );
        let second = match (&self.failure, &status.held_still) {
            (Some(failure), _) => Line::styled(format!(" {failure}"), Style::new().fg(Color::Red)),
            (None, Some(reason)) => {
                Line::styled(format!(" nothing moves: {reason}"), Style::new().fg(Color::Yellow))
            }
            (None, None) if status.frozen => {
                Line::styled(" frozen by an operator", Style::new().fg(Color::Yellow))
            }
            (None, None) => Line::default(),
        };
        vec![Line::styled(first, Style::new().add_modifier(Modifier::BOLD)), second]
    }

    fn draw_nodes(&self, frame: &mut Frame<'_>, area: Rect) {
        let rows = self.status.nodes.iter().map(node_row);
        let widths = [
            Constraint::Length(4),
            Constraint::Length(12),
            Constraint::Length(22),
            Constraint::Length(16),
            Constraint::Length(BAR as u16 + 5),
            Constraint::Length(5),
            Constraint::Length(6),
            Constraint::Length(7),
            Constraint::Length(6),
            Constraint::Length(8),
        ];
        let names = [
            "node", "name", "address", "state", "used", "cpu", "memory", "fsync", "leases",
            "replicas",
        ];
        let table = Table::new(rows, widths)
            .header(Row::new(names).style(dim()))
            .block(Block::new().title(title("Nodes")).title_style(accent()));
        frame.render_widget(table, area);
    }

    /// One cell for each piece of the slots: as hot as its hottest shard.
    fn draw_strip(&self, frame: &mut Frame<'_>, area: Rect) {
        let columns = u64::from(area.width.saturating_sub(2)).max(1);
        let slots = u64::from(SLOT_COUNT);
        let hottest = self.shards.first().map_or(0.0, |it| it.load);
        let mut cells = vec![Span::raw(" ")];
        for column in 0..columns {
            let (first, end) = (column * slots / columns, (column + 1) * slots / columns);
            let inside = |it: &&ShardStatus| it.first_slot < end && it.last_slot >= first;
            let load = self.shards.iter().filter(inside).map(|it| it.load).fold(0.0, f64::max);
            let share = if hottest > 0.0 { load / hottest } else { 0.0 };
            let height = (share * 8.0).ceil().clamp(0.0, 8.0) as usize;
            cells.push(Span::styled(HEIGHTS[height], Style::new().fg(heat(share))));
        }
        let text = vec![Line::from(cells)];
        let block = Block::new().title(title("Slots 0 to 16383 by load")).title_style(accent());
        frame.render_widget(Paragraph::new(text).block(block), area);
    }

    fn draw_shards(&self, frame: &mut Frame<'_>, area: Rect) {
        let hottest = self.shards.first().map_or(0.0, |it| it.load);
        let rows = self.shards.iter().map(|shard| shard_row(shard, hottest));
        let names = [
            "shard", "slots", "holder", "load", "reads/s", "writes/s", "p99", "queue", "replicas",
            "pin", "moving",
        ];
        let widths = [6, 13, 6, 5, 8, 8, 8, 8, 10, 12, 8].map(Constraint::Length);
        let table = Table::new(rows, widths)
            .header(Row::new(names).style(dim()))
            .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
            .highlight_symbol("> ")
            .block(Block::new().title(title("Hottest shards")).title_style(accent()));
        let mut state = TableState::new().with_selected(self.place());
        frame.render_stateful_widget(table, area, &mut state);
    }

    fn draw_decisions(&self, frame: &mut Frame<'_>, area: Rect) {
        let room = usize::from(area.height.saturating_sub(1));
        let newest = self.decisions.iter().rev().take(room).map(|decision| {
            let style = match decision["outcome"].as_str() {
                None => Style::new().fg(Color::Yellow),
                Some("applied") => Style::new(),
                Some(_) => Style::new().fg(Color::Red),
            };
            Line::styled(format!(" {}", describe(decision)), style)
        });
        let block = Block::new().title(title("Newest decisions")).title_style(accent());
        frame.render_widget(Paragraph::new(newest.collect::<Vec<_>>()).block(block), area);
    }
}

fn node_row(node: &NodeStatus) -> Row<'static> {
    let filled = (node.used.clamp(0.0, 1.0) * BAR as f64).round() as usize;
    let bar = FILLED.repeat(filled) + &EMPTY.repeat(BAR - filled);
    let used = Line::from(vec![
        Span::styled(bar, Style::new().fg(if node.live { heat(node.used) } else { Color::Gray })),
        Span::raw(format!(" {}", percent(node.used))),
    ]);
    let state = match (node.live, node.class.as_str()) {
        (false, _) => Style::new().fg(Color::Red),
        (true, "urgent") => Style::new().fg(Color::Red),
        (true, "above the mean") => Style::new().fg(Color::Yellow),
        (true, _) => Style::new().fg(Color::Green),
    };
    Row::new(vec![
        Cell::from(node_or_dash(Some(node.node))),
        Cell::from(node.name.clone()),
        Cell::from(node.address.clone()),
        Cell::from(Span::styled(node.state(), state)),
        Cell::from(used),
        Cell::from(percent(node.cpu)),
        Cell::from(percent(node.memory)),
        Cell::from(format!("{:.1}ms", node.fsync_ms)),
        Cell::from(node.leases.to_string()),
        Cell::from(node.replicas.to_string()),
    ])
}

fn shard_row(shard: &ShardStatus, hottest: f64) -> Row<'static> {
    let share = if hottest > 0.0 { shard.load / hottest } else { 0.0 };
    let replicas: Vec<String> = shard.replicas.iter().map(u64::to_string).collect();
    let moving = match (shard.moving_to, shard.moved_ms) {
        (Some(node), _) => format!("-> n{node}"),
        (None, Some(millis)) if millis < 60_000 => format!("{} ago", age(millis)),
        (None, _) => String::new(),
    };
    Row::new(vec![
        Cell::from(format!("s{}", shard.shard)),
        Cell::from(format!("{}-{}", shard.first_slot, shard.last_slot)),
        Cell::from(node_or_dash(shard.holder)),
        Cell::from(Span::styled(percent(shard.load), Style::new().fg(heat(share)))),
        Cell::from(amount(shard.reads)),
        Cell::from(amount(shard.writes)),
        Cell::from(micros(shard.service_p99_us)),
        Cell::from(micros(shard.queue_p99_us)),
        Cell::from(replicas.join(",")),
        Cell::from(shard.pin.clone().unwrap_or_default()),
        Cell::from(moving),
    ])
}

fn draw_explanation(frame: &mut Frame<'_>, shard: u64, text: Option<&str>) {
    let area = frame.area();
    let [_, middle, _] =
        Layout::vertical([Constraint::Fill(1), Constraint::Fill(8), Constraint::Fill(1)])
            .areas(area);
    let [_, middle, _] =
        Layout::horizontal([Constraint::Fill(1), Constraint::Fill(18), Constraint::Fill(1)])
            .areas(middle);
    let block = Block::bordered().title(format!(" Why shard {shard} is where it is "));
    let text = text.unwrap_or("asking ...");
    frame.render_widget(Clear, middle);
    let paragraph = Paragraph::new(text).block(block).wrap(Wrap { trim: false });
    frame.render_widget(paragraph, middle);
}

/// From cool to hot.
fn heat(share: f64) -> Color {
    match share {
        share if share >= 0.85 => Color::Red,
        share if share >= 0.6 => Color::Yellow,
        share if share >= 0.3 => Color::Green,
        _ => Color::Cyan,
    }
}

fn title(text: &str) -> String {
    format!(" {text}")
}

fn accent() -> Style {
    Style::new().fg(Color::Cyan).add_modifier(Modifier::BOLD)
}

fn dim() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}
