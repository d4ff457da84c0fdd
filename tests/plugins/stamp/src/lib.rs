//! Stamps its settings onto mail at several hooks, so that a message tells under which settings it
//! was judged, for the tests of the gateway.

use portcullis_plugin::{EditError, Message, Session, Verdict, plugin};
use serde::Deserialize;

/// The plugin is its settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stamp {
    /// The plugin's own name in the configuration.
    name: String,
    /// What it stamps.
    mark: String,
}

#[plugin]
impl Stamp {
    fn configure(settings: Self) -> Result<Self, String> {
        Ok(settings)
    }

    fn helo(&self, session: &Session) -> Result<Verdict, EditError> {
        session.save(self.mark.as_bytes())?;
        Ok(Verdict::Next)
    }

    fn rcpt(&self, session: &Session) -> Result<Verdict, EditError> {
        session.set_note("rcpt", &self.mark)?;
        Ok(Verdict::Next)
    }

    /// Its name, then the marks of `helo`, of the last `rcpt`, and of this hook.
    fn message(&self, session: &Session, message: &Message) -> Result<Verdict, EditError> {
        let Self { name, mark } = self;
        let helo = session.load().unwrap_or_default();
        let helo = String::from_utf8_lossy(&helo);
        let rcpt = session.note(&format!("{name}.rcpt")).unwrap_or_default();
        let stamps = format!("{name} {helo} {rcpt} {mark}");
        message.add_header(None, "X-Stamp", stamps.as_bytes())?;
        Ok(Verdict::Next)
    }
}
