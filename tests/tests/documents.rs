//! Documentation: each link leads to a file and a heading, and each command of the plugin exists with
//! its flags.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use primetime_tests::tools::{built, root};

/// Returns the Markdown files of the project.
fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for folder in ["", "docs", "docs/decisions", "charts/primetime"] {
        for entry in std::fs::read_dir(root().join(folder)).expect(folder) {
            let path = entry.expect(folder).path();
            if path.extension().is_some_and(|end| end == "md") {
                pages.push(path);
            }
        }
    }
    assert!(pages.len() > 20, "{pages:?}");
    pages.sort();
    pages
}

/// Returns the anchor that GitHub makes of a heading.
fn anchor(heading: &str) -> String {
    let kept =
        heading.trim().chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#'))).collect()
}

/// Returns the targets of all links of a page.
fn links(text: &str) -> Vec<String> {
    let after = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    after.map(|(link, _)| link.to_owned()).collect()
}

#[test]
fn each_link_leads_somewhere() {
    let mut broken = Vec::new();
    for page in pages() {
        let text = std::fs::read_to_string(&page).expect("a page");
        let folder = page.parent().unwrap_or(Path::new("."));
        for link in links(&text).iter().filter(|link| !link.contains("://")) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { folder.join(file) };
            let found = target.exists()
                && (heading.is_empty()
                    || std::fs::read_to_string(&target)
                        .is_ok_and(|text| anchors(&text).contains(heading)));
            if !found {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Returns the words of each command of the plugin in a page: the name of the command, and its flags.
fn commands(text: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for line in text.lines() {
        for rest in line.split("kubectl surge ").skip(1) {
            let end = rest.find(['`', '#', ';', '|', '"']).unwrap_or(rest.len());
            let rest = rest.get(..end).unwrap_or_default();
            let mut words = rest.split_whitespace();
            let Some(name) = words.next() else { continue };
            let name: String = name.chars().take_while(char::is_ascii_lowercase).collect();
            let flags = words.filter(|word| word.starts_with("--")).map(|word| {
                word.split(['=', '.', ',', ')', ':']).next().unwrap_or_default().to_owned()
            });
            found.push((name, flags.collect()));
        }
    }
    found
}

#[test]
fn each_command_of_the_plugin_exists_with_its_flags() {
    let plugin = built("kubectl-surge").expect("kubectl-surge");
    let help = |args: &[&str]| {
        let output = Command::new(&plugin).args(args).output().expect("kubectl-surge");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let all = help(&["help"]);
    let known: BTreeSet<&str> = all
        .lines()
        .skip_while(|line| *line != "Commands:")
        .take_while(|line| *line != "Options:")
        .filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(known.contains("status") && known.contains("check"), "{all}");
    let mut flags: BTreeMap<String, String> = BTreeMap::new();
    let (mut wrong, mut seen) = (Vec::new(), BTreeSet::new());
    for page in pages() {
        let text = std::fs::read_to_string(&page).expect("a page");
        for (name, used) in commands(&text) {
            // A sentence may go on after the name of the plugin.
            if !known.contains(name.as_str()) {
                continue;
            }
            seen.insert(name.clone());
            let help = flags.entry(name.clone()).or_insert_with(|| help(&[&name, "--help"]));
            for flag in used.iter().filter(|flag| !help.contains(flag.as_str())) {
                wrong.push(format!("{}: kubectl surge {name} has no {flag}", page.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The commands that on-call needs are in the documentation.
    for name in
        ["status", "check", "hold", "boost", "extend", "release", "degrade", "undo", "create"]
    {
        assert!(seen.contains(name), "no page shows kubectl surge {name}");
    }
}
