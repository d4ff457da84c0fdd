//! What became of it, told after the event.

/// One fact. Facts come in batches, hold nobody up, and what is said to them changes nothing.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Outcome {
    /// The session's id.
    pub session: String,
    /// None where no transaction was open.
    pub transaction: Option<String>,
    /// The listener's name.
    pub listener: String,
    /// As [`Session::client_address`](crate::Session::client_address).
    pub client_address: String,
    /// `connect`, `helo`, `auth`, `mail`, `rcpt`, `message`, `delivery`, `disconnect`; later gateways
    /// may know others.
    pub stage: String,
    /// From `mail` on; none is also the null reverse-path.
    pub sender: Option<String>,
    /// At `rcpt` and `delivery`.
    pub recipient: Option<String>,
    /// The plugin that decided, or the upstream that answered.
    pub by: Option<String>,
    /// The reply's code; 0 where there was none.
    pub code: u16,
    /// The reply's enhanced status and text, or why the connection ended.
    pub text: String,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub time: u64,
}
