//! What follows from the points that plugins give.

use portcullis_smtp::Reply;

use super::section::Section;

/// At which sum of points what happens to a message. What is reached and stands highest counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// It gets a header field that tells its score.
    pub add_header: Option<f64>,
    /// It goes to the listener's quarantine.
    pub quarantine: Option<f64>,
    /// 451: the client keeps it and tries again.
    pub defer: Option<f64>,
    /// 550.
    pub reject: Option<f64>,
    /// The name of that header field. Those that a message brings along are removed.
    pub header: String,
    /// What the client is told after 451 or 550.
    pub text: String,
}

impl Scores {
    pub(super) const KEYS: &'static [&'static str] =
        &["add_header", "defer", "header", "quarantine", "reject", "text"];

    /// What stands under `scores`, if it is there.
    pub(super) fn read(listener: &Section<'_>) -> Option<Self> {
        listener.entry("scores")?;
        let section = listener.section("scores", Self::KEYS);
        let scores = Self {
            // A header may tell of good mail, too; nothing is held against it.
            add_header: section.number("add_header", -MOST..=MOST),
            quarantine: section.number("quarantine", LEAST..=MOST),
            defer: section.number("defer", LEAST..=MOST),
            reject: section.number("reject", LEAST..=MOST),
            header: header(&section),
            text: text(&section),
        };
        scores.check(listener, &section);
        Some(scores)
    }

    /// The thresholds that are set, from the mildest to the harshest.
    pub fn thresholds(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let all = [
            ("add_header", self.add_header),
            ("quarantine", self.quarantine),
            ("defer", self.defer),
            ("reject", self.reject),
        ];
        all.into_iter().filter_map(|(key, threshold)| Some((key, threshold?)))
    }

    fn check(&self, listener: &Section<'_>, section: &Section<'_>) {
        let reader = section.reader;
        let named = ["add_header", "quarantine", "defer", "reject"];
        if !named.iter().any(|key| section.entry(key).is_some()) {
            let text = "nothing follows from scores here";
            let help = "give thresholds: \"add_header\", \"quarantine\", \"defer\", \"reject\"";
            reader.error(listener.mark_of("scores"), text, Some(help));
        }
        for (milder, harsher) in self.thresholds().zip(self.thresholds().skip(1)) {
            if harsher.1 <= milder.1 {
                let text = format!("\"{}\" must be more than \"{}\"", harsher.0, milder.0);
                let help = "thresholds rise: \"add_header\", \"quarantine\", \"defer\", \"reject\"";
                reader.error(section.mark_of(harsher.0), text, Some(help));
            }
        }
        if self.quarantine.is_some() && listener.entry("quarantine").is_none() {
            let text = "there is no quarantine to send mail to";
            let help = "name an upstream in the listener's own \"quarantine\"";
            reader.error(section.mark_of("quarantine"), text, Some(help));
        }
    }
}

fn header(section: &Section<'_>) -> String {
    section.by_default("header", HEADER);
    let Some(given) = section.text("header") else { return HEADER.to_owned() };
    let letters = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-';
    let own = given.text.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("X-"));
    if !own || !(3..=NAME_OCTETS).contains(&given.text.len()) || !given.text.bytes().all(letters) {
        let text = format!("\"header\" cannot be \"{}\"", given.text);
        let help = "a name such as X-Spam-Score, since fields of this name are removed from mail \
                    that comes in";
        section.reader.error(given.mark, text, Some(help));
    }
    given.text.to_owned()
}

fn text(section: &Section<'_>) -> String {
    section.by_default("text", TEXT);
    let Some(given) = section.text("text") else { return TEXT.to_owned() };
    let sayable = Reply::new(550, None, given.text).is_ok();
    if given.text.trim().is_empty() || given.text.len() > TEXT_OCTETS || !sayable {
        let text = "\"text\" is nothing that can be said in a reply";
        let help = format!("one to {TEXT_OCTETS} printable ASCII characters");
        section.reader.error(given.mark, text, Some(&help));
    }
    given.text.to_owned()
}

/// What stands for them where a plugin's name would: who decided. No plugin can be called so.
pub const SCORES: &str = "scores";

// The reasons stand in `config/portcullis.yaml`.
const HEADER: &str = "X-Portcullis-Score";
const TEXT: &str = "message looks like spam";

/// A mail that nobody has scored has 0: what is less would meet all mail.
const LEAST: f64 = 0.001;

/// More than plugins can give together.
const MOST: f64 = 1_000_000.0;

/// Of the header field's name, so that a line has room for more.
const NAME_OCTETS: usize = 64;

/// Of the reply's text.
const TEXT_OCTETS: usize = 400;
