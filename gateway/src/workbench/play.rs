//! Plays what is given: asks the chain at each hook in the order of a conversation, as far as the
//! answers let it go.

use std::path::Path;
use std::sync::Arc;

use portcullis_smtp::Reply;
use tracing::Dispatch;
use tracing::instrument::WithSubscriber;

use super::doubles::Doubles;
use super::fact::Fact;
use super::forms;
use super::given::{Given, Mail};
use super::watch::{Called, Seen, Watched};
use super::world::{World, WorldError, keys};
use crate::config::{self, Limits};
use crate::message::{Budget, Content, Envelope, HeaderSection, Message, Recipient, Scores};
use crate::metrics::{Metrics, Names};
use crate::plugins::{Engine, EngineError, Inspection, LoadError};
use crate::policy::{AuthRuling, Case, Chain, Copies, Decision, Hook, Link, Memory, Plugin as _};
use crate::store::Stores;
use crate::telemetry::{Kept, KeptLine};

/// A loaded plugin, ready to be asked.
#[derive(Debug)]
pub struct Workbench {
    chain: Chain,
    answers: Vec<Hook>,
    seen: Seen,
    plugin: String,
    stores: Arc<Stores>,
}

/// Why there is nothing on the bench.
#[derive(Debug, thiserror::Error)]
pub enum WorkbenchError {
    /// There is no room for what is compiled.
    #[error("no folder for temporary files: {0}")]
    Cache(#[source] std::io::Error),
    /// The machine's fault.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The plugin's fault, or that of its settings.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// What the plugin is to find does not fit.
    #[error(transparent)]
    World(#[from] WorldError),
}

impl Played {
    /// What the plugin said at a hook, in the words of a scenario.
    #[must_use]
    pub fn said(&self, call: &Called) -> Fact {
        forms::verdict(call.hook == Hook::Auth, &call.result)
    }

    /// What it changed there.
    pub fn edits<'a>(&self, call: &'a Called) -> impl Iterator<Item = Fact> + 'a {
        let answer = call.result.as_ref().ok();
        answer.into_iter().flat_map(|answer| &answer.edits).map(forms::edit)
    }
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Played {
    /// The hooks that the plugin answers with its settings.
    pub answers: Vec<Hook>,
    /// Each hook call, in order.
    pub calls: Vec<Called>,
    /// How it ended.
    pub ended: Ended,
    /// What there is of session, envelope and message, with all edits.
    pub case: Case,
    /// What the plugin logged.
    pub log: Vec<KeptLine>,
    /// What it asked for beyond the mail (DNS, stores), and what came of it.
    pub asked: Vec<KeptLine>,
}

/// How a conversation ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Ended {
    /// The client hears yes, and nothing is delivered.
    Discarded,
    /// The client hears this, and the connection is closed.
    Disconnected(Reply),
    /// Nothing was refused, or only some recipients.
    Passed,
    /// The client hears yes, and the message goes to quarantine.
    Quarantined,
    /// The client hears this.
    Refused(Reply),
}

impl Workbench {
    /// Loads a plugin with the gateway's own engine. `cache` is where compiled plugins are kept;
    /// `snapshots` makes one of a large plugin, too, as the gateway does.
    ///
    /// # Errors
    ///
    /// If there is no engine, or the plugin cannot be loaded.
    pub async fn new(
        plugin: &config::Plugin,
        upstreams: Doubles,
        world: &World,
        cache: &Path,
        snapshots: bool,
    ) -> Result<Self, WorkbenchError> {
        let (engine, metrics, stores) = engine(plugin, world, cache).await?;
        let seen = Seen::default();
        let names = Arc::new(upstreams.names());
        let loaded = match snapshots || !is_large(plugin) {
            true => engine.load(plugin, names).await?,
            false => engine.load_unfrozen(plugin, names).await?,
        };
        let answers = Hook::ALL.into_iter().filter(|hook| loaded.answers(*hook)).collect();
        let watched = Arc::new(Watched::new(loaded, seen.clone()));
        let link = Link { plugin: watched, metrics: metrics.plugin(&plugin.name) };
        let chain = Chain::new(vec![link], true).reaching(Arc::new(upstreams));
        let plugin = plugin.name.clone();
        Ok(Self { chain, answers, seen, plugin, stores })
    }

    /// Plays a conversation of which only the calls are of interest; nothing is logged.
    pub async fn time(&self, given: &Given) -> Vec<Called> {
        let mut conversation = Conversation::new(&self.chain, given);
        conversation.play(given).with_subscriber(Dispatch::none()).await;
        self.seen.take()
    }

