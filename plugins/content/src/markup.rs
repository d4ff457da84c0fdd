//! Pages, pictures and documents that do something: words that the gateway looks for, so that the
//! content stays where it is.

use crate::check::Check;
use crate::kind::Kind;
use crate::source::Source;

/// What speaks for more than a page or a picture.
pub(crate) fn finding(kind: Kind, source: &mut Source<'_>, within: u64) -> Option<Check> {
    let mut has =
        |words: &[&str]| words.iter().any(|word| source.find(word.as_bytes(), 0, within).is_some());
    match kind {
        Kind::Html if !has(&["<script", "<SCRIPT", "<Script"]) => None,
        // A file is made of what the page carries, and handed to the reader.
        Kind::Html if has(MAKES_FILES) && has(CARRIES) => Some(Check::HtmlSmuggling),
        Kind::Html => Some(Check::ScriptedHtml),
        Kind::Svg => {
            has(&["<script", "<SCRIPT", "onload=", "javascript:"]).then_some(Check::ActiveSvg)
        }
        Kind::Pdf => has(&["/Launch", "/JavaScript"]).then_some(Check::ActivePdf),
        // Identifiers of VBA stand in the project's cache in clear text.
        Kind::Ole => has(AUTOMATIC).then_some(Check::AutoMacros),
        _ => None,
    }
}

const MAKES_FILES: &[&str] =
    &["createObjectURL", "msSaveOrOpenBlob", "msSaveBlob", ".download", "download="];
const CARRIES: &[&str] = &["atob(", "Uint8Array", "fromCharCode", "data:application/", "base64,"];
const AUTOMATIC: &[&str] = &[
    "AutoOpen",
    "Auto_Open",
    "AutoExec",
    "AutoClose",
    "Auto_Close",
    "Document_Open",
    "DocumentOpen",
    "Document_Close",
    "Workbook_Open",
    "Workbook_Activate",
];
