//! Who asks for reloads: SIGHUP, and the admin address.

use std::io;
use std::path::{Path, PathBuf};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tracing::info;

use super::StartError;
use super::standing::Standing;
use crate::admin::{self, Refusal, ReloadRequest, Reloading};

/// Reloads that somebody asks for, of one configuration file.
#[derive(Debug)]
pub struct Reloads {
    file: PathBuf,
    hangups: Signal,
    requests: mpsc::Receiver<ReloadRequest>,
    pub(super) reloading: Reloading,
}

impl Reloads {
    /// From here on SIGHUP ends nothing. What is asked for before the gateway runs is done then.
    ///
    /// # Errors
    ///
    /// If the signal cannot be caught.
    pub fn of(file: PathBuf) -> io::Result<Self> {
        let hangups = signal(SignalKind::hangup())?;
        let (reloading, requests) = admin::reloading();
        Ok(Self { file, hangups, requests, reloading })
    }

    /// The configuration's file.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Reloads whenever it is asked for, one after the other, until the shutdown begins.
    pub(super) async fn serve(mut self, standing: &mut Standing) {
        let mut watcher = standing.shutdown.watcher();
        tokio::select! {
            () = watcher.begun() => {}
            () = self.serve_all(standing) => {}
        }
    }

    async fn serve_all(&mut self, standing: &mut Standing) {
        loop {
            let request = tokio::select! {
                _ = self.hangups.recv() => {
                    info!(signal = "SIGHUP", "reloading");
                    None
                }
                request = self.requests.recv() => {
                    info!("reloading, as the admin address was asked to");
                    request
                }
            };
            let reloaded = standing.reload(&self.file).await;
            if let Some(request) = request {
                request.answer(match reloaded {
                    Ok(warnings) => {
                        Ok(format!("{warnings}{} is served now\n", self.file.display()))
                    }
                    Err(StartError::Configuration(mistakes)) => {
                        Err(Refusal::Configuration(mistakes.to_string()))
                    }
                    Err(error) => Err(Refusal::Failed(error.to_string())),
                });
            }
        }
    }
}
