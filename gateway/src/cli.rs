//! The command line.

mod asking;
mod check;
mod config;
mod explain;
mod healthcheck;
mod junit;
mod lock;
mod metrics;
mod plugin;
mod printable;
mod reference;
mod reload;
mod report;
mod spool;
mod test;
mod top;
mod trace;
mod user;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use tracing::{error, warn};

use crate::config as configuration;
use crate::demo;
use crate::gateway::{self, Gateway, Predecessor, Reloads, StartError};
use crate::listener::Passed;
use crate::metrics::count_panics;
use crate::shutdown::Shutdown;
use crate::sink::Sink;
use crate::telemetry::{self, Format, Options};
use check::Check;
use config::Configuration;
use explain::Explain;
use healthcheck::Healthcheck;
use metrics::Metrics;
use plugin::Plugin;
use reference::{Completions, Manual};
use reload::{Reload, Upgrade};
use spool::Spool;
use test::Test;
use top::Top;
use trace::Trace;
use user::User;

/// A plugin-driven, programmable SMTP gateway.
#[derive(Debug, Parser)]
#[command(
    name = "portcullis",
    version,
    about,
    after_help = "Exit codes: 0 it was done; 1 it went wrong, or the answer is no; 2 the configuration or the \
command line has a mistake. A command that has others, or means more by them, says so in its --help."
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve mail.
    ///
    /// It ends by SIGTERM or SIGINT, when transactions in flight have ended; a second signal ends it at once.
    /// SIGHUP is "reload", SIGUSR2 "upgrade". The exit code is 0 after that, 2 if the configuration or a file
    /// that it names has a mistake, and 1 if something else keeps it from serving, such as an address that is
    /// taken.
    Run {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Also start an embedded upstream that keeps nothing, to try a configuration without a
        /// mail store.
        #[arg(long, value_name = "smtp|lmtp=ADDRESS")]
        sink: Vec<SinkAddress>,
        /// A recipient that the embedded upstreams refuse.
        #[arg(long, value_name = "ADDRESS", requires = "sink")]
        sink_refuse: Vec<String>,
        /// Take the place of the process at the standard input; that one starts this one so.
        #[arg(long, hide = true, conflicts_with = "sink")]
        take_over: bool,
    },
    /// Read a configuration and everything that it names, and say all that is wrong with it.
    ///
    /// It is prepared as for "run": plugins are loaded and configured, certificates, users and maps read,
    /// and the addresses of listeners tried. What is legal but dangerous is a warning. The exit code is 0 if it
    /// can be served, 2 if it or a file that it names has a mistake, and 1 if something else keeps it from being
    /// served, such as an address that is taken.
    Check(Check),
    /// What a configuration may say, what it amounts to, and what a reload would change.
    #[command(subcommand)]
    Config(Configuration),
    /// Say what would become of a message, and who would say so.
    ///
    /// Shown are each hook, each plugin's answer, what it changes, the score, where each recipient goes, and what
    /// the client hears. The code that serves holds the conversation: plugins are asked, and what they read
    /// (maps, stores, DNS, HTTP) is real. Nothing is delivered, stored or counted, and nothing listens.
    ///
    /// The exit code is 0 if the client hears yes of all of it, 1 if something is refused, and 2 if the
    /// configuration or what was asked is wrong.
    Explain(Box<Explain>),
    /// Show what Portcullis does: a gateway, two embedded upstreams, and conversations to watch.
    Demo {
        /// End after the last conversation.
        #[arg(long)]
        once: bool,
        /// Where the bundled plugins lie.
        #[arg(long, value_name = "FOLDER", default_value = "target/plugins")]
        plugins: PathBuf,
    },
    /// Ask a running gateway whether it is ready. The exit code is 0 if it is, and 1 if it is not, or does not
    /// answer.
    Healthcheck(Healthcheck),
    /// Show all metrics that a gateway has, and which alerts look at them.
    Metrics(Metrics),
    /// Write plugins, try them without a gateway, and approve those of a configuration.
    #[command(subcommand)]
    Plugin(Plugin),
    /// Have a running gateway read its configuration anew.
    ///
    /// It is the file that the gateway was started with. A mistake changes nothing, and is told as by "check".
    /// Transactions in flight end under the configuration that they began with. The exit code is 0 if the new
    /// one is served, 2 if it has a mistake, and 1 if something else kept it from being served, or no gateway
    /// answers.
    Reload(Reload),
    /// What waits on the disk: list, show, retry, hold, release and drop messages.
    #[command(subcommand)]
    Spool(Spool),
    /// Play scenario files through a configuration, and compare what came with what they expect.
    ///
    /// Scenario files are YAML: who connects, what is sent, and what is expected of it; config/README.md tells
    /// what is in them. Each is a dry run, as of "explain": plugins are asked, and what they read (maps, stores,
    /// DNS, HTTP) is real. Nothing is delivered, stored or counted, and nothing listens.
    ///
    /// The exit code is 0 if all scenarios passed, 1 if some did not, and 2 if the configuration or a scenario
    /// file has a mistake.
    Test(Test),
    /// Watch what a running gateway does, in the terminal.
    ///
    /// Shown are mail a second, listeners, upstreams, plugins, sessions in flight and the last transactions.
    /// q ends it, p pauses, / filters sessions and transactions, the arrows scroll. NO_COLOR is heeded.
    Top(Top),
    /// Follow sessions of a running gateway as they happen.
    ///
    /// Shown are each command and reply, and each answer of a plugin and of an upstream; never secrets or
    /// content. It ends by itself after a while (--for), or by Ctrl-C.
    Trace(Trace),
    /// Have another process take the place of a running gateway, with the program as it is installed now.
    ///
    /// That is the one that now lies where the running one was started from, with the configuration as it is
    /// now. No connection is refused, and transactions in flight end. If the new process cannot serve, the old
    /// one goes on. The exit code is 0 if the new one serves, 2 if the configuration has a mistake, and 1 if
    /// something else kept it from serving, or no gateway answers.
    Upgrade(Upgrade),
    /// Who may log in: add, remove, list and check the users of a users file.
    #[command(subcommand)]
    User(User),
    /// Completions for a shell, to standard output.
    Completions(Completions),
    /// Manual pages, from the same definitions as this help.
    Man(Manual),
}

