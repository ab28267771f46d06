//! The architecture, as a test.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use testkit::workspace_root;

/// Which of our crates each may use. Dependencies point one way.
const MAY_USE: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("codec", &["domain"]),
    ("store", &["domain", "codec"]),
    ("auth", &["domain"]),
    ("document", &[]),
    ("app", &["domain", "store", "auth", "document"]),
    ("wire", &["domain", "codec", "auth", "app"]),
    ("aws", &["domain", "app", "wire"]),
    ("runtime", &["domain", "store", "app", "aws"]),
    ("testkit", &[]),
];

const FUNCTIONS: &[&str] =
    &["api", "web", "track-usage", "ingest-usage", "close-periods", "finalize-invoices", "send-email"];

fn manifest(path: &Path) -> toml::Table {
    fs::read_to_string(path.join("Cargo.toml")).unwrap().parse().unwrap()
}

/// The crates below a folder, with the names of what they depend on.
fn crates(folder: &str) -> Vec<(String, BTreeSet<String>)> {
    let folders = fs::read_dir(workspace_root().join(folder)).unwrap();
    let folders = folders.map(|entry| entry.unwrap().path()).filter(|path| path.join("Cargo.toml").exists());
    let read = |path: PathBuf| {
        let manifest = manifest(&path);
        let names = |table: &str| {
            let table = manifest.get(table).and_then(toml::Value::as_table);
            table.into_iter().flat_map(|table| table.keys().cloned()).collect::<BTreeSet<_>>()
        };
        (manifest["package"]["name"].as_str().unwrap().to_owned(), names("dependencies"))
    };
    folders.map(read).collect()
}

#[test]
fn dependencies_point_one_way() {
    let shared = crates("shared");
    let ours = shared.iter().map(|(name, _)| name.as_str()).collect::<BTreeSet<_>>();
    assert_eq!(ours, MAY_USE.iter().map(|(name, _)| *name).collect(), "a crate without a rule");
    for (name, dependencies) in &shared {
        let (_, allowed) = MAY_USE.iter().find(|(other, _)| other == name).unwrap();
        let used = dependencies
            .iter()
            .map(String::as_str)
            .filter(|used| ours.contains(used) || FUNCTIONS.contains(used));
        let wrong = used.filter(|used| !allowed.contains(used)).collect::<Vec<_>>();
        assert!(wrong.is_empty(), "{name} uses {wrong:?}");
    }
    let functions = crates("functions");
    let names = functions.iter().map(|(name, _)| name.as_str()).collect::<BTreeSet<_>>();
    assert_eq!(names, FUNCTIONS.iter().copied().collect());
    for (name, dependencies) in &functions {
        let wrong = dependencies.iter().find(|used| names.contains(used.as_str()) || *used == "testkit");
        assert_eq!(wrong, None, "of {name}");
    }
}

#[test]
fn the_domain_is_pure() {
    let (_, dependencies) = crates("shared").into_iter().find(|(name, _)| name == "domain").unwrap();
    let allowed = ["chrono", "chrono-tz", "rust_decimal", "thiserror", "uuid"];
    assert_eq!(dependencies, allowed.into_iter().map(str::to_owned).collect());
    for path in sources(&workspace_root().join("shared/domain/src")) {
        let text = fs::read_to_string(&path).unwrap();
        for word in ["async fn", "f64", "f32", "SystemTime", "Utc::now", "std::env", "std::fs", "serde"] {
            assert!(!text.contains(word), "{} says `{word}`", path.display());
        }
    }
}

#[test]
fn versions_are_said_once() {
    for folder in ["shared", "functions"] {
        for entry in fs::read_dir(workspace_root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(path.join("Cargo.toml")).unwrap();
            assert!(!text.contains("path = \"../"), "{}: write `name.workspace = true`", path.display());
            let dependencies = manifest(&path)["dependencies"].as_table().unwrap().clone();
            for (name, value) in dependencies {
                let is_shared = value.get("workspace").and_then(toml::Value::as_bool) == Some(true);
                assert!(is_shared, "{}: write `{name}.workspace = true`", path.display());
            }
        }
    }
}

#[test]
fn aws_types_stay_at_the_edge() {
    let may_use = ["shared/store", "shared/aws", "shared/runtime", "shared/testkit", "infra/bench"];
    for folder in ["shared", "functions", "infra"] {
        for path in sources(&workspace_root().join(folder)) {
            let relative = path.strip_prefix(workspace_root()).unwrap();
            if may_use.iter().any(|allowed| relative.starts_with(allowed)) {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            assert!(!text.contains("aws_sdk_"), "{} uses the AWS SDK", relative.display());
        }
    }
}

#[test]
fn files_have_one_subject() {
    for folder in ["shared", "functions", "infra"] {
        for path in sources(&workspace_root().join(folder)) {
            let text = fs::read_to_string(&path).unwrap();
            let lines = text.lines().count();
            assert!(lines <= 640, "{} has {lines} lines: look for the second subject", path.display());
            assert!(
                text.starts_with("//!") || text.starts_with("use super::*"),
                "{} does not say what it is",
                path.display()
            );
        }
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
