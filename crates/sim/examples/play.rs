//! Plays one scenario file and prints what it shows.

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a command-line program")]
fn main() {
    for path in std::env::args().skip(1) {
        let text = std::fs::read_to_string(&path).expect("the file can be read");
        match sim::scenario::play(&text) {
            Ok(shown) => println!("{shown}"),
            Err(error) => eprintln!("{path}: {}", error.0),
        }
    }
}
