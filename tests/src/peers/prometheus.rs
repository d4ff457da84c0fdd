//! Prometheus, as a scraper.

use std::fs;
use std::net::SocketAddr;
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
        let [prometheus] = need(["prometheus"])?;
        let folder = tempfile::tempdir().expect("a folder can be made");
        let address = crate::free_address();
        let config = format!(
            "global: {{scrape_interval: 1s}}\n\
             scrape_configs: [{{job_name: portcullis, static_configs: [{{targets: ['{target}']}}]}}]\n"
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
        let expression: String = expression.bytes().map(|octet| format!("%{octet:02X}")).collect();
        let path = format!("/api/v1/query?query={expression}");
        let (_, body) = metrics::get(self.address, &path)?;
        let answer: Value = serde_json::from_str(&body).ok()?;
        answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    }

    /// What the last scrape failed with; empty if it did not.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        let (_, body) = metrics::get(self.address, "/api/v1/targets")?;
        let answer: Value = serde_json::from_str(&body).ok()?;
        Some(answer["data"]["activeTargets"][0]["lastError"].as_str()?.to_owned())
    }
}
