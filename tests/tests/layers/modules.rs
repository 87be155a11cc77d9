//! Test of the dependencies between the files of a crate: no cycles, and in the core an order of
//! folders.
//!
//! File A depends on file B if A names a path into B (`use crate::...`, `crate::...`,
//! `super::...`). File A also depends on B if A declares module B and names an item of B
//! (`child::item`). The test ignores test code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use primetime_tests::tools::root;
use regex::Regex;

/// Folders and files of the core, from the types up to the plan. A file may use the folder of the
/// file and the folders before.
const FOLDERS: [&str; 18] = [
    "decimal",
    "format",
    "lease",
    "reference",
    "row",
    "schedule",
    "state",
    "calendar",
    "output",
    "port",
    "timeline",
    "shape",
    "preflight",
    "machines",
    "occurrences",
    "scaling",
    "run",
    "plan",
];

/// Modules that each module uses, by path within the crate.
type Graph = BTreeMap<String, BTreeSet<String>>;

/// Folders of the crates below `controller/`.
const CRATES: [&str; 9] = ["api", "calendar", "cli", "core", "ec2", "k8s", "prom", "sim", "."];

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && name != "bin" && name != "tests" {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Returns the production part of a source file, without tests and comments.
fn production(text: &str) -> String {
    let tests =
        Regex::new(r"(?m)^#\[cfg\(test\)\]\n(pub(\(crate\))? )?mod \w+").expect("a pattern");
    let end = tests.find(text).filter(|found| !found.as_str().ends_with("fixtures"));
    let code = end.map_or(text, |found| &text[..found.start()]);
    let comments = Regex::new(r"//[^\n]*").expect("a pattern");
    comments.replace_all(code, "").replace("in crate::", "")
}

/// Adds all paths of an import tree to `paths`.
fn flatten(tree: &str, prefix: &str, paths: &mut Vec<String>) {
    let Some((before, inner)) = tree.split_once('{') else {
        let path = format!("{prefix}{}", tree.split(" as ").next().unwrap_or_default().trim());
        paths.push(path.trim_end_matches("::self").to_owned());
        return;
    };
    let prefix = format!("{prefix}{}", before.trim());
    let inner = inner.rsplit_once('}').map_or(inner, |(inner, _)| inner);
    let (mut depth, mut from) = (0_i32, 0);
    for (at, c) in inner.char_indices().chain([(inner.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let part = inner[from..at].trim();
                if !part.is_empty() {
                    flatten(part, &prefix, paths);
                }
                from = at + 1;
            }
            _ => {}
        }
    }
}

/// Converts a path in a module into a path from the root of the crate. Returns `None` if the path
/// does not begin with `crate`, `self` or `super`.
fn absolute(path: &str, module: &[&str]) -> Option<Vec<String>> {
    let mut parts = path.split("::").peekable();
    let mut base: Vec<&str> = match parts.next()? {
        "crate" => Vec::new(),
        "self" => module.to_vec(),
        "super" => module.split_last()?.1.to_vec(),
        _ => return None,
    };
    while parts.next_if_eq(&"super").is_some() {
        base.pop();
    }
    Some(base.into_iter().chain(parts).map(str::to_owned).collect())
}

fn graph(sources: &Path) -> Graph {
    let mut paths = Vec::new();
    files(sources, &mut paths);
    let module = |path: &PathBuf| {
        let path = path.strip_prefix(sources).expect("below").with_extension("");
        let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        parts.join("::")
    };
    let all: BTreeSet<String> = paths.iter().map(module).collect();
    let imports = Regex::new(r"(?m)^\s*(?:pub(?:\([^)]*\))? )?use ([^;]+);").expect("a pattern");
    let inline = Regex::new(r"\b(?:crate|super|self)(?:::\w+)+").expect("a pattern");
    let declared = Regex::new(r"(?m)^(?:pub(?:\([^)]*\))? )?mod (\w+);").expect("a pattern");
    let mut graph = Graph::new();
    for path in paths.iter().filter(|path| !path.ends_with("tests.rs")) {
        let name = module(path);
        let own: Vec<&str> =
            name.split("::").filter(|part| !["lib", "main"].contains(part)).collect();
        let code = production(&std::fs::read_to_string(path).expect("a source"));
        let mut named = Vec::new();
        for found in imports.captures_iter(&code) {
            flatten(&found[1].replace('\n', " "), "", &mut named);
        }
        let rest = imports.replace_all(&code, "");
        named.extend(inline.find_iter(&rest).map(|found| found.as_str().to_owned()));
        for found in declared.captures_iter(&rest) {
            let item = Regex::new(&format!(r"(?:^|[^\w:]){}::\w", &found[1])).expect("a pattern");
            if item.is_match(&rest) {
                named.push(format!("self::{}", &found[1]));
            }
        }
        let used = named.iter().filter_map(|path| absolute(path, &own)).filter_map(|parts| {
            let longest = (1..=parts.len()).rev().map(|n| parts[..n].join("::"));
            longest.into_iter().find(|path| all.contains(path))
        });
        graph.insert(name.clone(), used.filter(|other| *other != name).collect());
    }
    graph
}

/// Returns the modules that depend on themselves through other modules.
fn circles(graph: &Graph) -> Vec<&String> {
    let reaches_itself = |start: &&String| {
        let mut seen = BTreeSet::new();
        let mut next: Vec<&String> = graph[*start].iter().collect();
        while let Some(module) = next.pop() {
            if module == *start {
                return true;
            }
            if seen.insert(module) {
                next.extend(graph.get(module).into_iter().flatten());
            }
        }
        false
    };
    graph.keys().filter(reaches_itself).collect()
}

fn sources(name: &str) -> PathBuf {
    root().join("controller").join(name).join("src")
}

#[test]
fn no_file_uses_itself_through_others() {
    for name in CRATES {
        let graph = graph(&sources(name));
        assert!(!graph.is_empty(), "{name} has files");
        assert_eq!(circles(&graph), Vec::<&String>::new(), "files of {name} in a circle");
    }
}

#[test]
fn folders_of_the_core_use_what_is_below_them() {
    let place = |module: &str| {
        let folder = module.split("::").next().unwrap_or_default();
        FOLDERS.iter().position(|known| *known == folder)
    };
    for (module, uses) in graph(&sources("core")) {
        if ["lib", "fixtures"].contains(&module.as_str()) {
            continue;
        }
        let own = place(&module).unwrap_or_else(|| panic!("{module} has no place in FOLDERS"));
        for used in uses {
            assert!(place(&used).is_some_and(|below| below <= own), "{module} uses {used}");
        }
    }
}

/// Checks that `state/` contains only data. A function with a parameter of type `&World` is a rule
/// and belongs to a later folder.
#[test]
fn no_function_of_the_state_takes_a_world() {
    let mut paths = Vec::new();
    files(&sources("core").join("state"), &mut paths);
    assert!(paths.len() > 10, "the folder of the types has moved");
    for path in paths {
        let code = production(&std::fs::read_to_string(&path).expect("a source"));
        assert!(!code.contains("&World"), "{} takes a world", path.display());
    }
}

#[test]
fn a_circle_is_found() {
    let graph: Graph = [("a", "b"), ("b", "c"), ("c", "a"), ("d", "a")]
        .map(|(from, to)| (from.to_owned(), [to.to_owned()].into()))
        .into();
    assert_eq!(circles(&graph), ["a", "b", "c"]);
    let mut paths = Vec::new();
    flatten("crate::run::{self, load::{Reading, read as ask}, wake}", "", &mut paths);
    let expected =
        ["crate::run", "crate::run::load::Reading", "crate::run::load::read", "crate::run::wake"];
    assert_eq!(paths, expected);
    assert_eq!(absolute("super::super::x", &["a", "b"]), Some(vec!["x".to_owned()]));
}
