//! The words in which the rows are written.
//!
//! A row begins with its name, first version, summary and cost, and goes on with what differs
//! from a command that has no flags and no keys and isn't part of this system.

use super::super::{
    Begin, Categories, Command, CommandId, Find, Flags, Group, Handler, KeyFlags, KeyRange,
    KeySpec, Support,
};

/// Begins a row. It must go on with [`Command::runs`], [`Command::container`],
/// [`Command::planned`] or [`Command::never`].
pub(super) const fn row(group: Group, name: &'static str, since: &'static str) -> Command {
    Command {
        name,
        support: Support::Never(""),
        handler: Handler::Server,
        arity: 0,
        flags: Flags::NONE,
        categories: Categories::NONE,
        keys: KeyRange { first: 0, last: 0, step: 0 },
        key_specs: &[],
        tips: &[],
        subcommands: &[],
        group,
        since,
        summary: "",
        complexity: "",
        deprecated: None,
    }
}

impl Command {
    /// What it does, and its cost in time.
    pub(super) const fn about(mut self, summary: &'static str, complexity: &'static str) -> Self {
        self.summary = summary;
        self.complexity = complexity;
        self
    }

    /// Arity, flags, and the categories that do not follow from the flags.
    pub(super) const fn takes(
        mut self,
        arity: i16,
        flags: &[Flags],
        categories: &[Categories],
    ) -> Self {
        self.arity = arity;
        let mut at = 0;
        while at < flags.len() {
            self.flags = self.flags.with(flags[at]);
            at += 1;
        }
        let mut at = 0;
        while at < categories.len() {
            self.categories = self.categories.with(categories[at]);
            at += 1;
        }
        self.categories = self.categories.implied_by(self.flags);
        self
    }

    /// Where its keys are.
    pub(super) const fn keys(mut self, specs: &'static [KeySpec]) -> Self {
        self.key_specs = specs;
        self.keys = KeyRange::of(specs);
        self
    }

    /// Hints for clients.
    pub(super) const fn tips(mut self, tips: &'static [&'static str]) -> Self {
        self.tips = tips;
        self
    }

    /// Since when it is deprecated, and what replaces it.
    pub(super) const fn deprecated(mut self, since: &'static str, instead: &'static str) -> Self {
        self.deprecated = Some((since, instead));
        self
    }

    /// Its subcommands, implemented or not.
    pub(super) const fn subcommands(mut self, subcommands: &'static [Self]) -> Self {
        self.subcommands = subcommands;
        self
    }

    /// Implemented, and run by this part of the node.
    pub(super) const fn runs(mut self, handler: Handler, id: CommandId) -> Self {
        self.handler = handler;
        self.support = Support::Yes(id);
        self
    }

    /// Only a container of subcommands, of which some are implemented.
    pub(super) const fn container(mut self, subcommands: &'static [Self]) -> Self {
        self.support = Support::Container;
        self.subcommands(subcommands)
    }

    /// Not implemented yet.
    pub(super) const fn planned(mut self, what: &'static str) -> Self {
        self.support = Support::NotYet(what);
        self
    }

    /// Not part of this system.
    pub(super) const fn never(mut self, why: &'static str) -> Self {
        self.support = Support::Never(why);
        self
    }
}

const fn spec(flags: &[KeyFlags], begin: Begin, find: Find) -> KeySpec {
    let mut all = KeyFlags::NONE;
    let mut at = 0;
    while at < flags.len() {
        all = all.with(flags[at]);
        at += 1;
    }
    KeySpec { flags: all, begin, find, notes: "" }
}

const ONE: Find = Find::Range { last: 0, step: 1, limit: 0 };

/// One key, at this argument.
pub(super) const fn one(flags: &[KeyFlags], index: usize) -> KeySpec {
    spec(flags, Begin::Index(index), ONE)
}

/// Every `step`th argument from `index` to `last`, which counts from the end.
pub(super) const fn many(
    flags: &[KeyFlags],
    index: usize,
    (last, step): (isize, usize),
) -> KeySpec {
    spec(flags, Begin::Index(index), Find::Range { last, step, limit: 0 })
}

/// A number of keys at this argument, and after it the keys.
pub(super) const fn counted(flags: &[KeyFlags], index: usize) -> KeySpec {
    spec(flags, Begin::Index(index), Find::Count { at: 0, first: 1, step: 1 })
}

/// One key after a word.
pub(super) const fn after(flags: &[KeyFlags], word: &'static str, from: isize) -> KeySpec {
    spec(flags, Begin::Keyword { word, from }, ONE)
}

/// After a word, the first `1/limit` of what remains up to `last`, which counts from the end.
pub(super) const fn many_after(
    flags: &[KeyFlags],
    (word, from): (&'static str, isize),
    (last, limit): (isize, usize),
) -> KeySpec {
    spec(flags, Begin::Keyword { word, from }, Find::Range { last, step: 1, limit })
}

/// Keys that only the command itself knows.
pub(super) const fn hidden(flags: &[KeyFlags]) -> KeySpec {
    spec(flags, Begin::Unknown, Find::Unknown)
}

impl KeySpec {
    /// Adds a remark.
    pub(super) const fn noted(mut self, notes: &'static str) -> Self {
        self.notes = notes;
        self
    }
}
