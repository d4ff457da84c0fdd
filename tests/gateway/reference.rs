//! Completions and manual pages.

use std::fs;
use std::process::Command;

use portcullis_tests::gateway::program;

#[test]
fn bash_completes_commands_and_options() {
    let script = said(&["completions", "bash"]);
    let asked = |words: &str, last: usize| {
        let ask = format!(
            "COMP_WORDS=({words}); COMP_CWORD={last}; _portcullis portcullis; echo ${{COMPREPLY[@]}}"
        );
        let output =
            Command::new("bash").args(["--norc", "-c", &format!("{script}\n{ask}")]).output();
        let output = output.expect("bash runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    assert!(asked("portcullis relo", 1).contains("reload"));
    assert!(asked("portcullis spool ''", 2).contains("retry"));
    assert!(asked("portcullis run --con", 2).contains("--config"));
}

#[test]
fn every_command_has_a_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("man1");
    said(&["man", target.to_str().expect("a plain path")]);
    let mut commands = vec![Vec::new()];
    let mut pages = 0;
    while let Some(command) = commands.pop() {
        let name = [vec!["portcullis".to_owned()], command.clone()].concat().join("-");
        let page = fs::read_to_string(target.join(format!("{name}.1")));
        let page = page.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(page.contains(".SH SYNOPSIS") && page.contains(".SH DESCRIPTION"), "{page}");
        pages += 1;
        let mut arguments: Vec<_> = command.iter().map(String::as_str).collect();
        arguments.push("--help");
        let help = said(&arguments);
        let Some((_, list)) = help.split_once("Commands:\n") else { continue };
        let names = list.lines().take_while(|line| line.starts_with("  "));
        for name in names.filter_map(|line| line.split_whitespace().next()) {
            let is_one =
                list.contains(&format!("\n  {name} ")) || list.starts_with(&format!("  {name} "));
            if is_one && name != "help" {
                commands.push([command.clone(), vec![name.to_owned()]].concat());
            }
        }
    }
    assert!(pages > 20, "only {pages}");
}

fn said(arguments: &[&str]) -> String {
    let output = Command::new(program()).args(arguments).output().expect("the program runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}
