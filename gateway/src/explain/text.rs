//! An explanation for people who want to go back to bed.

use std::fmt::{self, Write as _};

use super::call::Call;
use super::conversation::Step;
use super::{Explanation, Score, difference};
use crate::config::SCORES;
use crate::telemetry::{Colour, Paint};

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told(Paint::none()))
    }
}

impl Explanation {
    /// To be read by people: first how it ends and by whom, then all that led to it.
    #[must_use]
    pub fn told(&self, paint: Paint) -> String {
        let mut page = Page { text: String::new(), paint };
        page.headline(self);
        page.asked(self);
        for step in &self.steps {
            page.step(step);
        }
        if let Some(score) = &self.score {
            page.score(score);
        }
        page.ways(self);
        page.deliveries(self);
        page.text
    }
}

struct Page {
    text: String,
    paint: Paint,
}

impl Page {
    /// Writing to a string cannot fail.
    fn line(&mut self, line: fmt::Arguments<'_>) {
        let _ = writeln!(self.text, "{line}");
    }

    fn headline(&mut self, it: &Explanation) {
        let told = match (it.ending.outcome, &it.ending.reply) {
            ("undecided", _) if it.recipients.iter().any(|way| way.refused) => {
                "no message was given; some recipients are refused before one would come".to_owned()
            }
            ("undecided", _) => {
                "no message was given; nothing is refused before one would come".to_owned()
            }
            (outcome, Some(reply)) => format!("{outcome}: {reply}"),
            (outcome, None) => outcome.to_owned(),
        };
        let colour = match () {
            () if !it.ending.is_yes() => Colour::Red,
            () if it.is_yes() => Colour::Green,
            () => Colour::Yellow,
        };
        let told = self.paint.in_colour(colour, &told);
        self.line(format_args!("{told}"));
        if let (Some(plugin), Some(hook)) = (&it.ending.decided_by, it.ending.hook) {
            let name = self.paint.in_colour(Colour::Bold, plugin);
            match plugin == SCORES {
                true => self.line(format_args!("  the score decided, at {hook}")),
                false => self.line(format_args!("  the plugin \"{name}\" decided, at {hook}")),
            }
        }
    }

    fn asked(&mut self, it: &Explanation) {
        let client = it.client.map_or_else(|| "anywhere".to_owned(), |ip| ip.to_string());
        let user = it.user.as_ref().map_or_else(
            || "nobody logged in".to_owned(),
            |user| format!("\"{}\" logged in", user.escape_debug()),
        );
        let tls = if it.tls { ", under TLS" } else { "" };
        self.line(format_args!(
            "\nat \"{}\" ({}), from <{}>, client {client} as \"{}\"{tls}, {user}",
            it.listener,
            it.protocol,
            it.sender,
            it.helo.escape_debug()
        ));
    }

    fn step(&mut self, step: &Step) {
        let command = step.command.as_deref().unwrap_or("(connects)");
        let command = difference::printable(command.as_bytes());
        let command = self.paint.in_colour(Colour::Bold, &command);
        self.line(format_args!("\n{command}"));
        for call in &step.calls {
            self.call(call);
        }
        for reply in &step.replies {
            // What a listener offers is no news.
            let offers = step.stage == "helo" && reply.is_positive();
            let told = match reply.to_string().split_once(" / ") {
                Some((first, _)) if offers => format!("{first} ..."),
                _ => reply.to_string(),
            };
            let colour = if reply.is_positive() { Colour::Green } else { Colour::Red };
            let told = self.paint.in_colour(colour, &told);
            self.line(format_args!("  {told}"));
        }
        if step.replies.is_empty() {
            let told = self.paint.in_colour(Colour::Red, "(the connection is closed)");
            self.line(format_args!("  {told}"));
        }
    }

