//! What operators get wrong, and what they are told.

use super::*;

fn load(file: &str, environment: &[(&str, &str)], flags: &[&str]) -> Result<Config, ConfigError> {
    let mut config = Config::default();
    config.apply_file(file, "node.toml")?;
    let pairs = environment.iter().map(|(name, text)| ((*name).into(), (*text).into()));
    for setting in SETTINGS {
        let environment: BTreeMap<String, String> = pairs.clone().collect();
        if let Some(text) = environment.get(&setting.variable()) {
            config.set(setting.name, text, "environment")?;
        }
    }
    for flag in flags {
        let (name, text) = flag.split_once('=').expect("the test's flags are pairs");
        config.set(name, text, "the command line")?;
    }
    config.check()?;
    Ok(config)
}

fn error(file: &str) -> String {
    load(file, &[], &[]).expect_err(file).to_string()
}

#[test]
fn every_default_is_a_valid_value_of_its_setting() {
    for setting in SETTINGS {
        let shown = (setting.field)(&mut Config::default()).show();
        let mut config = Config::default();
        let result = (setting.field)(&mut config).set(&shown);
        assert_eq!(result, Ok(()), "{}", setting.name);
        assert_eq!((setting.field)(&mut config).show(), shown);
    }
    assert_eq!(Config::default().check(), Ok(()));
}

#[test]
fn the_defaults_are_those_of_the_core() {
    let settings = Config::default().settings();
    let expected = Settings::new(settings.node, settings.members.clone());
    let expected = Settings { replicas: 1, ..expected };
    assert_eq!(format!("{settings:?}"), format!("{expected:?}"));
}

#[test]
fn names_are_unique_and_usable_as_variables() {
    for (at, setting) in SETTINGS.iter().enumerate() {
        assert!(setting.name.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase()));
        assert!(SETTINGS[at + 1..].iter().all(|other| other.name != setting.name));
        assert!(setting.doc.ends_with('.') || setting.doc.ends_with(')'), "{}", setting.name);
    }
}

#[test]
fn later_sources_win() {
    let file = "shards = 4\nbeat_interval = \"50ms\"\nlog_level = \"warn\"";
    let environment = [("LEASEHOLD_SHARDS", "8"), ("LEASEHOLD_LOG_LEVEL", "debug")];
    let config = load(file, &environment, &["shards=32"]).expect("the sources are valid");
    assert_eq!(config.settings().shards, 32);
    assert_eq!(config.settings().beat_interval, Duration::from_millis(50));
    assert_eq!(config.log_level, "debug");
}

#[test]
fn members_are_a_list_in_a_file() {
    let file = "node = 2\nmembers = [\"2=127.0.0.1:7002\", \"1=127.0.0.1:7001\"]";
    let settings = load(file, &[], &[]).expect("the file is valid").settings();
    assert_eq!(settings.members.len(), 2);
    assert_eq!(settings.members[0].node, NodeId(1));
    assert_eq!(settings.replicas, 2);
}

#[test]
fn members_may_have_names_roles_and_places() {
    let file = "members = [\"1=127.0.0.1:7001;locality=eu/a\", \"2=b:7001;name=ada;role=manager\"]";
    let settings = load(file, &[], &[]).expect("the file is valid").settings();
    assert_eq!(settings.members[0].locality.zone, "a");
    assert_eq!(
        (settings.members[1].name.as_str(), settings.members[1].role.name()),
        ("ada", "manager")
    );
    assert_eq!(settings.replicas, 1, "managers hold no data");
}

#[test]
fn roles_must_be_those_of_the_list() {
    let list = "1=127.0.0.1:7001,2=b:7001;role=manager,3=c:7001";
    let members = format!("members={list}");
    for (node, role) in [("1", "data"), ("2", "manager"), ("1", "as listed")] {
        let (node, role) = (format!("node={node}"), format!("role={role}"));
        let (listen, peers) = ("listen=0.0.0.0", "peer_listen=0.0.0.0");
        load("", &[], &[&members, &node, &role, listen, peers]).expect("they agree");
    }
    let wrong = load("", &[], &[&members, "role=manager"]).expect_err("they differ").to_string();
    for part in ["is a data node", "`1=127.0.0.1:7001:17001;role=manager`", "LEASEHOLD JOIN"] {
        assert!(wrong.contains(part), "{part}: {wrong}");
    }
    assert!(error("members = [\"1=127.0.0.1:7001;role=manager\"]").contains("nowhere to keep"));
    let many: Vec<String> = (2..=7).map(|node| format!("'{node}=m:7001;role=manager'")).collect();
    let many = error(&format!("members = ['1=127.0.0.1:7001', {}]", many.join(", ")));
    assert!(many.contains("6 nodes") && many.contains("at most 5"), "{many}");
    assert!(error("role = 'king'").contains("as listed, data, manager"));
}

#[test]
fn a_misspelt_name_is_told_with_the_nearest() {
    let text = error("beat_intervall = \"50ms\"");
    assert!(text.contains("Did you mean `beat_interval`?"), "{text}");
    assert!(!error("quux = 1").contains("Did you mean"));
}

#[test]
fn an_error_names_value_origin_and_range() {
    let text = error("beat_interval = \"5h\"");
    for part in ["`beat_interval`", "`5h`", "node.toml", "10ms to 10s", "What it does"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(error("beat_interval = 5").contains("10ms to 10s"));
    assert!(error("shards = 0").contains("1 to 1024"));
    assert!(error("redirect = \"sometimes\"").contains("never, rationed, always"));
    assert!(error("shards = 1.5").contains("a whole number"));
    assert!(error("members = [1]").contains("list of strings"));
    assert!(error("node = ").contains("not valid TOML"));
}

#[test]
fn a_wrong_password_is_not_repeated() {
    let text = error("password = \"se\\ncret\"");
    assert!(text.contains("(hidden)") && !text.contains("cret`"), "{text}");
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    assert!(error("node = 7").contains("no such node"));
    assert!(error("beat_interval = \"400ms\"").contains("support_duration"));
    assert!(error("request_bytes = \"32MiB\"").contains("argument_bytes"));
    assert!(error("segment_bytes = \"1GiB\"").contains("log_bytes"));
    assert!(error("members = [\"1=10.0.0.1:7001\"]").contains("only this machine can reach"));
}

#[test]
fn the_documentation_is_that_of_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let written = fs::read_to_string(path).expect("docs/configuration.md exists");
    let advice = "run: cargo run -p leasehold -- settings --markdown > docs/configuration.md";
    assert!(written == markdown(), "docs/configuration.md is out of date; {advice}");
}
