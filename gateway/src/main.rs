//! The program: arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use portcullis::cli::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(arguments.execute()),
        Err(error) => {
            eprintln!("error: the runtime cannot be started: {error}");
            ExitCode::FAILURE
        }
    }
}