    fn call(&mut self, call: &Call) {
        // Like the replies below it, or with the word in front: `fails trap unreachable -> tempfail`.
        let fields = call.verdict.fields.iter().map(|(_, value)| format!(" {value}"));
        let then = call.on_failure.map(|then| format!(" -> {then}")).unwrap_or_default();
        let verdict = format!("{}{}{then}", call.verdict.kind, fields.collect::<String>());
        let verdict = match () {
            () if call.verdict.kind == "fails" => self.paint.in_colour(Colour::Yellow, &verdict),
            () if call.decided() => self.paint.in_colour(Colour::Red, &verdict),
            () => verdict,
        };
        let took = call.seconds * 1e3;
        match call.plugin == SCORES {
            true => self.line(format_args!("  scores: {verdict}")),
            false => self
                .line(format_args!("  {}, {}: {verdict} ({took:.1} ms)", call.plugin, call.hook)),
        }
        for line in &call.log {
            let fields = line.fields.as_ref().map(|fields| format!(" {fields}"));
            let fields = fields.unwrap_or_default();
            self.line(format_args!("    {}: {}{fields}", line.level, line.text));
        }
        for asked in &call.asked {
            self.line(format_args!("    {asked}"));
        }
        for (note, value) in &call.notes {
            self.line(format_args!("    notes {note}: {value}"));
        }
        // The diffs tell of header and body.
        let told = ["header", "body"];
        let rest = call.edits.iter().filter(|it| !told.iter().any(|part| it.kind.ends_with(part)));
        for edit in rest {
            self.line(format_args!("    {edit}"));
        }
        for diff in call.header_diff.iter().chain(&call.body_diff) {
            self.diff(diff);
        }
    }

    fn diff(&mut self, diff: &str) {
        for line in diff.lines() {
            let painted = match line.as_bytes().first() {
                Some(b'+') => self.paint.in_colour(Colour::Green, line),
                Some(b'-') => self.paint.in_colour(Colour::Red, line),
                Some(b'@') => self.paint.in_colour(Colour::Blue, line),
                _ => line.to_owned(),
            };
            self.line(format_args!("    {painted}"));
        }
    }

    fn score(&mut self, score: &Score) {
        let thresholds = score.thresholds.iter().map(|it| {
            let reached = if it.reached { ", reached" } else { "" };
            format!("{} at {}{reached}", it.action, it.points)
        });
        let thresholds: Vec<_> = thresholds.collect();
        let follows = match thresholds.is_empty() {
            true => "nothing follows from scores here".to_owned(),
            false => thresholds.join("; "),
        };
        self.line(format_args!("\nscore {} ({follows})", score.sum));
        for symbol in &score.symbols {
            self.line(format_args!("  {} {} ({})", symbol.points, symbol.symbol, symbol.plugin));
        }
    }

    fn ways(&mut self, it: &Explanation) {
        for way in &it.recipients {
            self.line(format_args!("\n{}", way.to_string().trim_end()));
        }
        if let Some(together) = &it.together {
            self.line(format_args!("\nin one transaction ({}): {}", together.rule, together.text));
            for recipient in &together.deferred {
                self.line(format_args!("  452 4.5.3 to <{recipient}>"));
            }
        }
        if it.delivery == "spool" && it.together.is_none() {
            let when = "taken as soon as it is on the disk, and delivered afterwards";
            self.line(format_args!("\nwhen: {when}"));
        }
        if !it.plugins.is_empty() {
            self.line(format_args!("\nplugins that may decide otherwise when they see a message:"));
        }
        for plugin in &it.plugins {
            self.line(format_args!("  \"{}\" ({})", plugin.name, plugin.grants.join(", ")));
        }
        if let Some(quarantine) = &it.quarantine {
            self.line(format_args!("\nwhat a plugin wants in quarantine goes to {quarantine}"));
        }
    }

    fn deliveries(&mut self, it: &Explanation) {
        for delivered in &it.delivered {
            let whom: Vec<_> = delivered.recipients.iter().map(|to| format!("<{to}>")).collect();
            let upstream = delivered.upstream.as_ref();
            let upstream = upstream
                .map_or_else(|| "the spool".to_owned(), |name| format!("the upstream \"{name}\""));
            self.line(format_args!(
                "\n{upstream} gets {} octets from <{}> for {}",
                delivered.octets,
                delivered.sender,
                whom.join(", ")
            ));
        }
    }
}
