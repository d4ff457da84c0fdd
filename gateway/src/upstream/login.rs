//! As whom the gateway logs in.

use std::io;

use portcullis_smtp::client::Login;

use crate::config::Hop;

use super::failure::Failure;

/// The login of one session.
pub(super) fn login(upstream: &Hop) -> Result<Option<Login>, Failure> {
    let Some(auth) = &upstream.auth else { return Ok(None) };
    let mut nonce = [0; 18];
    // Without it the upstream could be somebody who has listened before.
    getrandom::fill(&mut nonce)
        .map_err(|_| Failure::Login(io::Error::other("the system has no random octets")))?;
    let login = Login::new(&auth.user, auth.password.reveal(), &auth.mechanisms, nonce);
    let unsayable = || Failure::Login(io::ErrorKind::InvalidInput.into());
    login.map(Some).ok_or_else(unsayable)
}
