//! The program: arguments in, exit code out.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use mimalloc::MiMalloc;
use portcullis::cli::Arguments;
use portcullis::listener::Passed;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Before there are threads: it changes the environment.
    let passed = Passed::from_environment();
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(arguments.execute(passed));
            // A name that is being resolved keeps its thread for as long as the system likes.
            runtime.shutdown_timeout(STRAGGLERS);
            code
        }
        Err(error) => {
            eprintln!("error: the runtime cannot be started: {error}");
            ExitCode::FAILURE
        }
    }
}

/// After everything was ended in order, how long to wait for threads that wait for the system.
const STRAGGLERS: Duration = Duration::from_secs(2);
