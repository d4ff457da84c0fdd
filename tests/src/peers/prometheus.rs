//! Prometheus, as a scraper.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::{need, wait_for_listener};
use crate::{Process, metrics};

/// A running Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    address: SocketAddr,
    _process: Process,
    _folder: TempDir,
}

impl Prometheus {
    /// One that scrapes an address every second; none if it is not installed.
    #[must_use]
    #[track_caller]
    pub fn scraping(target: SocketAddr) -> Option<Self> {
        Self::scraping_with(target, "", &[])
    }

    /// The same, and it evaluates the rules of these files every second.
    #[must_use]
    #[track_caller]
    pub fn with_rules(target: SocketAddr, rules: &[PathBuf]) -> Option<Self> {
        Self::scraping_with(target, "", rules)
    }

    /// The same, with more settings of the scrape, as YAML in one line: `key: value, `.
    #[must_use]
    #[track_caller]
    pub fn scraping_with(target: SocketAddr, settings: &str, rules: &[PathBuf]) -> Option<Self> {
        let [prometheus] = need(["prometheus"])?;
        let folder = tempfile::tempdir().expect("a folder can be made");
        let address = crate::free_address();
        let rules = serde_json::to_string(rules).expect("paths can be written");
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: {rules}\n\
             scrape_configs: [{{job_name: portcullis, {settings}static_configs: [{{targets: ['{target}']}}]}}]\n"
        );
        let file = folder.path().join("prometheus.yml");
        fs::write(&file, config).expect("a new folder takes a file");
        let process = Process::start(
            Command::new(prometheus)
                .arg(format!("--config.file={}", file.display()))
                .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
                .arg(format!("--web.listen-address={address}"))
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        );
        wait_for_listener(address);
        Some(Self { address, _process: process, _folder: folder })
    }

    /// The value that an expression has now; none if there is none.
    #[must_use]
    pub fn query(&self, expression: &str) -> Option<f64> {
        let (_, answer) = self.ask(expression)?;
        answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    }

    /// How many series an expression has now; none while Prometheus starts.
    ///
    /// # Errors
    /// What Prometheus says is wrong with it.
    pub fn count(&self, expression: &str) -> Result<usize, String> {
        let Some((status, answer)) = self.ask(expression) else { return Ok(0) };
        match answer["data"]["result"].as_array() {
            Some(series) if status == 200 => Ok(series.len()),
            _ => Err(answer["error"].as_str().unwrap_or("no vector").to_owned()),
        }
    }

    /// The rules that it has, each with what was wrong with it when it was last evaluated.
    ///
    /// # Panics
    /// If Prometheus is gone.
    #[must_use]
    pub fn rules(&self) -> Vec<(String, String)> {
        let (_, body) = metrics::get(self.address, "/api/v1/rules").expect("Prometheus answers");
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        let groups = answer["data"]["groups"].as_array().cloned().unwrap_or_default();
        let rules = groups.iter().filter_map(|group| group["rules"].as_array()).flatten();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        rules.map(|rule| (text(&rule["name"]), text(&rule["lastError"]))).collect()
    }

    fn ask(&self, expression: &str) -> Option<(u16, Value)> {
        let expression: String = expression.bytes().map(|octet| format!("%{octet:02X}")).collect();
        let path = format!("/api/v1/query?query={expression}");
        let (status, body) = metrics::get(self.address, &path)?;
        Some((status, serde_json::from_str(&body).ok()?))
    }

    /// What the last scrape failed with; empty if it did not.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        let (_, body) = metrics::get(self.address, "/api/v1/targets")?;
        let answer: Value = serde_json::from_str(&body).ok()?;
        Some(answer["data"]["activeTargets"][0]["lastError"].as_str()?.to_owned())
    }
}
