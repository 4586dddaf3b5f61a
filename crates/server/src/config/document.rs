//! The settings in words: `docs/configuration.md` and `leasehold settings`.

use std::fmt::Write;

use super::Config;
use super::table::{SETTINGS, Setting, Topic};

const INTRODUCTION: &str = "\
# Configuration

<!-- Made by `leasehold settings --markdown` from the table of settings; a test keeps it true. -->

A node reads its settings from a TOML file (`leasehold start --config FILE`), from the environment
(`LEASEHOLD_` and the name in capitals) and from the command line (`--set NAME=VALUE`). Later ones
win. Whatever is not set has its default; with nothing set at all, `leasehold start` is a cluster
of one node that serves this machine. A value that is out of range ends the start with an error
that says what is expected.

```toml
# node1.toml: the first of three nodes
node = 1
dir = \"/var/lib/leasehold\"
listen = \"0.0.0.0\"
peer_listen = \"10.0.0.1\"
password = \"...\"
members = [
    \"1=10.0.0.1:7001:17001\",
    \"2=10.0.0.2:7001:17001\",
    \"3=10.0.0.3:7001:17001\",
]
```

Times have a unit (`us`, `ms`, `s`, `m`, `h`) and so have sizes (`B`, `KiB`, `MiB`, `GiB`).
";

/// The whole of `docs/configuration.md`.
pub(crate) fn markdown() -> String {
    let mut text = String::from(INTRODUCTION);
    for topic in Topic::ALL {
        let _ = write!(text, "\n## {}\n", topic.title());
        for setting in SETTINGS.iter().filter(|setting| setting.topic == topic) {
            let (default, expected) = facts(setting);
            let _ = write!(
                text,
                "\n### `{}`\n\n{}\n\n- Default: {default}\n- Accepts: {expected}\n- Variable: \
                 `{}`\n",
                setting.name,
                setting.doc,
                setting.variable()
            );
        }
    }
    text
}

/// One setting, or all of them, for a terminal. `None` if there is no such setting.
pub(crate) fn explain(name: Option<&str>) -> Option<String> {
    let mut text = String::new();
    for setting in SETTINGS.iter().filter(|setting| name.is_none_or(|name| name == setting.name)) {
        let (default, expected) = facts(setting);
        let _ = write!(
            text,
            "{}\n    {}\n    default: {default}; accepts: {expected}\n    variable: {}\n\n",
            setting.name,
            setting.doc,
            setting.variable()
        );
    }
    (!text.is_empty()).then_some(text)
}

fn facts(setting: &Setting) -> (String, String) {
    let mut config = Config::default();
    let field = (setting.field)(&mut config);
    let default = field.show();
    let default = if default.is_empty() { String::from("empty") } else { format!("`{default}`") };
    (default, field.expected())
}
