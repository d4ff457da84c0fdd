//! What a part says that it is, by its name and its type, against what it is.

use crate::kind::Kind;

/// Whether somebody who believes name or type would open something of quite another kind. Cousins
/// are no mismatch: old Office names hold HTML, RTF and text, pictures are of any format.
pub(crate) fn is_false(extension: &str, declared: &str, kind: Kind) -> bool {
    let claim = Claim::by_extension(extension).or_else(|| Claim::by_type(declared));
    match (claim, kind) {
        (None, _) => false,
        (Some(_), Kind::Program | Kind::Shortcut | Kind::DiskImage | Kind::OneNote) => true,
        (Some(Claim::Office), _) => false,
        (Some(Claim::OpenXml), kind) => !matches!(kind, Kind::Zip | Kind::Ole | Kind::Unknown),
        (Some(Claim::Text), kind) => kind.is_archive() || matches!(kind, Kind::Ole | Kind::Pdf),
        (Some(Claim::Picture), kind) => {
            kind.is_archive()
                || matches!(kind, Kind::Ole | Kind::Html | Kind::UnixScript | Kind::Rtf)
        }
        (Some(Claim::Pdf), kind) => {
            kind.is_archive()
                || matches!(kind, Kind::Ole | Kind::Html | Kind::Svg | Kind::UnixScript)
        }
    }
}

enum Claim {
    /// Sound and films, too.
    Picture,
    Pdf,
    Text,
    Office,
    OpenXml,
}

impl Claim {
    fn by_extension(extension: &str) -> Option<Self> {
        match extension {
            "jpg" | "jpeg" | "png" | "gif" | "bmp" | "tif" | "tiff" | "webp" | "mp3" | "mp4"
            | "wav" | "avi" | "mov" => Some(Self::Picture),
            "pdf" => Some(Self::Pdf),
            "txt" | "csv" | "log" | "md" | "ics" | "vcf" => Some(Self::Text),
            "doc" | "xls" | "ppt" | "rtf" => Some(Self::Office),
            "docx" | "xlsx" | "pptx" => Some(Self::OpenXml),
            _ => None,
        }
    }

    fn by_type(declared: &str) -> Option<Self> {
        match declared.split('/').next()? {
            "image" if declared != "image/svg+xml" => Some(Self::Picture),
            "audio" | "video" => Some(Self::Picture),
            "text" if matches!(declared, "text/plain" | "text/csv") => Some(Self::Text),
            _ if declared == "application/pdf" => Some(Self::Pdf),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lies_are_told_from_cousins() {
        for (extension, declared, kind, want) in [
            ("pdf", "application/pdf", Kind::Pdf, false),
            ("pdf", "application/pdf", Kind::Html, true),
            ("pdf", "application/pdf", Kind::Zip, true),
            ("", "application/pdf", Kind::Rar, true),
            ("jpg", "image/jpeg", Kind::Image, false),
            ("png", "image/jpeg", Kind::Unknown, false),
            ("", "image/svg+xml", Kind::Svg, false),
            ("jpg", "application/octet-stream", Kind::Program, true),
            ("doc", "application/msword", Kind::Rtf, false),
            ("xls", "application/vnd.ms-excel", Kind::Html, false),
            ("docx", "application/zip", Kind::Zip, false),
            ("docx", "application/zip", Kind::Rtf, true),
            ("zip", "application/octet-stream", Kind::Rar, false),
            ("txt", "text/plain", Kind::Zip, true),
            ("", "text/x-patch", Kind::Text, false),
        ] {
            assert_eq!(
                is_false(extension, declared, kind),
                want,
                "{extension} {declared} {kind:?}"
            );
        }
    }
}
