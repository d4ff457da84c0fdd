//! The screen that is drawn again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line as Row, Span};
use ratatui::{DefaultTerminal, Frame};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::Look;
use super::screen::{Line, Tone};
use crate::admin::Client;

/// What is on the screen.
#[derive(Debug)]
struct View {
    before: Option<Look>,
    now: Option<Look>,
    error: Option<String>,
    filter: String,
    /// Whether what is typed goes to the filter.
    typing: bool,
    paused: bool,
    /// Lines that are above the screen.
    scrolled: usize,
    colours: bool,
}

/// Draws until somebody has seen enough; the terminal is then as it was before.
pub(super) async fn show(gateway: &Client, every: Duration, filter: String) -> Result<(), String> {
    let mut ending = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let mut hanging_up = signal(SignalKind::hangup()).map_err(|error| error.to_string())?;
    // From here on a panic gives the terminal back, too.
    let mut terminal = ratatui::try_init().map_err(|error| error.to_string())?;
    let restored = Restored;
    let (events, _reading) = read_events();
    let mut view = View {
        before: None,
        now: None,
        error: None,
        filter,
        typing: false,
        paused: false,
        scrolled: 0,
        colours: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    };
    let drawn = tokio::select! {
        drawn = draw_all(&mut terminal, gateway, every, &mut view, events) => drawn,
        _ = ending.recv() => Ok(()),
        _ = hanging_up.recv() => Ok(()),
    };
    drop(restored);
    drawn
}

async fn draw_all(
    terminal: &mut DefaultTerminal,
    gateway: &Client,
    every: Duration,
    view: &mut View,
    mut events: mpsc::Receiver<Event>,
) -> Result<(), String> {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick(), if !view.paused => view.look(gateway).await,
            event = events.recv() => match event {
                Some(event) if view.obey(&event) => {}
                Some(_) | None => return Ok(()),
            },
        }
        terminal.draw(|frame| view.draw(frame)).map_err(|error| error.to_string())?;
    }
}

/// Gives the terminal back.
struct Restored;

impl Drop for Restored {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Ends the thread that reads keys.
struct Reading(Arc<AtomicBool>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Keys and changes of size, from a thread of their own: there is no other way to wait for them.
fn read_events() -> (mpsc::Receiver<Event>, Reading) {
    let (sender, receiver) = mpsc::channel(EVENTS);
    let ended = Arc::new(AtomicBool::new(false));
    let reading = Reading(ended.clone());
    std::thread::spawn(move || {
        while !ended.load(Ordering::Relaxed) {
            match event::poll(GLANCE) {
                Ok(false) => {}
                Ok(true) => {
                    let Ok(event) = event::read() else { return };
                    if sender.blocking_send(event).is_err() {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    });
    (receiver, reading)
}

impl View {
    async fn look(&mut self, gateway: &Client) {
        match Look::at(gateway).await {
            Ok(look) => {
                self.before = self.now.replace(look);
                self.error = None;
            }
            Err(error) => self.error = Some(error),
        }
    }

    /// Does what a key says; false is the end.
    fn obey(&mut self, event: &Event) -> bool {
        let Event::Key(key) = event else { return true };
        if key.kind == KeyEventKind::Release {
            return true;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return false;
        }
        if self.typing {
            match key.code {
                KeyCode::Enter => self.typing = false,
                KeyCode::Esc => (self.typing, self.filter) = (false, String::new()),
                KeyCode::Backspace => drop(self.filter.pop()),
                KeyCode::Char(c) if self.filter.len() < FILTER_OCTETS => self.filter.push(c),
                _ => {}
            }
            return true;
        }
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return false,
            KeyCode::Char('p') | KeyCode::Char(' ') => self.paused = !self.paused,
            KeyCode::Char('/') | KeyCode::Char('f') => self.typing = true,
            KeyCode::Up | KeyCode::Char('k') => self.scrolled = self.scrolled.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.scrolled += 1,
            KeyCode::PageUp => self.scrolled = self.scrolled.saturating_sub(PAGE),
            KeyCode::PageDown => self.scrolled += PAGE,
            KeyCode::Home => self.scrolled = 0,
            _ => {}
        }
        true
    }

    fn draw(&mut self, frame: &mut Frame<'_>) {
        let area = frame.area();
        let lines = match (&self.now, &self.before) {
            (Some(now), Some(before)) => now.lines_since(before, &self.filter),
            (Some(now), None) => now.lines_since(now, &self.filter),
            (None, _) => Vec::new(),
        };
        let height = usize::from(area.height.saturating_sub(1));
        self.scrolled = self.scrolled.min(lines.len().saturating_sub(height));
        for (at, line) in lines.iter().skip(self.scrolled).take(height).enumerate() {
            let row = Rect { y: area.y + at as u16, height: 1, ..area };
            frame.render_widget(self.row(line), row);
        }
        if area.height > 0 {
            let row = Rect { y: area.bottom() - 1, height: 1, ..area };
            frame.render_widget(self.row(&self.foot()), row);
        }
    }

    fn foot(&self) -> Line {
        let paused = if self.paused { "paused  " } else { "" };
        let text = match (&self.error, self.typing) {
            (Some(error), _) => return Line(vec![(error.clone(), Tone::Bad)]),
            (None, true) => format!("filter: {}_", self.filter),
            (None, false) if self.filter.is_empty() => {
                format!("{paused}q quit  p pause  / filter  arrows scroll")
            }
            (None, false) => format!("{paused}q quit  p pause  / filter: {}", self.filter),
        };
        Line(vec![(text, Tone::Quiet)])
    }

    fn row<'a>(&self, line: &'a Line) -> Row<'a> {
        let span =
            |(text, tone): &'a (String, Tone)| Span::styled(text.as_str(), self.style(*tone));
        Row::from(line.0.iter().map(span).collect::<Vec<_>>())
    }

    /// Without colours there is bold, and what is bad is in words anyway.
    fn style(&self, tone: Tone) -> Style {
        let plain = Style::new();
        match tone {
            Tone::Heading => plain.add_modifier(Modifier::BOLD),
            Tone::Bad if self.colours => plain.fg(Color::Red).add_modifier(Modifier::BOLD),
            Tone::Bad => plain.add_modifier(Modifier::BOLD),
            Tone::Good if self.colours => plain.fg(Color::Green),
            Tone::Quiet => plain.add_modifier(Modifier::DIM),
            Tone::Good | Tone::Plain => plain,
        }
    }
}

/// Keys that wait while a frame is drawn.
const EVENTS: usize = 64;

/// How long the thread that reads keys may outlive its screen.
const GLANCE: Duration = Duration::from_millis(100);

/// Octets of a filter that somebody types.
const FILTER_OCTETS: usize = 200;

/// Lines.
const PAGE: usize = 10;
