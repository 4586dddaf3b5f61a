//! Prints `docs/commands.md`, which `cargo xtask docs` writes and `cargo xtask tidy` checks.
#![expect(clippy::print_stdout, reason = "the page goes to standard output")]

fn main() {
    print!("{}", resp::command::commands_markdown());
}
