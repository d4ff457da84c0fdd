//! The gateway, as it is built, with a configuration made for the test.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::{Certificate, Client, Log, Metrics, Process, Sink, metrics, repository};

/// A gateway that is not started yet.
#[derive(Debug)]
pub struct Gateway {
    listeners: Vec<(String, Map<String, Value>)>,
    upstreams: Map<String, Value>,
    plugins: Vec<Value>,
    rest: Map<String, Value>,
    certificate: Option<Certificate>,
    environment: Vec<(String, PathBuf)>,
    wrapper: Vec<String>,
    program: Option<PathBuf>,
}

impl Default for Gateway {
    fn default() -> Self {
        Self::new()
    }
}

impl Gateway {
    /// One that listens nowhere, and asks and knows nobody.
    #[must_use]
    pub fn new() -> Self {
        Self {
            listeners: Vec::new(),
            upstreams: Map::new(),
            plugins: Vec::new(),
            rest: Map::new(),
            certificate: None,
            environment: Vec::new(),
            wrapper: Vec::new(),
            program: None,
        }
    }

    /// One with an SMTP listener `mx` in front of a sink.
    #[must_use]
    pub fn before(sink: &Sink) -> Self {
        Self::new().listener("mx", json!({})).upstream("store", "smtp", &sink.address().to_string())
    }

    /// Adds a listener: what is not said is the default, on a free port of loopback if no address is
    /// said.
    ///
    /// # Panics
    /// If the settings are not an object.
    #[must_use]
    pub fn listener(mut self, name: &str, settings: Value) -> Self {
        let Value::Object(settings) = settings else { panic!("a listener is an object") };
        self.listeners.push((name.to_owned(), settings));
        self
    }

    /// Adds a listener with a certificate; the mode is `starttls` or `implicit`.
    #[must_use]
    pub fn tls_listener(self, name: &str, mode: &str) -> Self {
        self.tls_listener_with(name, mode, json!({}))
    }

    /// The same, with more settings of the listener.
    ///
    /// # Panics
    /// If the settings are not an object.
    #[must_use]
    pub fn tls_listener_with(mut self, name: &str, mode: &str, mut settings: Value) -> Self {
        let certificate = self.certificate.get_or_insert_with(Certificate::new);
        settings["tls"] = json!({
            "mode": mode,
            "certificate": certificate.certificate(),
            "key": certificate.key(),
        });
        self.listener(name, settings)
    }

    /// Adds an upstream; the first is the default one.
    #[must_use]
    pub fn upstream(self, name: &str, protocol: &str, address: &str) -> Self {
        self.upstream_with(name, json!({ "protocol": protocol, "address": address }))
    }

    /// Adds an upstream with these settings; the first is the default one.
    #[must_use]
    pub fn upstream_with(mut self, name: &str, settings: Value) -> Self {
        self.upstreams.insert(name.to_owned(), settings);
        self.rest.entry("default_upstream").or_insert_with(|| name.into());
        self
    }

    /// Adds a plugin; see [`plugin`] for its file.
    #[must_use]
    pub fn plugin(mut self, settings: Value) -> Self {
        self.plugins.push(settings);
        self
    }

