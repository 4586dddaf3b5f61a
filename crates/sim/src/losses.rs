//! Messages that scenarios lose or keep back on purpose.

use std::collections::BTreeMap;

use cluster::Message;

use crate::world::World;

/// Messages from one node to another whose text has a word.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    from: usize,
    to: usize,
    word: String,
}

/// What is lost or kept back at the moment, besides what chance takes.
#[derive(Default)]
pub(crate) struct Losses {
    /// Messages with these words in their texts, whoever sends them.
    pub(crate) words: Vec<String>,
    pub(crate) lost: Vec<Pattern>,
    /// What these nodes send in more bytes than this.
    pub(crate) large: BTreeMap<usize, usize>,
    pub(crate) held_back: Vec<Pattern>,
    held: Vec<(usize, usize, Message)>,
}

/// What becomes of a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Free,
    Lost,
    Held,
}

impl Pattern {
    /// `_` in the word stands for a space.
    pub(crate) fn new(from: usize, to: usize, word: &str) -> Self {
        Self { from, to, word: word.replace('_', " ") }
    }

    fn fits(&self, from: usize, to: usize, text: &str) -> bool {
        (self.from, self.to) == (from, to) && text.contains(&self.word)
    }
}

impl Losses {
    /// What becomes of a message, as far as its text says.
    pub(crate) fn way_of(&self, from: usize, to: usize, message: &Message) -> Way {
        if self.words.is_empty() && self.lost.is_empty() && self.held_back.is_empty() {
            return Way::Free;
        }
        let text = format!("{message:?}");
        let fits = |pattern: &Pattern| pattern.fits(from, to, &text);
        if self.words.iter().any(|word| text.contains(word)) || self.lost.iter().any(fits) {
            Way::Lost
        } else if self.held_back.iter().any(fits) {
            Way::Held
        } else {
            Way::Free
        }
    }

    /// Whether a message is lost for its size.
    pub(crate) fn is_too_large(&self, from: usize, bytes: usize) -> bool {
        self.large.get(&from).is_some_and(|&most| most > 0 && bytes > most)
    }

    pub(crate) fn hold(&mut self, from: usize, to: usize, message: Message) {
        self.held.push((from, to, message));
    }
}

impl World {
    /// Lets go on what was kept back, and keeps back no more.
    pub(crate) fn let_go(&mut self) {
        self.losses.held_back.clear();
        for (from, to, message) in core::mem::take(&mut self.losses.held) {
            self.send_message(from, to, &message);
        }
    }
}
