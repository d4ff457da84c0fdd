//! What is looked for, and what becomes of it unless the settings say something else.

use crate::action::{Action, Decision};

/// Makes the list of checks: variant, key in the settings, symbol, what is done, what is said.
macro_rules! checks {
    ($($variant:ident $key:literal $symbol:literal $usual:expr, $text:literal;)*) => {
        /// One thing that is looked for.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub(crate) enum Check { $($variant),* }

        impl Check {
            /// In the order of the variants.
            pub(crate) const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name in the settings.
            pub(crate) fn key(self) -> &'static str {
                match self { $(Self::$variant => $key),* }
            }

            /// What scores go by.
            pub(crate) fn symbol(self) -> &'static str {
                match self { $(Self::$variant => $symbol),* }
            }

            /// What a reply, a notice or the log says of it.
            pub(crate) fn text(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// What is done about it if the settings do not say.
            pub(crate) fn usual(self) -> Action {
                match self { $(Self::$variant => $usual),* }
            }
        }
    };
}

const REFUSE: Action = Action { decision: Some(Decision::Refuse(None)), points: None };
const OFF: Action = Action { decision: None, points: None };

const fn points(points: f64) -> Action {
    Action { decision: None, points: Some(points) }
}

checks! {
    Program "program" "BANNED_ATTACHMENT" REFUSE, "is a program";
    Script "script" "BANNED_SCRIPT" REFUSE, "is a script";
    ProgramInArchive "program_in_archive" "BANNED_IN_ARCHIVE" REFUSE, "holds a program";
    ScriptInArchive "script_in_archive" "SCRIPT_IN_ARCHIVE" points(2.5), "holds hardly more than a script";
    Disguised "disguised" "DISGUISED_NAME" points(5.0), "has a name that hides what it is";
    UnixScript "unix_script" "UNIX_SCRIPT" OFF, "is a script of a shell or the like";
    Risky "risky" "RISKY_ATTACHMENT" points(2.0), "is of a type that is hardly ever mailed";
    Mismatch "mismatch" "TYPE_MISMATCH" points(2.0), "is not what its name or type says";
    Macros "macros" "OFFICE_MACROS" points(2.0), "is a document with macros";
    AutoMacros "auto_macros" "OFFICE_AUTO_MACROS" points(2.5), "is a document with macros that run when it is opened";
    Embedded "embedded_file" "OFFICE_EMBEDDED_FILE" points(1.0), "is a document with a file in it";
    EncryptedArchive "encrypted_archive" "ENCRYPTED_ARCHIVE" points(2.0), "is an encrypted archive";
    EncryptedDocument "encrypted_document" "ENCRYPTED_DOCUMENT" points(1.0), "is an encrypted document";
    NestedArchive "nested_archive" "NESTED_ARCHIVE" points(0.5), "is an archive in an archive";
    ArchiveBomb "archive_bomb" "ARCHIVE_BOMB" points(4.0), "is an archive that unpacks to too much";
    AmbiguousArchive "ambiguous_archive" "AMBIGUOUS_ARCHIVE" points(3.0), "is an archive that looks different to different readers";
    UnlistedArchive "unlisted_archive" "UNLISTED_ARCHIVE" points(0.5), "is an archive that could not be listed to its end";
    ActivePdf "active_pdf" "ACTIVE_PDF" points(1.0), "is a PDF that starts something";
    HtmlSmuggling "html_smuggling" "HTML_SMUGGLING" points(4.0), "is a page that makes a file by script";
    ActiveSvg "active_svg" "ACTIVE_SVG" points(3.0), "is a picture with a script";
    ScriptedHtml "scripted_html" "SCRIPTED_HTML" points(1.0), "is a page with scripts";
    TooManyParts "too_many_parts" "TOO_MANY_PARTS" points(2.0), "has more parts than are looked at";
    BrokenMime "broken_mime" "BROKEN_MIME" points(1.5), "has a structure that readers disagree on";
    MissingDate "missing_date" "MISSING_DATE" points(1.0), "has no Date";
    BrokenDate "broken_date" "BROKEN_DATE" points(1.0), "has a Date that is none";
    MissingFrom "missing_from" "MISSING_FROM" points(2.0), "has no From";
    ManyFrom "many_from" "MANY_FROM" points(4.0), "has more than one From";
    MissingMessageId "missing_message_id" "MISSING_MID" points(0.7), "has no Message-ID";
    RepeatedField "repeated_field" "REPEATED_FIELD" points(1.0), "has a field twice that may be there once";
    ManyReceived "many_received" "MANY_RECEIVED" points(1.0), "has come a very long way";
    RawOctets "raw_octets" "RAW_OCTETS_IN_HEADER" points(0.7), "has octets in its header that are not ASCII";
    ListUnsubscribe "list_unsubscribe" "LIST_UNSUBSCRIBE" points(-0.2), "can be unsubscribed";
    OneClick "one_click_unsubscribe" "ONE_CLICK_UNSUBSCRIBE" points(-0.3), "can be unsubscribed by one click";
    Bulk "bulk" "BULK_MAIL" points(0.2), "says that it is bulk mail";
}