    /// What the plugin has in a store under a key.
    pub async fn stored(&self, store: &str, key: &str) -> Option<Vec<u8>> {
        let keys = keys(&self.stores, store, &self.plugin)?;
        let entries = keys.get(&[key.to_owned()]).await.ok()?;
        entries.into_iter().next()?.map(|entry| entry.value)
    }

    /// Plays a conversation.
    pub async fn play(&self, given: &Given) -> Played {
        let kept = Kept::default();
        let mut conversation = Conversation::new(&self.chain, given);
        let ended = conversation.play(given).with_subscriber(kept.dispatch()).await;
        let case = conversation.case;
        let (mut log, mut asked) = (Vec::new(), Vec::new());
        for line in kept.take() {
            match &*line.target {
                "portcullis::asked" => asked.push(line),
                "portcullis::plugin" => log.push(line),
                _ => {}
            }
        }
        let answers = self.answers.clone();
        Played { answers, calls: self.seen.take(), ended, case, log, asked }
    }
}

/// The gateway's engine in a world of its own.
async fn engine(
    plugin: &config::Plugin,
    world: &World,
    cache: &Path,
) -> Result<(Engine, Arc<Metrics>, Arc<Stores>), WorkbenchError> {
    let limits = Limits { plugin_copies: COPIES, ..Limits::default() };
    let budget = Budget::new(CONTENT, CONTENT, CONTENT, std::env::temp_dir());
    let metrics = Arc::new(Metrics::new(&Names::default()));
    let services = world.services(plugin, &metrics).await?;
    let stores = services.stores.clone();
    let engine = Engine::new(&limits, cache, budget, metrics.clone(), services)?;
    Ok((engine, metrics, stores))
}

/// Looks at a plugin's file. Without a `cache`, all is done anew.
///
/// # Errors
///
/// If there is no engine, or the file cannot be read.
pub async fn inspect(
    plugin: &config::Plugin,
    freeze: bool,
    cache: Option<&Path>,
) -> Result<Inspection, WorkbenchError> {
    let fresh = tempfile::tempdir().map_err(WorkbenchError::Cache)?;
    let cache = cache.unwrap_or_else(|| fresh.path());
    let (engine, ..) = engine(plugin, &World::default(), cache).await?;
    let inspection = engine.inspect(plugin, freeze).await;
    inspection.map_err(|failure| LoadError { plugin: plugin.name.clone(), failure }.into())
}

/// Whether it is so large that a snapshot for each settings takes longer than people wait.
fn is_large(plugin: &config::Plugin) -> bool {
    std::fs::metadata(&plugin.file).is_ok_and(|facts| facts.len() > LARGE)
}

struct Conversation<'a> {
    chain: &'a Chain,
    case: Case,
    memory: Memory,
    copies: Copies,
    /// What was decided and does not end the conversation.
    lasting: Ended,
}

/// Goes on, or ends here.
type Step = Result<(), Ended>;

impl<'a> Conversation<'a> {
    fn new(chain: &'a Chain, given: &Given) -> Self {
        let mut session = given.session.clone();
        (session.helo, session.user, session.mechanism) = (None, None, None);
        let case = Case::new(Arc::new(session), CONTENT);
        let (memory, copies) = (Memory::default(), Copies::default());
        Self { chain, case, memory, copies, lasting: Ended::Passed }
    }

    async fn play(&mut self, given: &Given) -> Ended {
        match self.steps(given).await {
            Ok(()) => self.lasting.clone(),
            Err(ended) => ended,
        }
    }

    async fn steps(&mut self, given: &Given) -> Step {
        self.ask_alone(Hook::Connect).await?;
        Arc::make_mut(&mut self.case.session).helo = given.session.helo.clone();
        self.ask_alone(Hook::Helo).await?;
        self.auth(given).await?;
        let Some(mail) = &given.mail else { return Ok(()) };
        self.mail(mail).await?;
        match &given.message {
            Some(message) => self.content(message).await,
            None => Ok(()),
        }
    }

    /// Before MAIL, a copy lives for one call.
    async fn ask_alone(&mut self, hook: Hook) -> Step {
        let mut copies = Copies::default();
        let ruling = self.chain.ask(hook, &mut self.case, &mut self.memory, &mut copies).await;
        ended(ruling.decision)
    }

    async fn ask(&mut self, hook: Hook) -> Decision {
        let Self { chain, case, memory, copies, .. } = self;
        chain.ask(hook, case, memory, copies).await.decision
    }

