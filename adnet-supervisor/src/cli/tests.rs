//! The command line as a person meets it: help with examples, and hints for wrong arguments.

use clap::{CommandFactory, Parser, error::ErrorKind};

use super::Cli;

fn refusal(args: &[&str]) -> clap::Error {
    let line = ["adnet"].iter().chain(args);
    Cli::try_parse_from(line).expect_err("these arguments are wrong")
}

#[test]
fn the_table_of_commands_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_explains_itself() {
    fn check(command: &clap::Command, path: &str) {
        let about = command
            .get_about()
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(!about.is_empty(), "{path} does not say what it does");
        let has_children = command.get_subcommands().next().is_some();
        let depth = path.split(' ').count();
        if depth <= 2 && path != "adnet help" {
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(help.contains("Example"), "{path} --help shows no example");
        }
        for argument in command.get_arguments() {
            let explained = argument.get_help().is_some() || argument.get_long_help().is_some();
            assert!(explained, "{path}: {} is not explained", argument.get_id());
        }
        if has_children {
            for child in command.get_subcommands() {
                check(child, &format!("{path} {}", child.get_name()));
            }
        }
    }
    check(&Cli::command(), "adnet");
}

#[test]
fn wrong_arguments_end_with_2_and_a_hint() {
    let typo = refusal(&["confg"]);
    assert_eq!(
        (typo.kind(), typo.exit_code()),
        (ErrorKind::InvalidSubcommand, 2)
    );
    assert!(typo.to_string().contains("'config'"), "{typo}");

    let flag = refusal(&["run", "--mdoe", "dual"]);
    assert_eq!(flag.exit_code(), 2);
    assert!(flag.to_string().contains("--mode"), "{flag}");

    let value = refusal(&["run", "--mode", "both"]);
    assert_eq!(value.exit_code(), 2);
    assert!(value.to_string().contains("alpha-only"), "{value}");

    let set = refusal(&["run", "--set", "alpha"]);
    assert_eq!(set.exit_code(), 2);
    assert!(set.to_string().contains("SECTION.KEY=VALUE"), "{set}");

    let amount = refusal(&[
        "tx", "alpha", "burn", "--from", "dev-0", "--amount", "0.00001",
    ]);
    assert_eq!(amount.exit_code(), 2);
    assert!(
        amount.to_string().contains("at most 4 decimals"),
        "{amount}"
    );

    let to = [
        "tx", "alpha", "transfer", "--from", "dev-0", "--amount", "1", "--to", "0x00",
    ];
    assert!(refusal(&to).to_string().contains("begin with `ax1`"));
}

#[test]
fn settings_reach_the_layers_in_their_order() {
    let line = [
        "adnet",
        "config",
        "show",
        "--set",
        "node.data_dir=/a",
        "--data-dir",
        "/b",
    ];
    let Cli {
        command: super::Command::Config(_),
    } = Cli::try_parse_from(line).expect("right")
    else {
        panic!("config show is another command");
    };
    let settings = super::settings::SettingsArgs {
        data_dir: Some("/b".to_owned()),
        overrides: vec![("node.data_dir".to_owned(), "/a".to_owned())],
        ..Default::default()
    };
    let flags = settings
        .sources(vec![("log.level", "--log-level", "debug".to_owned())])
        .flags;
    assert_eq!(
        flags["node.data_dir"].value, "/b",
        "a flag of its own wins over --set"
    );
    assert_eq!(flags["log.level"].flag, "--log-level");
}