/// `smtp=127.0.0.1:2526`.
#[derive(Clone, Copy, Debug)]
enum SinkAddress {
    Lmtp(SocketAddr),
    Smtp(SocketAddr),
}

impl std::str::FromStr for SinkAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (protocol, address) =
            text.split_once('=').ok_or("must be smtp=ADDRESS or lmtp=ADDRESS")?;
        let address = address.parse().map_err(|_| format!("{address} is no address with port"))?;
        match protocol {
            "lmtp" => Ok(Self::Lmtp(address)),
            "smtp" => Ok(Self::Smtp(address)),
            _ => Err(format!("{protocol} is neither smtp nor lmtp")),
        }
    }
}

impl Arguments {
    /// Does what was asked, with the sockets that were passed to the process. The exit code is 0, 1
    /// (it went wrong), or 2 (the configuration).
    pub async fn execute(self, passed: Passed) -> ExitCode {
        match self.command {
            Command::Run { config, sink, sink_refuse, take_over } => {
                let place = if take_over { Place::Another } else { Place::Own(passed) };
                let code = run(config, place, sink, sink_refuse).await;
                telemetry::flush(LAST_LINES);
                code
            }
            Command::Check(check) => check.execute().await,
            Command::Config(configuration) => configuration.execute().await,
            Command::Explain(explain) => explain.execute().await,
            Command::Healthcheck(healthcheck) => healthcheck.execute().await,
            Command::Metrics(metrics) => metrics.execute(),
            Command::Plugin(plugin) => plugin.execute().await,
            Command::Reload(reload) => reload.execute().await,
            Command::Upgrade(upgrade) => upgrade.execute().await,
            Command::Spool(spool) => spool.execute().await,
            Command::Test(test) => Box::pin(test.execute()).await,
            Command::Top(top) => top.execute().await,
            Command::Trace(trace) => trace.execute().await,
            Command::User(user) => user.execute(),
            Command::Completions(completions) => completions.execute(),
            Command::Man(manual) => manual.execute(),
            Command::Demo { once, plugins } => show(demo::Options { once, plugins }).await,
        }
    }
}

