//! The live page: what a browser gets at `/`. It is all here, in the binary: nothing is fetched from
//! elsewhere, and there is no step that builds it.
//!
//! The page itself tells nothing, so that it may go to everyone who reaches the address; what it shows it asks
//! for, as its reader. What others said (addresses, HELO names, texts of plugins and upstreams) only ever
//! becomes text: [`POLICY`] leaves the browser no way to take it for anything else.

use super::{Answer, Route};

/// The page, and what it is made of.
pub(super) fn routes() -> Vec<Route> {
    FILES
        .iter()
        .map(|file| Route::get(file.path, |_| async { file.answer() }).for_everyone())
        .collect()
}

/// One file, as it lies in the folder.
struct File {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

impl File {
    fn answer(&self) -> Answer {
        Answer::of(self.kind, self.text)
            .with_field("content-security-policy", POLICY)
            .with_field("cross-origin-opener-policy", "same-origin")
            .with_field("x-frame-options", "DENY")
    }
}

/// Scripts and styles are files of ours and nothing else, not even a line within the page; no text
/// becomes a script; nothing is sent or asked for anywhere but here; no other page shows this one.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// A module of the page: its path is its name in the folder.
macro_rules! module {
    ($name:literal) => {
        File {
            path: concat!("/page/", $name),
            kind: SCRIPT,
            text: include_str!(concat!("page/", $name)),
        }
    };
}

const FILES: &[File] = &[
    File { path: "/", kind: HTML, text: include_str!("page/page.html") },
    File { path: "/page.css", kind: CSS, text: include_str!("page/page.css") },
    File { path: "/page.js", kind: SCRIPT, text: include_str!("page/page.js") },
    File { path: "/page/icon.svg", kind: SVG, text: include_str!("page/icon.svg") },
    module!("chart.js"),
    module!("configuration.js"),
    module!("dom.js"),
    module!("events.js"),
    module!("explanation.js"),
    module!("gateway.js"),
    module!("history.js"),
    module!("metrics.js"),
    module!("numbers.js"),
    module!("parts.js"),
    module!("record.js"),
    module!("refusals.js"),
    module!("said.js"),
    module!("sessions.js"),
    module!("state.js"),
    module!("story.js"),
    module!("transactions.js"),
    module!("trial.js"),
    module!("words.js"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// For a page that comes over a slow line to somebody in a hurry.
    const OCTETS: usize = 150 << 10;

    #[test]
    fn the_page_is_small() {
        let octets: usize = FILES.iter().map(|file| file.text.len()).sum();
        assert!(octets < OCTETS, "{octets} octets");
    }

    #[test]
    fn every_file_of_the_folder_is_served_and_every_import_is_one_of_them() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/admin/page");
        let names = std::fs::read_dir(folder).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let names = names.filter(|name| name != "screenshots");
        let files: BTreeSet<_> = names.collect();
        let served = FILES.iter().map(|file| match file.path {
            "/" => "page.html",
            path => path.rsplit('/').next().unwrap(),
        });
        assert_eq!(files, served.map(str::to_owned).collect());
        for file in FILES.iter().filter(|file| file.kind == SCRIPT) {
            let base = file.path.rsplit_once('/').unwrap().0;
            for import in file.text.split(" from \"./").skip(1) {
                let path = format!("{base}/{}", import.split('"').next().unwrap());
                assert!(FILES.iter().any(|one| one.path == path), "{}: {path}", file.path);
            }
        }
    }

    #[test]
    fn nothing_turns_text_into_markup_and_nothing_is_fetched_from_elsewhere() {
        const NEVER: [&str; 13] = [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "setHTML",
            "document.write",
            "DOMParser",
            "createContextualFragment",
            "srcdoc",
            "eval(",
            "Function(",
            " style=",
            "https://",
            "javascript:",
        ];
        for file in FILES {
            for word in NEVER {
                assert!(!file.text.contains(word), "{}: {word}", file.path);
            }
            let elsewhere = file.text.replace("http://www.w3.org/2000/svg", "");
            assert!(!elsewhere.contains("http://"), "{}", file.path);
            assert!(file.kind != HTML || !file.text.contains("<script>"), "a script in the page");
        }
    }

    #[test]
    fn each_file_comes_with_the_policy_and_as_what_it_is() {
        for file in FILES {
            let (response, _) = file.answer().into_response(false);
            let said = |name: &str| response.headers()[name].to_str().unwrap();
            assert_eq!(said("content-security-policy"), POLICY);
            assert_eq!(said("x-content-type-options"), "nosniff");
            assert_eq!(said("content-type"), file.kind);
        }
        assert!(!POLICY.contains("unsafe"));
    }
}