    /// Sets anything else at the top of the configuration.
    #[must_use]
    pub fn set(mut self, key: &str, value: Value) -> Self {
        self.rest.insert(key.to_owned(), value);
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn environment(mut self, name: &str, value: PathBuf) -> Self {
        self.environment.push((name.to_owned(), value));
        self
    }

    /// Has another program start it, and stand aside: its process id is the gateway's.
    #[must_use]
    pub fn under(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(ToString::to_string).collect();
        self
    }

    /// Starts this program instead of the one that was built.
    #[must_use]
    pub fn run_by(mut self, program: PathBuf) -> Self {
        self.program = Some(program);
        self
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// If it is not, with what it said.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> Running {
        let (environment, wrapper) = (self.environment.clone(), self.wrapper.clone());
        let program = self.program.clone().unwrap_or_else(program);
        let Written { admin, addresses, certificate, folder, file } = self.write();
        let start = Start { program, file, environment, wrapper };
        let log = Log::default();
        let process = start.run(&log);
        Running { admin, log, process, start, addresses, certificate, folder }.ready()
    }

    /// `portcullis check` of its configuration.
    #[must_use]
    #[track_caller]
    pub fn check(self) -> crate::process::Finished {
        check(&self.write().file)
    }

    fn write(self) -> Written {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let admin = self.rest.get("admin").and_then(address_in).unwrap_or_else(crate::free_address);
        let mut addresses = BTreeMap::new();
        let mut listeners = Vec::new();
        for (name, mut settings) in self.listeners {
            settings.insert("name".to_owned(), name.clone().into());
            if !settings.contains_key("address") {
                let address = crate::free_address();
                settings.insert("address".to_owned(), address.to_string().into());
                addresses.insert(name, address);
            }
            listeners.push(Value::Object(settings));
        }
        let mut config = Map::from_iter([
            ("hostname".to_owned(), "gateway.example".into()),
            ("listeners".to_owned(), listeners.into()),
            ("upstreams".to_owned(), self.upstreams.into()),
            ("plugins".to_owned(), self.plugins.into()),
            ("admin".to_owned(), json!({ "address": admin.to_string() })),
            ("log".to_owned(), json!({ "format": "json", "level": "info" })),
            ("cache_directory".to_owned(), json!(cache())),
        ]);
        config.extend(self.rest);
        // JSON is YAML.
        let file = folder.path().join("portcullis.yaml");
        let text = serde_json::to_string_pretty(&config).expect("a value can be written");
        fs::write(&file, text).expect("a new folder takes a file");
        Written { admin, addresses, certificate: self.certificate, folder, file }
    }
}

/// The first IP address of an `admin` section.
fn address_in(admin: &Value) -> Option<SocketAddr> {
    let address = &admin["address"];
    let all = address.as_array().map_or_else(|| std::slice::from_ref(address), Vec::as_slice);
    all.iter().find_map(|one| one.as_str()?.parse().ok())
}

/// A configuration in a folder of its own.
struct Written {
    admin: SocketAddr,
    addresses: BTreeMap<String, SocketAddr>,
    certificate: Option<Certificate>,
    folder: TempDir,
    file: PathBuf,
}

/// How a gateway is started.
#[derive(Debug)]
struct Start {
    program: PathBuf,
    file: PathBuf,
    environment: Vec<(String, PathBuf)>,
    wrapper: Vec<String>,
}

impl Start {
    #[track_caller]
    fn run(&self, log: &Log) -> Process {
        let words = self.wrapper.iter().map(OsString::from);
        let mut words = words.chain([self.program.clone().into(), "run".into(), "--config".into()]);
        let mut command = Command::new(words.next().expect("there is a program"));
        command.args(words).arg(&self.file).env_remove("RUST_LOG");
        command.envs(self.environment.clone());
        let mut process = Process::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        for output in process.take_output() {
            log.follow(output);
        }
        process
    }
}

/// A gateway that runs. Dropped, it is asked to end.
#[derive(Debug)]
pub struct Running {
    /// Where metrics and health are.
    pub admin: SocketAddr,
    /// What it logs, as JSON.
    pub log: Log,
    /// The process.
    pub process: Process,
    start: Start,
    addresses: BTreeMap<String, SocketAddr>,
    certificate: Option<Certificate>,
    folder: TempDir,
}

impl Running {
    #[track_caller]
    fn ready(mut self) -> Self {
        self.wait_until_ready();
        self
    }

    /// Starts it again with the configuration as it is now, after it has ended. It may not be ready.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.process = self.start.run(&self.log);
    }

    /// Has another process take its place, and gives back the process that was here before, which ends
    /// when its last transactions have.
    ///
    /// # Panics
    /// If none does.
    #[track_caller]
    pub fn upgrade(&mut self) -> Process {
        let told = self.try_upgrade().expect_success();
        let mut words = told.stdout.split(' ');
        let id = words.nth(1).and_then(|id| id.parse().ok()).expect("the process is told");
        std::mem::replace(&mut self.process, Process::of(id, "the upgraded gateway"))
    }

    /// `portcullis upgrade`.
    #[track_caller]
    pub fn try_upgrade(&self) -> crate::process::Finished {
        let mut command = Command::new(program());
        crate::process::run(command.arg("upgrade").arg("--config").arg(self.configuration()))
    }

