//! Whom the header field From names.

/// The addresses in the value of a From field (RFC 5322 3.4), without names, comments and quotes: what
/// only looks like an address there is none.
pub(crate) fn addresses(value: &[u8]) -> Vec<String> {
    let bare = without_quotes(&String::from_utf8_lossy(value));
    let mut addresses = Vec::new();
    for one in bare.split([',', ';']) {
        let inside =
            one.rsplit_once('<').map(|(_, rest)| rest.split('>').next().unwrap_or_default());
        let address: String =
            inside.unwrap_or(one).chars().filter(|c| !c.is_whitespace()).collect();
        // In `Friends:a@example.org;` there is a name before the address.
        let address = address.rsplit_once(':').map_or(&*address, |(_, address)| address);
        if address.contains('@') {
            addresses.push(address.trim_end_matches('.').to_lowercase());
        }
    }
    addresses
}

fn without_quotes(text: &str) -> String {
    let (mut bare, mut depth, mut quoted) = (String::with_capacity(text.len()), 0_u32, false);
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' if quoted || depth > 0 => {
                characters.next();
            }
            '"' if depth == 0 => {
                quoted = !quoted;
                bare.push('_');
            }
            _ if quoted => {}
            '(' => depth += 1,
            ')' if depth > 0 => depth -= 1,
            _ if depth > 0 => {}
            _ => bare.push(character),
        }
    }
    bare
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_and_nothing_else() {
        for (value, expected) in [
            ("ann@Example.org", vec!["ann@example.org"]),
            ("Ann <ann@example.org>", vec!["ann@example.org"]),
            ("\"boss@example.org\" <x@evil.example>", vec!["x@evil.example"]),
            ("boss (boss@example.org) <x@evil.example>", vec!["x@evil.example"]),
            ("\"a, <b@c.example>\" <x@evil.example>", vec!["x@evil.example"]),
            ("a@b.example, C <d@e.example>", vec!["a@b.example", "d@e.example"]),
            ("Friends: a@b.example, c@d.example;", vec!["a@b.example", "c@d.example"]),
            ("\"a b\"@example.org", vec!["__@example.org"]),
            ("boss@example.org <x@evil.example>", vec!["x@evil.example"]),
            ("<x@evil.example", vec!["x@evil.example"]),
            ("(unclosed a@b.example", vec![]),
            ("\"unclosed a@b.example", vec![]),
            ("\\", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(addresses(value.as_bytes()), expected, "{value}");
        }
    }
}
