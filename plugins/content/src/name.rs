//! Names of files: what an extension promises, and tricks that hide it.

/// What a double click on a file of this name does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Promise {
    /// Runs it.
    Program,
    /// Runs it in an interpreter that Windows has.
    Script,
    /// Opens what is no document, and can be made to run something.
    Risky,
}

/// What Windows runs.
pub(crate) const PROGRAMS: &[&str] = &[
    "appref-ms",
    "appx",
    "com",
    "cpl",
    "exe",
    "gadget",
    "hta",
    "jse",
    "lnk",
    "mst",
    "msi",
    "msp",
    "pif",
    "scf",
    "scr",
    "settingcontent-ms",
    "sys",
    "vbe",
    "vbs",
    "vxd",
    "wsc",
    "wsf",
    "wsh",
    "xll",
];

/// What Windows runs too, but is also what developers send each other.
pub(crate) const SCRIPTS: &[&str] = &[
    "application",
    "bat",
    "cmd",
    "dll",
    "jar",
    "jnlp",
    "js",
    "msc",
    "mjs",
    "ps1",
    "psm1",
    "reg",
    "sct",
    "shb",
    "vb",
];

/// What is opened by something that can be made to run more.
pub(crate) const RISKY: &[&str] = &[
    "ace",
    "apk",
    "cab",
    "chm",
    "diagcab",
    "dmg",
    "hlp",
    "img",
    "inf",
    "iqy",
    "iso",
    "library-ms",
    "one",
    "rdp",
    "search-ms",
    "slk",
    "theme",
    "url",
    "vhd",
    "vhdx",
    "website",
    "xbap",
];

/// What nobody thinks twice about, for the extension before the last one.
const HARMLESS: &[&str] = &[
    "avi", "bmp", "csv", "doc", "docx", "gif", "htm", "html", "jpeg", "jpg", "mov", "mp3", "mp4",
    "odt", "pdf", "png", "ppt", "pptx", "rtf", "tif", "tiff", "txt", "wav", "xls", "xlsx", "zip",
];

/// What holds other files.
const ARCHIVES: &[&str] = &[
    "7z", "ace", "arj", "bz2", "cab", "gz", "img", "iso", "lzh", "rar", "tar", "tgz", "xz", "zip",
    "zst",
];

/// The extension in small letters, as Windows takes it: dots and blanks at the end do not count.
pub(crate) fn extension(name: &str) -> String {
    let name = last_component(name).trim_end_matches(['.', ' ', '\u{a0}', '\u{3000}', '\0']);
    // An alternate data stream is the same file.
    let name = name.split_once(':').map_or(name, |(file, _)| file);
    match name.rsplit_once('.') {
        Some((_, extension)) if extension.len() <= LONGEST => {
            extension.chars().filter(|c| !is_invisible(*c)).collect::<String>().to_ascii_lowercase()
        }
        _ => String::new(),
    }
}

/// The name without its last extension.
pub(crate) fn stem(name: &str) -> &str {
    last_component(name).rsplit_once('.').map_or(name, |(stem, _)| stem)
}

pub(crate) fn is_archive(extension: &str) -> bool {
    ARCHIVES.contains(&extension)
}

/// Whether a name wants to look like another. `runs` is whether its true extension is dangerous.
pub(crate) fn is_disguised(name: &str, runs: bool) -> bool {
    // Turns the letters behind it round: `invoice\u{202e}fdp.exe` looks like `invoiceexe.pdf`.
    if name.contains(['\u{202d}', '\u{202e}']) {
        return true;
    }
    if !runs {
        return false;
    }
    let name = last_component(name);
    let before = stem(name);
    let hidden = name.contains("     ") || name.contains(is_invisible);
    let trailing = name.ends_with(['.', ' ']);
    hidden || trailing || HARMLESS.contains(&extension(before).as_str())
}

/// As it may stand in a reply, a header field or the log: short printable ASCII without quotes.
pub(crate) fn sanitised(name: &str) -> String {
    let shown: String =
        name.chars().map(|c| if matches!(c, ' '..='~') && c != '"' { c } else { '?' }).collect();
    match shown.len() {
        0..=SHOWN => shown,
        // The end is what tells.
        length => format!("{}...{}", &shown[..SHOWN / 2], &shown[length - SHOWN / 2..]),
    }
}

/// Whether a name fits a pattern with `*` and `?`; case does not matter. Linear in the name for each
/// star, without recursion.
pub(crate) fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_lowercase(), name.to_lowercase());
    let (pattern, name): (Vec<_>, Vec<_>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => (p, n) = (p + 1, n + 1),
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    (p, n) = (at + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

fn last_component(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().unwrap_or(name)
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{ad}')
}

/// Longer ones are not known to run.
const LONGEST: usize = 40;
const SHOWN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_are_those_that_windows_sees() {
        for (name, want) in [
            ("a.EXE", "exe"),
            ("a.exe. . ", "exe"),
            ("a.exe\u{3000}", "exe"),
            ("a.e\u{200b}xe", "exe"),
            ("dir.zip/a.Js", "js"),
            ("C:\\dir\\a.vbs", "vbs"),
            ("a.exe::$DATA", "exe"),
            ("a.exe/", ""),
            ("a", ""),
            ("", ""),
            (".", ""),
        ] {
            assert_eq!(extension(name), want, "{name:?}");
        }
    }

    #[test]
    fn disguises_are_seen_through() {
        for (name, runs, want) in [
            ("invoice.pdf.exe", true, true),
            ("invoice.pdf            .exe", true, true),
            ("invoice\u{202e}fdp.exe", true, true),
            ("photo\u{202e}gpj.txt", false, true),
            ("a.exe ", true, true),
            ("setup.exe", true, false),
            ("setup-1.2.exe", true, false),
            ("minutes.2024.pdf", false, false),
            ("\u{5d0}\u{5d1}\u{200f}.pdf", false, false),
        ] {
            assert_eq!(is_disguised(name, runs), want, "{name:?}");
        }
    }

    #[test]
    fn names_are_shown_without_harm() {
        assert_eq!(sanitised("a\r\n\"b\u{e9}"), "a???b?");
        let long = format!("{}.exe", "a".repeat(500));
        assert_eq!(sanitised(&long).len(), SHOWN + 3);
        assert!(sanitised(&long).ends_with("a.exe"));
    }

    #[test]
    fn patterns_have_stars_and_question_marks() {
        for (pattern, name, want) in [
            ("*.ISO", "a.iso", true),
            ("*.iso", "a.iso.txt", false),
            ("inv?ice*", "Invoice 7.pdf", true),
            ("*a*b*", "xxaxxbxx", true),
            ("*", "", true),
            ("", "a", false),
        ] {
            assert_eq!(fits(pattern, name), want, "{pattern} {name}");
        }
        assert!(!fits(&"*a".repeat(50), &"b".repeat(1024)));
    }
}
