//! The Debian package, and the unit that comes with it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};

use portcullis_tests::gateway::program;
use portcullis_tests::peers::{cargo_deb, need};
use portcullis_tests::{Client, Process, free_address, metrics, repository, wait_for};

#[test]
fn the_unit_is_exposed_to_little() {
    let Some([analyze]) = need(["systemd-analyze"]) else { return };
    let unit = repository().join("config/systemd/portcullis.service");
    let mut security = Command::new(analyze);
    // Tenths: 0 is best, 100 worst.
    security.args(["security", "--offline=true", "--threshold=20", "--no-pager"]).arg(unit);
    succeeded(&security.output().expect("it runs"));
}

#[test]
fn the_debian_package_has_what_an_operator_needs() {
    if cargo_deb().is_none() {
        return;
    }
    let mut build = Command::new(repository().join("config/debian/build.sh"));
    let built = succeeded(&build.arg("debug").output().expect("it runs"));
    let package = repository().join(built.lines().last().expect("it names the package"));
    let root = tempfile::tempdir().expect("a folder");
    succeeded(&Command::new("dpkg-deb").arg("-x").args([&package, root.path()]).output().unwrap());
    let at = |path: &str| root.path().join(path);
    for file in [
        "usr/bin/portcullis",
        "usr/lib/systemd/system/portcullis.service",
        "usr/lib/systemd/system/portcullis.socket",
        "usr/share/man/man1/portcullis.1.gz",
        "usr/share/man/man1/portcullis-spool-list.1.gz",
        "usr/share/bash-completion/completions/portcullis",
        "usr/share/zsh/vendor-completions/_portcullis",
        "usr/share/fish/vendor_completions.d/portcullis.fish",
        "usr/share/doc/portcullis/examples/inbound-mx-lmtp.yaml",
        "usr/share/doc/portcullis/copyright",
    ] {
        assert!(at(file).is_file(), "{file} is not in the package");
    }
    let example =
        fs::read_to_string(at("usr/share/doc/portcullis/examples/inbound-mx.yaml")).unwrap();
    let plugins = example.split("file: /").skip(1).filter_map(|rest| rest.split('\n').next());
    for plugin in plugins.filter(|file| file.ends_with(".wasm")) {
        assert!(at(plugin).is_file(), "{plugin} is in an example and not in the package");
    }
    let control = root.path().join("control");
    succeeded(&Command::new("dpkg-deb").arg("-e").args([&package, &control]).output().unwrap());
    let conffiles = fs::read_to_string(control.join("conffiles")).expect("it has conffiles");
    assert_eq!(conffiles.trim(), "/etc/portcullis/portcullis.yaml");
    for script in ["postinst", "prerm", "postrm"] {
        let checked = Command::new("sh").arg("-n").arg(control.join(script)).output();
        succeeded(&checked.expect("sh runs"));
    }
    // A restart of the socket would refuse connections.
    let postinst = fs::read_to_string(control.join("postinst")).expect("a script");
    assert!(!postinst.contains("restart portcullis.service portcullis.socket"), "{postinst}");
    takes_mail(root.path());
}

#[test]
fn the_manifests_of_kubernetes_are_whole() {
    let Some([kubectl]) = need(["kubectl"]) else { return };
    let mut kustomize = Command::new(kubectl);
    let rendered = kustomize.arg("kustomize").arg(repository().join("config/kubernetes")).output();
    let rendered = succeeded(&rendered.expect("it runs"));
    for kind in ["Deployment", "Service", "ConfigMap", "PodDisruptionBudget", "NetworkPolicy"] {
        assert!(rendered.contains(&format!("kind: {kind}\n")), "{kind} is missing: {rendered}");
    }
    for path in ["/startupz", "/readyz", "/livez"] {
        assert!(rendered.contains(&format!("path: {path}\n")), "nobody asks {path}");
    }
}

#[test]
fn configurations_of_images_and_pods_have_no_mistakes() {
    for file in ["config/docker/portcullis.yaml", "config/kubernetes/portcullis.yaml"] {
        let text = fs::read_to_string(repository().join(file)).expect("it is there");
        let plugins = repository().join("target/plugins").display().to_string();
        let folder = tempfile::tempdir().expect("a folder");
        let copy = folder.path().join("portcullis.yaml");
        let text = text.replace("/usr/lib/portcullis/plugins", &plugins);
        fs::write(&copy, text).expect("a folder takes a file");
        let mut check = Command::new(program());
        check.args(["check", "--config"]).arg(&copy).env("PORTCULLIS_UPSTREAM", "192.0.2.1:25");
        succeeded(&check.output().expect("it runs"));
    }
}

/// The configuration of the package, with the program of the package, where it lies now.
fn takes_mail(root: &Path) {
    let file = root.join("etc/portcullis/portcullis.yaml");
    let [listener, upstream, admin] = [free_address(), free_address(), free_address()];
    let text = fs::read_to_string(&file).expect("there is a configuration");
    let text = text
        .replace("file: /usr/lib", &format!("file: {}/usr/lib", root.display()))
        .replace("address: 127.0.0.1:2525", &format!("address: {listener}"))
        .replace("address: 127.0.0.1:2526", &format!("address: {upstream}"))
        .replace("address: 127.0.0.1:9925", &format!("address: {admin}"));
    fs::write(&file, text).expect("it is ours");
    let installed = root.join("usr/bin/portcullis");
    let mut check = Command::new(&installed);
    check.args(["check", "--config"]).arg(&file).env("CACHE_DIRECTORY", root);
    succeeded(&check.output().expect("it runs"));
    let sink = format!("smtp={upstream}");
    let mut run = Command::new(&installed);
    run.args(["run", "--sink", &sink, "--config"]).arg(&file).env("CACHE_DIRECTORY", root);
    let log = fs::File::create(root.join("log")).expect("a folder takes a file");
    let _gateway = Process::start(run.stderr(log));
    ready(admin);
    let mut client = Client::try_ehlo(listener).expect("it listens");
    let message = b"Subject: hello\r\n\r\nHi!\r\n";
    let reply = client.deliver("you@sender.example", &["info@example.com"], message);
    reply.expect("an answer").expect_code(250);
}

fn ready(admin: SocketAddr) {
    wait_for("it is ready", || {
        let (status, _) = metrics::get(admin, "/readyz")?;
        (status == 200).then_some(())
    });
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    let [stdout, stderr] =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    assert!(output.status.success(), "{stdout}\n{stderr}");
    stdout
}
