//! The words after a task's name: flags, options with a value, and the rest.

use std::str::FromStr;

use crate::Failure;

/// The words that no call has taken yet.
pub(crate) struct Arguments {
    words: Vec<String>,
    /// What stands behind `--`, for another program.
    behind: Vec<String>,
}

impl Arguments {
    pub(crate) fn new(words: impl Iterator<Item = String>) -> Self {
        let mut words: Vec<String> = words.collect();
        let end = words.iter().position(|word| word == "--");
        let mut behind = end.map_or_else(Vec::new, |end| words.split_off(end));
        if !behind.is_empty() {
            behind.remove(0);
        }
        Self { words, behind }
    }

    /// Whether the flag is given.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let before = self.words.len();
        self.words.retain(|word| word != name);
        self.words.len() < before
    }

    /// Every value of an option, `--name VALUE` or `--name=VALUE`.
    pub(crate) fn values(&mut self, name: &str) -> Result<Vec<String>, Failure> {
        let mut values = Vec::new();
        while let Some(at) = self.words.iter().position(|word| is_option(word, name)) {
            let word = self.words.remove(at);
            if let Some((_, value)) = word.split_once('=') {
                values.push(String::from(value));
            } else if at < self.words.len() {
                values.push(self.words.remove(at));
            } else {
                return Err(format!("{name} needs a value"));
            }
        }
        Ok(values)
    }

    /// The last value of an option, or else the default.
    pub(crate) fn value<T: FromStr>(&mut self, name: &str, default: T) -> Result<T, Failure> {
        let values = self.values(name)?;
        let Some(value) = values.last() else { return Ok(default) };
        value.parse().map_err(|_| format!("{name} doesn't take `{value}`"))
    }

    /// What stands behind `--`.
    pub(crate) fn behind(&mut self) -> Vec<String> {
        std::mem::take(&mut self.behind)
    }

    /// The words that are no options; an option that nobody took is an error.
    pub(crate) fn rest(&mut self) -> Result<Vec<String>, Failure> {
        if let Some(unknown) = self.words.iter().find(|word| word.starts_with('-')) {
            return Err(format!("there is no option {unknown}; see --help"));
        }
        Ok(std::mem::take(&mut self.words))
    }

    /// Makes sure that nothing is left.
    pub(crate) fn end(&mut self) -> Result<(), Failure> {
        match self.rest()?.first() {
            Some(word) => Err(format!("nothing is known about `{word}`; see --help")),
            None => Ok(()),
        }
    }
}

fn is_option(word: &str, name: &str) -> bool {
    word.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(line: &str) -> Arguments {
        Arguments::new(line.split_whitespace().map(String::from))
    }

    #[test]
    fn options_may_stand_anywhere() {
        let mut given = arguments("a --n 3 --quick b --only=x --only y -- --n 4");
        assert!(given.flag("--quick"));
        assert!(!given.flag("--quick"));
        assert_eq!(given.value("--n", 1), Ok(3));
        assert_eq!(given.values("--only"), Ok(vec!["x".into(), "y".into()]));
        assert_eq!(given.behind(), ["--n", "4"]);
        assert_eq!(given.rest(), Ok(vec!["a".into(), "b".into()]));
        assert_eq!(given.end(), Ok(()));
    }

    #[test]
    fn mistakes_are_named() {
        assert!(arguments("--n").value("--n", 1).is_err());
        assert!(arguments("--n x").value("--n", 1).is_err());
        assert!(arguments("--typo").rest().is_err());
        assert!(arguments("word").end().is_err());
    }
}
