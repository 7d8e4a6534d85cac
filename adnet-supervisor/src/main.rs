//! The binary `adnet`: a worker if a supervisor says so, else the command line.

use adnet_supervisor::{cli, run};
use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(missing) = adnet_alpha::processor::lacks() {
        eprintln!(
            "error: this processor has no {missing}, which this build of adnet computes with (Intel has it \
             since 2015, AMD since 2017). Build it with RUSTFLAGS=\"--cfg pasta_curves_noasm\" instead."
        );
        return ExitCode::FAILURE;
    }
    if run::worker::is_ordered() {
        let code = run::worker::main();
        return ExitCode::from(u8::try_from(code).expect("exit codes are bytes"));
    }
    cli::parse_and_dispatch()
}
