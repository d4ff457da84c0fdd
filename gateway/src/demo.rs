//! A gateway with the bundled plugins, two embedded upstreams, and real conversations to watch.
//!
//! Nothing is staged but the mail: the configuration is read from a file, the plugins are the
//! bundled ones, and every message goes through sockets.

mod scene;
mod talk;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::config;
use crate::gateway::{Gateway, StartError};
use crate::listener::Passed;
use crate::shutdown::Shutdown;
use crate::sink::Sink;
use crate::telemetry::{Colour, Paint};
use scene::Stage;

/// How to demonstrate.
#[derive(Clone, Debug)]
pub struct Options {
    /// End after the last scene.
    pub once: bool,
    /// Where the bundled plugins lie.
    pub plugins: PathBuf,
}

/// Why there was no demonstration.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The demonstration's own files or sockets.
    #[error("cannot set the stage")]
    Io(#[from] io::Error),
    /// A plugin is missing, most likely.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Runs the demonstration; whether every scene ended as it should.
///
/// # Errors
///
/// If the stage cannot be set, or a socket fails.
pub async fn run(options: &Options, shutdown: Shutdown) -> Result<bool, DemoError> {
    let paint = Paint::for_stdout();
    let store = Sink::smtp("127.0.0.1:0", Vec::new()).await?;
    let archive = Sink::lmtp("127.0.0.1:0", Vec::new()).await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("portcullis.yaml");
    std::fs::write(&file, configuration(&options.plugins, store.address(), archive.address())?)?;
    let config = config::load(&file).map_err(StartError::from)?;

    println!("{}", paint.in_colour(Colour::Bold, "Portcullis: plugins are being compiled ..."));
    let gateway = Gateway::start(config, Passed::default(), shutdown.clone()).await?;
    let addresses = gateway.addresses()?;
    let serving = tokio::spawn(gateway.run());

    let mut stage = Stage::new(addresses.smtp, store, archive, paint);
    let all_well = stage.play().await?;
    println!();
    for (name, address) in &addresses.listeners {
        println!("  {name:<8} smtp://{address}");
    }
    if let Some(admin) = addresses.admin {
        println!("  {:<8} http://{admin}/metrics", "metrics");
    }
    if options.once {
        shutdown.begin();
    } else {
        println!("\n  It goes on serving; Ctrl-C ends it. Try:");
        println!(
            "  swaks --server {} --from you@sender.example --to info@example.org",
            addresses.smtp
        );
    }
    serving.await.map_err(io::Error::other)?;
    Ok(all_well)
}

/// The demonstration's configuration, with the places that are known only now.
fn configuration(plugins: &Path, store: SocketAddr, archive: SocketAddr) -> io::Result<String> {
    let plugins = plugins.canonicalize().map_err(|error| {
        let text = format!("{}: {error}; `make plugins` builds them", plugins.display());
        io::Error::new(error.kind(), text)
    })?;
    Ok(include_str!("demo/portcullis.yaml")
        .replace("@PLUGINS@", &plugins.to_string_lossy())
        .replace("@STORE@", &store.to_string())
        .replace("@ARCHIVE@", &archive.to_string()))
}
