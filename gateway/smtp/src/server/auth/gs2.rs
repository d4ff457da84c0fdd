//! The header that SCRAM and OAUTHBEARER share (RFC 5801 section 4).

use super::identity;

/// `gs2-cbind-flag`.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Flag<'a> {
    /// `p`: bound to the channel in this way.
    Bound(&'a str),
    /// `n`: the client cannot.
    No,
    /// `y`: the client could, but thinks that the server cannot.
    NotOffered,
}

/// The header with its last comma: `n,,` or `p=tls-exporter,a=other,`. RFC 5801 section 4.
pub(super) fn header(text: &str) -> Option<(Flag<'_>, Option<String>, &str)> {
    let mut words = text.splitn(3, ',');
    let (flag, authorization) = (words.next()?, words.next()?);
    let rest = words.next()?;
    let flag = match flag {
        "n" => Flag::No,
        "y" => Flag::NotOffered,
        _ => Flag::Bound(flag.strip_prefix("p=").filter(|name| is_binding_name(name))?),
    };
    let authorization = match authorization {
        "" => None,
        name => Some(sasl_name(name.strip_prefix("a=")?)?),
    };
    Some((flag, authorization, &text[..text.len() - rest.len()]))
}

/// `saslname`: `=2C` is a comma, `=3D` the equals sign, and nothing else may follow one.
pub(super) fn sasl_name(text: &str) -> Option<String> {
    let mut read = String::with_capacity(text.len());
    let mut pieces = text.split('=');
    read.push_str(pieces.next()?);
    for piece in pieces {
        let (octet, rest) = match piece.as_bytes() {
            [b'2', b'C', ..] => (',', &piece[2..]),
            [b'3', b'D', ..] => ('=', &piece[2..]),
            _ => return None,
        };
        read.push(octet);
        read.push_str(rest);
    }
    identity::name(read.as_bytes())?;
    Some(read)
}

/// `cb-name`.
fn is_binding_name(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        for (text, flag, name, head) in [
            ("n,,n=user", Flag::No, None, "n,,"),
            ("y,a=b,", Flag::NotOffered, Some("b"), "y,a=b,"),
            ("p=tls-exporter,,x,y", Flag::Bound("tls-exporter"), None, "p=tls-exporter,,"),
            ("n,a==2C=3D=3D,", Flag::No, Some(",=="), "n,a==2C=3D=3D,"),
        ] {
            assert_eq!(header(text), Some((flag, name.map(str::to_owned), head)), "{text}");
        }
        for text in ["", "n", "n,", "x,,", "n,b=x,", "n,a=,", "p,,", "p=,,", "p=a b,,", "N,,"] {
            assert_eq!(header(text), None, "{text}");
        }
        for text in ["=", "a=", "a=2", "a=2c", "a=20", "=2D", "a\u{1}", "a=3D=", ""] {
            assert_eq!(sasl_name(text), None, "{text}");
        }
    }
}
