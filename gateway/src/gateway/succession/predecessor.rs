//! The process that was here before, as the one sees it that takes its place.

use std::io;
use std::sync::Arc;

use tokio::task::spawn_blocking;
use tracing::{info, warn};

use super::channel::{Channel, Message};
use crate::listener::Passed;

/// The process that this one takes the place of. Clones are the same.
#[derive(Clone, Debug)]
pub struct Predecessor(Arc<Channel>);

impl Predecessor {
    /// The one that has started this one, to take its place.
    ///
    /// # Errors
    ///
    /// If nothing is at the standard input.
    pub fn on_standard_input() -> io::Result<Self> {
        Ok(Self(Arc::new(Channel::on_standard_input()?)))
    }

    /// What it listens at.
    ///
    /// # Errors
    ///
    /// If it hands over something else.
    pub async fn sockets(&self) -> io::Result<Passed> {
        let channel = self.0.another()?;
        let handed = spawn_blocking(move || channel.receive_sockets());
        Passed::from_predecessor(handed.await.map_err(io::Error::other)??)
    }

    /// Tells it that this process can serve, and waits until it may.
    pub(in crate::gateway) async fn prepared(&self) -> io::Result<()> {
        self.say(&Message::Prepared, &Message::Begin).await
    }

    /// Tells it that this process serves, and waits until nobody else does.
    pub(in crate::gateway) async fn serving(&self) -> io::Result<()> {
        self.say(&Message::Serving, &Message::Reign).await?;
        info!("the process that was here before is left to its last transactions");
        Ok(())
    }

    /// Tells it why this process does not serve; it goes on then, and logs that. Whether it was there to
    /// be told.
    #[must_use]
    pub fn failed(&self, why: &str) -> bool {
        let text = why.chars().take(TEXT).collect();
        let sent = self.0.send(&Message::Failed { text });
        if let Err(cause) = &sent {
            warn!(%cause, "the process that was here before does not hear why not");
        }
        sent.is_ok()
    }

    async fn say(&self, message: &Message, answer: &Message) -> io::Result<()> {
        let channel = self.0.another()?;
        // One that is gone cannot be in the way, and this one serves all the more.
        if self.0.send(message).is_err() {
            warn!("the process that was here before is gone");
            return Ok(());
        }
        let heard = spawn_blocking(move || channel.receive()).await.map_err(io::Error::other)?;
        match heard {
            Ok(Some(heard)) if heard == *answer => Ok(()),
            Ok(Some(_)) => Err(io::ErrorKind::InvalidData.into()),
            Ok(None) | Err(_) => {
                warn!("the process that was here before is gone");
                Ok(())
            }
        }
    }
}

/// Characters of an explanation; one message has room for so many.
const TEXT: usize = 16 << 10;
