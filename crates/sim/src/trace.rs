//! What happened: always as one number, on demand as lines of text.
//!
//! A run without text is fast; when it ends badly the same seed is run again with text, which
//! gives the same run. That this holds is what the number is for.

use std::collections::VecDeque;
use std::fmt;

/// The record of a run.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    /// Lines that are kept; 0: none are made.
    capacity: usize,
    lines: VecDeque<String>,
    printing: bool,
}

/// How much of a run is kept as text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TraceMode {
    /// Nothing.
    Hash,
    /// The last lines, this many.
    Last(usize),
    /// Every line goes to the standard output at once.
    Print,
}

impl Trace {
    /// An empty record.
    #[must_use]
    pub fn new(mode: TraceMode) -> Self {
        let (capacity, printing) = match mode {
            TraceMode::Hash => (0, false),
            TraceMode::Last(lines) => (lines, false),
            TraceMode::Print => (1, true),
        };
        Self { hash: 0xcbf2_9ce4_8422_2325, capacity, lines: VecDeque::new(), printing }
    }

    /// Prints what it keeps, too.
    pub(crate) fn prints(&mut self, on: bool) {
        self.printing = on;
    }

    /// Whether lines are wanted.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.capacity > 0
    }

    /// Counts a number in.
    pub fn mix(&mut self, number: u64) {
        // FNV-1a over words, with a shift that lets high bits reach low ones.
        self.hash = (self.hash ^ number).wrapping_mul(0x0100_0000_01b3);
        self.hash ^= self.hash >> 32;
    }

    /// Counts bytes in.
    pub fn mix_bytes(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in words.by_ref() {
            let mut array = [0; 8];
            array.copy_from_slice(word);
            self.mix(u64::from_le_bytes(array));
        }
        for &byte in words.remainder() {
            self.mix(u64::from(byte));
        }
    }

    /// Adds a line.
    pub fn line(&mut self, at: u64, what: fmt::Arguments<'_>) {
        if self.capacity == 0 {
            return;
        }
        let line = format!("{:>12.6} {what}", at as f64 / 1e9);
        if self.printing {
            print_line(&line);
        }
        if self.lines.len() == self.capacity {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// One number for all that happened.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The lines that were kept so far.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// The lines that were kept.
    #[must_use]
    pub fn into_lines(self) -> Vec<String> {
        self.lines.into()
    }
}

#[expect(clippy::print_stdout, reason = "the trace is what the user asked to be shown")]
fn print_line(line: &str) {
    println!("{line}");
}
