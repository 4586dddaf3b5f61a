//! The settings in words: `docs/configuration.md` and `leasehold settings`.

use std::fmt::Write;

use placement::{Policy, Setting as PolicySetting};

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
    text.push_str(POLICY_INTRODUCTION);
    for (setting, default) in policy() {
        let PolicySetting { name, unit, least, most, text: doc } = setting;
        let _ = write!(
            text,
            "\n### `{name}`\n\n{}\n\n- Default: `{default}` ({unit})\n- Accepts: a number from \
             {least} to {most}\n",
            doc.trim()
        );
    }
    text
}

const POLICY_INTRODUCTION: &str = "
## Lease Manager, changeable at run time with `leasehold policy`

These are the cluster's, not a node's: they stand in no file and in no variable. `leasehold policy
NAME VALUE` (or `LEASEHOLD POLICY SET`, or the HTTP API) changes one for all nodes at once, and the
cluster remembers it; `leasehold policy set NAME=VALUE NAME=VALUE` changes several, all of them or
none. Times are in seconds. `leasehold simulate SCENARIO --set NAME=VALUE` shows what a change does
before it is made.
";

/// The Lease Manager's settings with their defaults.
fn policy() -> impl Iterator<Item = (&'static PolicySetting, f64)> {
    let defaults: Vec<f64> = Policy::default().numbers().collect();
    Policy::SETTINGS.iter().zip(defaults)
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
    let wanted = |it: &PolicySetting| name.is_none_or(|name| name == it.name);
    for (setting, default) in policy().filter(|(setting, _)| wanted(setting)) {
        let PolicySetting { name, unit, least, most, text: doc } = setting;
        let _ = write!(
            text,
            "{name} (Lease Manager)\n    {}\n    default: `{default}` ({unit}); accepts: a number \
             from {least} to {most}\n    change it with: leasehold policy {name} VALUE\n\n",
            doc.trim()
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
