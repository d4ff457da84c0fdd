//! Parameters of MAIL and RCPT (RFC 5321 section 4.1.2, `esmtp-param`).

/// One parameter: keyword in capitals, decoded value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Parameter {
    /// `SIZE`, `BODY`, ...
    pub keyword: String,
    /// What follows the `=`, if there is one.
    pub value: Option<String>,
}
