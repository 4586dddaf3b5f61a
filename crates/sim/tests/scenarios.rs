//! Plays the scenarios of `testdata` and compares what they show with what stands there.
//! `UPDATE_GOLDEN=1` writes the files anew; read the difference before you keep it.
//! `SCENARIO=word` plays only those with the word in their name.

use std::fs;
use std::path::Path;

#[test]
fn scenarios_show_what_they_showed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut files: Vec<_> = fs::read_dir(&folder)
        .expect("the folder is part of the crate")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    if let Ok(word) = std::env::var("SCENARIO") {
        files.retain(|path| path.to_string_lossy().contains(&word));
    }
    files.sort();
    let mut wrong = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path).expect("the file was listed");
        let shown = match sim::scenario::play(&text) {
            Ok(shown) => shown,
            Err(error) => panic!("{}: {}", path.display(), error.0),
        };
        assert!(!shown.contains("BROKEN RULE"), "{}:\n{shown}", path.display());
        if shown == text {
            continue;
        }
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, shown).expect("the file can be written");
        } else {
            wrong.push(format!("--- {}\n{shown}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