/// Whose sockets a process serves.
enum Place {
    /// Its own, and those of systemd.
    Own(Passed),
    /// Those of the process that started it.
    Another,
}

async fn run(
    file: PathBuf,
    place: Place,
    sinks: Vec<SinkAddress>,
    refuse: Vec<String>,
) -> ExitCode {
    let predecessor = match place {
        Place::Own(_) => None,
        Place::Another => match Predecessor::on_standard_input() {
            Ok(predecessor) => Some(predecessor),
            Err(cause) => {
                eprintln!("error: --take-over is for a gateway that is upgraded: {cause}");
                return ExitCode::FAILURE;
            }
        },
    };
    let config = match configuration::load(&file) {
        Ok(config) => config,
        Err(mistakes) => return unfit(&mistakes.into(), predecessor.as_ref()),
    };
    if let Err(error) = telemetry::start(&gateway::log_options(&config.log)) {
        eprintln!("error: log: {error}");
        return MISCONFIGURED.into();
    }
    for warning in &config.warnings {
        warn!(place = %warning.place, "{}", warning.text);
    }
    let mut embedded = Vec::new();
    for sink in sinks {
        let (started, address) = match sink {
            SinkAddress::Lmtp(address) => (Sink::lmtp(address, refuse.clone()).await, address),
            SinkAddress::Smtp(address) => (Sink::smtp(address, refuse.clone()).await, address),
        };
        match started {
            Ok(sink) => embedded.push(sink),
            Err(cause) => {
                error!(%address, %cause, "cannot start the embedded upstream");
                return ExitCode::FAILURE;
            }
        }
    }
    count_panics();
    let shutdown = Shutdown::new();
    if let Err(cause) = shutdown.begin_on_signals() {
        error!(%cause, "cannot catch signals");
        return ExitCode::FAILURE;
    }
    let reloads = match Reloads::of(file) {
        Ok(reloads) if embedded.is_empty() => reloads,
        Ok(reloads) => reloads.without_upgrades(),
        Err(cause) => {
            error!(%cause, "cannot catch SIGHUP and SIGUSR2");
            return ExitCode::FAILURE;
        }
    };
    let started = match (predecessor.clone(), place) {
        (Some(predecessor), _) => Gateway::succeed(config, predecessor, shutdown).await,
        (None, Place::Own(passed)) => Gateway::start(config, passed, shutdown).await,
        (None, Place::Another) => unreachable!("it has a predecessor"),
    };
    match started {
        Ok(gateway) => {
            gateway.reloading(reloads).run().await;
            ExitCode::SUCCESS
        }
        Err(error) => unfit(&error, predecessor.as_ref()),
    }
}

async fn show(options: demo::Options) -> ExitCode {
    // The conversations are the show; the log is there for what goes wrong unexpectedly.
    if let Err(error) = telemetry::start(&Options::new(Format::Text, "error")) {
        eprintln!("error: log: {error}");
    }
    let shutdown = Shutdown::new();
    if let Err(error) = shutdown.begin_on_signals() {
        eprintln!("error: signals: {error}");
        return ExitCode::FAILURE;
    }
    match demo::run(&options, shutdown).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// Tells why nothing is served: the process that was here before, which logs it in one record, and only
/// where there is none whoever sees this one's output. Both would write to the same place at once.
fn unfit(error: &StartError, predecessor: Option<&Predecessor>) -> ExitCode {
    let text = error.in_full();
    let told = predecessor.is_some_and(|predecessor| predecessor.failed(&text));
    match error {
        StartError::Configuration(_) => {
            if !told {
                eprintln!("{text}");
            }
            MISCONFIGURED.into()
        }
        StartError::Bind { .. }
        | StartError::Engine(_)
        | StartError::Resolver(_)
        | StartError::Spool(_)
        | StartError::Succession(_)
        | StartError::Traces(_)
        | StartError::Workers(_) => {
            if !told {
                eprintln!("error: {text}");
            }
            ExitCode::FAILURE
        }
    }
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// For the last lines of the log, where nobody reads it.
const LAST_LINES: Duration = Duration::from_secs(2);

/// The exit code for a configuration that cannot be served.
const MISCONFIGURED: u8 = 2;