    /// Waits until it is ready.
    ///
    /// # Panics
    /// If it is not, with what it said.
    #[track_caller]
    pub fn wait_until_ready(&mut self) {
        let admin = self.admin;
        crate::wait_up_to(COMPILING, "a gateway that is ready", || {
            if let Some(status) = self.process.ended() {
                panic!("the gateway ended with {status}:\n{}", self.log.lines().join("\n"));
            }
            let plain = metrics::get(admin, "/readyz").filter(|(status, _)| *status == 200);
            plain.map(|_| ()).or_else(|| self.is_healthy().then_some(()))
        });
    }

    /// Whether it says itself that it is ready, wherever its admin interface is.
    #[must_use]
    #[track_caller]
    pub fn is_healthy(&self) -> bool {
        let mut command = Command::new(program());
        command.arg("healthcheck").arg("--config").arg(self.configuration());
        crate::process::run(&mut command).status.success()
    }

    /// Where a listener listens.
    ///
    /// # Panics
    /// If there is none of that name.
    #[must_use]
    #[track_caller]
    pub fn address(&self, listener: &str) -> SocketAddr {
        *self.addresses.get(listener).expect("a listener of this name")
    }

    /// Connects to the listener `mx` and says EHLO.
    #[must_use]
    #[track_caller]
    pub fn client(&self) -> Client {
        Client::ehlo(self.address("mx"))
    }

    /// Plays a dialogue with the listener `mx`, after its banner.
    ///
    /// # Panics
    /// If the gateway says something else.
    #[track_caller]
    pub fn talk(&self, dialogue: &str) {
        let mut client = Client::connect(self.address("mx"));
        client.expect(220);
        client.talk(dialogue);
    }

    /// Scrapes its metrics.
    #[must_use]
    #[track_caller]
    pub fn metrics(&self) -> Metrics {
        Metrics::scrape(self.admin)
    }

    /// Waits until a sum of samples has this value.
    ///
    /// # Panics
    /// If it never has, with all metrics.
    #[track_caller]
    pub fn wait_for_metric(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        let what = format!("{name}{labels:?} = {value}, now {}", self.metrics().sum(name, labels));
        // Counters are whole numbers here, which floating point holds exactly.
        crate::wait_for(&what, || {
            ((self.metrics().sum(name, labels) - value).abs() < 0.5).then_some(())
        });
    }

    /// Its configuration.
    #[must_use]
    pub fn configuration(&self) -> PathBuf {
        self.folder.path().join("portcullis.yaml")
    }

    /// The certificate of its TLS listeners.
    ///
    /// # Panics
    /// If it has none.
    #[must_use]
    #[track_caller]
    pub fn certificate(&self) -> &Certificate {
        self.certificate.as_ref().expect("a gateway with TLS")
    }

    /// Asks it to end, and waits.
    ///
    /// # Panics
    /// If it does not.
    #[track_caller]
    pub fn terminate(&mut self) -> ExitStatus {
        self.process.signal("TERM");
        self.process.wait()
    }
}

/// The gateway's program, as cargo built it together with the tests.
///
/// # Panics
/// If it is not there.
#[must_use]
#[track_caller]
pub fn program() -> PathBuf {
    if let Some(program) = std::env::var_os("PORTCULLIS") {
        return program.into();
    }
    let program = target().join("portcullis");
    assert!(program.is_file(), "build {} first: make test does", program.display());
    program
}

/// A plugin that was built from source: bundled, or one of those that misbehave for tests.
///
/// # Panics
/// If it is not there.
#[must_use]
#[track_caller]
pub fn plugin(name: &str) -> PathBuf {
    let folder = std::env::var_os("PORTCULLIS_PLUGINS")
        .map_or_else(|| repository().join("target/plugins"), PathBuf::from);
    let file = folder.join(format!("{name}.wasm"));
    assert!(file.is_file(), "build {} first: make plugins does", file.display());
    file
}

/// `portcullis check`.
#[must_use]
#[track_caller]
pub fn check(configuration: &Path) -> crate::process::Finished {
    crate::process::run(Command::new(program()).arg("check").arg("--config").arg(configuration))
}

/// How long a gateway may take to start: it may have to compile plugins of 18 MB on a busy machine.
const COMPILING: Duration = Duration::from_secs(300);

/// The folder of this profile: `target/debug`, say.
fn target() -> PathBuf {
    let mut path = std::env::current_exe().expect("a test is a program");
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path
}

/// Compiled plugins, shared by all tests: compiling them is what takes time.
fn cache() -> PathBuf {
    target().join("plugin-cache")
}
