//! Text for terminals: aligned columns, bars, figures that fit, times of day.

use std::fmt::Write;

/// Rows of cells under the names of their columns.
pub(super) struct Table {
    lines: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub(super) fn new(names: &[&str]) -> Self {
        Self { lines: vec![names.iter().map(|name| (*name).to_owned()).collect()] }
    }

    /// Adds a row; it has a cell for each column.
    pub(super) fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.lines[0].len());
        self.lines.push(cells);
    }

    /// The columns, each as wide as its widest cell.
    pub(super) fn text(&self) -> String {
        let width = |column: usize| self.lines.iter().map(|line| columns(&line[column])).max();
        let widths: Vec<usize> = (0..self.lines[0].len()).filter_map(width).collect();
        let mut out = String::new();
        for line in &self.lines {
            let mut text = String::new();
            for (cell, width) in line.iter().zip(&widths) {
                // Writing to a string can't fail.
                let _ = write!(text, "{cell:<width$}  ");
            }
            out.push_str(text.trim_end());
            out.push('\n');
        }
        out
    }
}

fn columns(cell: &str) -> usize {
    cell.chars().count()
}

/// Text of others, without what a terminal would take for orders, and not too long.
pub(super) fn plain(text: &str, most: usize) -> String {
    let mut plain: String =
        text.chars().take(most).map(|it| if it.is_control() { ' ' } else { it }).collect();
    if text.chars().nth(most).is_some() {
        plain.push_str("...");
    }
    plain
}

/// A bar of `width` columns for a share of the whole: `[####      ]`.
pub(super) fn bar(share: f64, width: usize) -> String {
    let filled = (share.clamp(0.0, 1.0) * width as f64).round() as usize;
    format!("[{}{}]", "#".repeat(filled), " ".repeat(width.saturating_sub(filled)))
}

/// A share of a node as a percentage.
pub(super) fn percent(share: f64) -> String {
    format!("{:.0}%", share * 100.0)
}

/// A rate or amount in at most 5 columns or so: `950`, `12.3k`, `4.0M`.
pub(super) fn amount(number: f64) -> String {
    for (least, unit) in [(1e9, "G"), (1e6, "M"), (1e3, "k")] {
        // What would be shown as 1000 of the smaller unit is 1.0 of this one.
        if number.abs() >= least * 0.9995 {
            return format!("{:.1}{unit}", number / least);
        }
    }
    if number == 0.0 || number.abs() >= 9.95 {
        format!("{number:.0}")
    } else {
        format!("{number:.1}")
    }
}

/// A time with the unit that suits it.
pub(super) fn micros(micros: f64) -> String {
    if micros >= 999_500.0 {
        format!("{:.1}s", micros / 1e6)
    } else if micros >= 999.5 {
        format!("{:.1}ms", micros / 1e3)
    } else {
        format!("{micros:.0}us")
    }
}

/// For how long, roughly: `12s`, `3m`, `5h`, `2d`.
pub(super) fn age(millis: u64) -> String {
    let seconds = millis / 1000;
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        172_800.. => format!("{}d", seconds / 86_400),
    }
}

/// A time of day in UTC, of milliseconds since 1970.
pub(super) fn time_of_day(wall: u64) -> String {
    let seconds = wall / 1000 % 86_400;
    format!("{:02}:{:02}:{:02}Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_end_without_blanks() {
        let mut table = Table::new(&["node", "x"]);
        table.row(vec!["1".into(), "long".into()]);
        table.row(vec!["23456".into(), String::new()]);
        assert_eq!(table.text(), "node   x\n1      long\n23456\n");
    }

    #[test]
    fn figures_fit() {
        let shown: Vec<String> =
            [0.0, 0.04, 9.94, 9.96, 999.0, 999.6, 12_345.0, 4e6].into_iter().map(amount).collect();
        assert_eq!(shown, ["0", "0.0", "9.9", "10", "999", "1.0k", "12.3k", "4.0M"]);
        assert_eq!([90.0, 1200.0, 3e6].map(micros), ["90us", "1.2ms", "3.0s"]);
        assert_eq!([5_000, 300_000, 9_000_000, 200_000_000].map(age), ["5s", "5m", "2h", "2d"]);
        assert_eq!(bar(0.5, 4), "[##  ]");
        assert_eq!((bar(7.0, 4), bar(f64::NAN, 2)), ("[####]".into(), "[  ]".into()));
        assert_eq!(time_of_day(1_700_000_000_000), "22:13:20Z");
    }

    #[test]
    fn text_of_others_gives_the_terminal_no_orders() {
        assert_eq!(plain("a\x1b[2Jb", 10), "a [2Jb");
        assert_eq!(plain("abcdef", 3), "abc...");
    }
}
