//! Who asks for reloads and upgrades: signals, and the admin address.

use std::io;
use std::path::{Path, PathBuf};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tracing::{error, info};

use super::StartError;
use super::standing::Standing;
use super::succession::{Succession, SuccessionError, Successor};
use super::supervisor;
use crate::admin::{self, Refusal, ReloadRequest, Reloading, Wish};

/// Reloads that somebody asks for, of one configuration file, and upgrades.
#[derive(Debug)]
pub struct Reloads {
    file: PathBuf,
    /// None where another process could not do all that this one does.
    succession: Option<Succession>,
    hangups: Signal,
    upgrades: Signal,
    requests: mpsc::Receiver<ReloadRequest>,
    pub(super) reloading: Reloading,
}

/// How serving ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// The process is to end.
    Shutdown,
    /// Another process has taken the place of this one.
    Succeeded,
}

impl Reloads {
    /// From here on SIGHUP and SIGUSR2 end nothing. What is asked for before the gateway runs is done
    /// then.
    ///
    /// # Errors
    ///
    /// If the signals cannot be caught, or nobody can say which program this is.
    pub fn of(file: PathBuf) -> io::Result<Self> {
        let (hangups, upgrades) =
            (signal(SignalKind::hangup())?, signal(SignalKind::user_defined2())?);
        let (reloading, requests) = admin::reloading();
        let succession = Some(Succession::of(&file)?);
        Ok(Self { file, succession, hangups, upgrades, requests, reloading })
    }

    /// The configuration's file.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// No other process can take the place of this one, because upstreams are embedded in it.
    #[must_use]
    pub fn without_upgrades(self) -> Self {
        Self { succession: None, ..self }
    }

    /// Does what is asked for, one after the other, until the shutdown begins, or another process has
    /// taken the place of this one.
    pub(super) async fn serve(mut self, standing: &mut Standing) -> End {
        let mut watcher = standing.shutdown.watcher();
        tokio::select! {
            () = watcher.announced() => End::Shutdown,
            () = self.serve_all(standing) => End::Succeeded,
        }
    }

    /// Returns when another process has taken the place of this one.
    async fn serve_all(&mut self, standing: &mut Standing) {
        loop {
            let (wish, request) = tokio::select! {
                _ = self.hangups.recv() => (Wish::Reload, None),
                _ = self.upgrades.recv() => (Wish::Upgrade, None),
                Some(request) = self.requests.recv() => (request.wish, Some(request)),
                plugin = standing.renewed() => {
                    standing.install(plugin);
                    continue;
                }
            };
            let by = if request.is_some() { "the admin address" } else { "a signal" };
            info!(?wish, by, "asked for");
            let answer = |told| request.map(|request| request.answer(told));
            match wish {
                Wish::Reload => {
                    let told = self.reload(standing).await;
                    answer(told);
                }
                Wish::Upgrade => match succeed(self.succession.as_ref(), standing).await {
                    Ok(process) => {
                        answer(Ok(format!("process {process} serves now\n")));
                        return;
                    }
                    Err(error) => {
                        error!(%error, "no upgrade, this process goes on");
                        answer(Err(refusal(error)));
                    }
                },
            }
        }
    }

    async fn reload(&self, standing: &mut Standing) -> Result<String, Refusal> {
        match standing.reload(&self.file).await {
            Ok(warnings) => Ok(format!("{warnings}{} is served now\n", self.file.display())),
            Err(StartError::Configuration(mistakes)) => {
                Err(Refusal::Configuration(mistakes.to_string()))
            }
            Err(error) => Err(Refusal::Failed(error.in_full())),
        }
    }
}

fn refusal(error: SuccessionError) -> Refusal {
    match error {
        // Its configuration, most likely, as the new process has it.
        SuccessionError::Refused(text) => Refusal::Configuration(text),
        error => Refusal::Failed(error.to_string()),
    }
}

/// Has another process take the place of this one, which ends then; or this one goes on as before.
async fn succeed(
    succession: Option<&Succession>,
    standing: &mut Standing,
) -> Result<u32, SuccessionError> {
    let succession = succession.ok_or(SuccessionError::Embedded)?;
    supervisor::reloading();
    let successor = match succession.begin(standing.handed()).await {
        Ok(successor) => {
            info!(process = successor.process(), "the successor is prepared");
            serve(successor, standing).await
        }
        Err(error) => Err(error),
    };
    let successor = successor.inspect_err(|_| supervisor::ready())?;
    let process = successor.process();
    supervisor::succeeded_by(process);
    standing.hand_over().await;
    successor.reign();
    info!(process, "another process serves now, this one ends its last transactions");
    Ok(process)
}

async fn serve(
    mut successor: Successor,
    standing: &mut Standing,
) -> Result<Successor, SuccessionError> {
    if !standing.has_what_is_for_one() {
        successor.serve().await?;
        return Ok(successor);
    }
    let served = match standing.let_go().await {
        Ok(()) => successor.serve().await,
        Err(error) => Err(error.into()),
    };
    if let Err(error) = served {
        // First, for it may have what is to be taken back.
        drop(successor);
        standing.go_on();
        return Err(error);
    }
    Ok(successor)
}
