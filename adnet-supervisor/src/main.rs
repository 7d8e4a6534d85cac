//! The binary `adnet`: a worker if a supervisor says so, else the command line.

use adnet_supervisor::{cli, run};
use std::process::ExitCode;

fn main() -> ExitCode {
    if run::worker::is_ordered() {
        let code = run::worker::main();
        return ExitCode::from(u8::try_from(code).expect("exit codes are bytes"));
    }
    cli::parse_and_dispatch()
}
