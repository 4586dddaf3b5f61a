//! Writing JSON, as much as the manager's answers need.

use alloc::string::String;
use core::fmt::{Display, Write};

/// Writes one value: objects and lists are opened, filled and closed; commas come by themselves.
#[derive(Default)]
pub(crate) struct Json {
    out: String,
}

impl Json {
    /// The text so far.
    pub(crate) fn finish(self) -> String {
        self.out
    }

    fn separate(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with(['{', '[', ':']) {
            self.out.push(',');
        }
    }

    pub(crate) fn object(&mut self, fill: impl FnOnce(&mut Self)) {
        self.separate();
        self.out.push('{');
        fill(self);
        self.out.push('}');
    }

    pub(crate) fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) {
        self.separate();
        self.out.push('[');
        for item in items {
            write(self, item);
        }
        self.out.push(']');
    }

    /// A list of values of different kinds.
    pub(crate) fn pair(&mut self, fill: impl FnOnce(&mut Self)) {
        self.separate();
        self.out.push('[');
        fill(self);
        self.out.push(']');
    }

    pub(crate) fn key(&mut self, name: &str) -> &mut Self {
        self.text(name);
        self.out.push(':');
        self
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.separate();
        self.out.push('"');
        for character in text.chars() {
            match character {
                '"' | '\\' => {
                    self.out.push('\\');
                    self.out.push(character);
                }
                control if control.is_control() => {
                    // Writing into a string can't fail.
                    let _ = write!(self.out, "\\u{:04x}", u32::from(control));
                }
                other => self.out.push(other),
            }
        }
        self.out.push('"');
    }

    /// A number, `true`, `false`, or a value that is JSON already.
    pub(crate) fn raw(&mut self, value: impl Display) {
        self.separate();
        let _ = write!(self.out, "{value}");
    }

    /// A number with so many decimals; `null` for what is no number.
    pub(crate) fn real(&mut self, value: f64, decimals: usize) {
        if value.is_finite() {
            self.raw(format_args!("{value:.decimals$}"));
        } else {
            self.raw("null");
        }
    }

    pub(crate) fn optional(&mut self, value: Option<impl Display>) {
        match value {
            Some(value) => self.raw(value),
            None => self.raw("null"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_and_escapes_are_where_they_belong() {
        let mut json = Json::default();
        json.object(|json| {
            json.key("a").text("x\"\\\n:");
            json.key("b").list([1, 2], |json, item| json.raw(item));
            json.key("c").optional(None::<u8>);
            json.key("d").real(f64::NAN, 2);
            json.key("e").list([0.5], |json, item| json.object(|json| json.key("f").real(item, 2)));
        });
        assert_eq!(
            json.finish(),
            "{\"a\":\"x\\\"\\\\\\u000a:\",\"b\":[1,2],\"c\":null,\"d\":null,\"e\":[{\"f\":0.50}]}"
        );
    }
}