    async fn auth(&mut self, given: &Given) -> Step {
        let facts = (given.session.user.clone(), given.session.mechanism.clone());
        let facts = match &given.credentials {
            None => facts,
            Some(credentials) => {
                let Self { chain, case, memory, .. } = self;
                match chain.authenticate(case, memory, credentials).await {
                    AuthRuling::Authenticated(user) => {
                        (Some(user), Some(credentials.mechanism.name().to_owned()))
                    }
                    AuthRuling::Refused(reply) => return Err(Ended::Refused(reply)),
                    AuthRuling::Unavailable(reply) if reply.code() == 421 => {
                        return Err(Ended::Disconnected(reply));
                    }
                    AuthRuling::Unavailable(reply) => return Err(Ended::Refused(reply)),
                    AuthRuling::Unknown => facts,
                }
            }
        };
        let session = Arc::make_mut(&mut self.case.session);
        (session.user, session.mechanism) = facts;
        Ok(())
    }

    async fn mail(&mut self, mail: &Mail) -> Step {
        self.case.envelope = Some(Arc::new(Envelope {
            id: format!("{}.1", self.case.session.id),
            reverse_path: mail.reverse_path.clone(),
            parameters: mail.parameters.clone(),
            recipients: Vec::new(),
            scores: Scores::default(),
        }));
        let decision = self.ask(Hook::Mail).await;
        self.keep(decision)?;
        let (mut accepted, mut refusal) = (0, None);
        for (address, parameters) in &mail.recipients {
            match self.rcpt(address.clone(), parameters.clone()).await {
                Ok(()) => accepted += 1,
                Err(Ended::Refused(reply)) => refusal = Some(reply),
                Err(ended) => return Err(ended),
            }
        }
        match refusal {
            Some(reply) if accepted == 0 => Err(Ended::Refused(reply)),
            _ => Ok(()),
        }
    }

    async fn rcpt(
        &mut self,
        address: portcullis_smtp::Mailbox,
        parameters: Vec<portcullis_smtp::Parameter>,
    ) -> Step {
        let index = self.case.next_index;
        self.case.next_index += 1;
        self.case.recipient = Some(Recipient { index, address, parameters, route: None });
        self.case.recipient_dropped = false;
        let decision = self.ask(Hook::Rcpt).await;
        let recipient = self.case.recipient.take();
        // Of one recipient: the client hears yes, and it gets nothing.
        let discarded = matches!(decision, Decision::Discard(_)) || self.case.recipient_dropped;
        if !matches!(decision, Decision::Discard(_)) {
            ended(decision)?;
        }
        if let (Some(envelope), Some(recipient), false) =
            (&mut self.case.envelope, recipient, discarded)
        {
            Arc::make_mut(envelope).recipients.push(recipient);
        }
        Ok(())
    }

    async fn content(&mut self, octets: &[u8]) -> Step {
        let decision = self.ask(Hook::Data).await;
        self.keep(decision)?;
        let end = HeaderSection::find_end(octets, 0).unwrap_or(octets.len());
        let (header, body) = octets.split_at(end);
        let header = Arc::new(HeaderSection::parse(header.to_vec()));
        self.case.message = Some(Message::new(header, Content::from_bytes(Vec::new())));
        let decision = self.ask(Hook::Headers).await;
        self.keep(decision)?;
        if let Some(message) = &mut self.case.message
            && !body.is_empty()
        {
            message.set_body(Content::from_bytes(body.to_vec()));
        }
        let decision = self.ask(Hook::Message).await;
        self.keep(decision)
    }

    /// Keeps what lasts, and ends with what ends.
    fn keep(&mut self, decision: Decision) -> Step {
        if matches!(decision, Decision::Quarantine(_)) {
            self.lasting = Ended::Quarantined;
        }
        ended(decision)
    }
}

fn ended(decision: Decision) -> Step {
    match decision {
        Decision::Discard(_) => Err(Ended::Discarded),
        Decision::Disconnect(reply) => Err(Ended::Disconnected(reply)),
        Decision::Pass | Decision::Quarantine(_) => Ok(()),
        Decision::Refuse(reply) if reply.code() == 421 => Err(Ended::Disconnected(reply)),
        Decision::Refuse(reply) => Err(Ended::Refused(reply)),
    }
}

/// Content as text with LF at the ends of lines.
pub(super) fn text_of(content: &Content) -> String {
    let mut octets = vec![0; usize::try_from(content.octets()).unwrap_or(usize::MAX)];
    let mut read = 0;
    while read < octets.len() {
        match content.read_at(read as u64, &mut octets[read..]) {
            Ok(0) | Err(_) => break,
            Ok(count) => read += count,
        }
    }
    octets.truncate(read);
    String::from_utf8_lossy(&octets).replace("\r\n", "\n")
}

/// Octets of a file that is large: those that carry an interpreter, or a runtime.
const LARGE: u64 = 3 << 20;

/// Copies at a time: one, and what its end may overlap with.
const COPIES: u32 = 4;

/// Octets of a message, and of all content: the gateway's usual limit of a message.
const CONTENT: u64 = 50 << 20;
