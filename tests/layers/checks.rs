//! What the checker must and must not find.

use super::*;

#[test]
fn every_file_keeps_to_its_layer_and_to_the_style() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = source_files(&root);
    assert!(files.len() > 50, "only {} files under {}", files.len(), root.display());
    let mut report = String::new();
    for path in files {
        let file = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        for offence in offences(&file, &fs::read_to_string(&path).unwrap()) {
            writeln!(report, "{offence}").unwrap();
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

#[test]
fn every_module_of_the_crate_has_a_layer() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let tokens = tokens(&fs::read_to_string(root).unwrap());
    let modules: Vec<&str> = tokens
        .windows(2)
        .filter_map(|pair| match (&pair[0].1, &pair[1].1) {
            (Token::Word(word), Token::Word(name)) if word == "mod" => Some(name.as_str()),
            _ => None,
        })
        .collect();
    assert!(modules.len() >= 9, "{modules:?}");
    for module in modules {
        assert!(layer(module).is_some(), "the module {module} is in none of the layers");
    }
}

/// A checker that finds nothing proves nothing: each of these must be found, on its line.
#[test]
fn planted_offences_are_found() {
    let undone = ["TO", "DO"].concat();
    let cases: &[(&str, &str, usize, &str)] = &[
        ("fs/x.rs", "use crate::mount::point;", 2, "fs reaches up to crate::mount::point"),
        ("fs/x.rs", "use crate::{\n    block::Key,\n    cli::run,\n};", 4, "reaches up to crate::cli::run"),
        ("fs/x.rs", "use super::super::jobs::demo;", 2, "fs and jobs do not see each other"),
        ("jobs/mod.rs", "use super::fs;", 2, "jobs and fs do not see each other"),
        ("datastore/flatfs/x.rs", "fn f() {\n    crate::blockstore::open();\n}", 3, "datastore reaches up"),
        ("block/x.rs", "fn f() -> crate::datastore::Sync { g() }", 2, "block reaches up"),
        (
            "sys/x.rs",
            "mod tests {\n    use super::super::super::mount;\n}",
            3,
            "sys reaches up to crate::mount",
        ),
        ("error/verdict.rs", "use crate::sys::lock;", 2, "it may use sys::errno alone"),
        ("cli/x.rs", "use crate::elsewhere::x;", 2, "crate::elsewhere is in none of the layers"),
        ("fs/x.rs", "use fuser::FileAttr;", 2, "the crate fuser belongs into mount/"),
        ("mount/x.rs", "let flags = libc::O_RDONLY;", 2, "the crate libc belongs into sys/"),
        ("mount/x.rs", "use std::fs;\n\nuse {nix::unistd, std::io};", 4, "the crate nix belongs into sys/"),
        ("mount/x.rs", "let c = '\"'; let d = clap::X; // '", 2, "the crate clap belongs into cli/"),
        ("block/x.rs", "/* a /* b */ */ unsafe { g() }", 2, "unsafe code belongs into sys/"),
        ("block/x.rs", &format!("\n// {undone}: later"), 3, "what is not done is not there"),
        ("block/x.rs", &"\n".repeat(400), 401, "401 lines, and 400 are the most"),
    ];
    for (file, planted, line, expected) in cases {
        let found = offences(file, &format!("//! A file.\n{planted}"));
        assert_eq!(found.len(), 1, "{planted}: {found:?}");
        assert!(found[0].starts_with(&format!("src/{file}:{line}: ")), "{planted}: {found:?}");
        assert!(found[0].contains(expected), "{planted}: {found:?}");
    }
    assert_eq!(offences("block/x.rs", "use std::fs;").len(), 1, "no `//!`");
}

#[test]
fn what_is_allowed_is_not_found() {
    let cases: &[(&str, &str)] = &[
        ("fs/x.rs", "use crate::blockstore::{Blockstore, StoreInfo};\nuse super::handle::Open;"),
        (
            "fs/x.rs",
            "use crate::{Error, Result};\n#[cfg(test)]\nmod tests {\n    use super::super::mod_b;\n}",
        ),
        ("mount/x.rs", "use fuser::FileAttr; // as libc::stat\nfn f<'a>(x: &'a str) {}"),
        (
            "block/x.rs",
            "let a = \"nix::x unsafe\"; let b = r#\"\"libc::y\"#; let c = b\"clap::z\"; let d = '\\'';",
        ),
        ("error/x.rs", "use crate::sys::errno::*;\nuse super::Error;"),
        ("sys/x.rs", "unsafe { libc::fork() }"),
        (
            "cli/commands/x.rs",
            "use crate::cli::args::A;\ncommands::cid::run();\nfn f() -> impl A + use<'_> {}",
        ),
    ];
    for (file, allowed) in cases {
        let found = offences(file, &format!("//! A file.\n{allowed}\n"));
        assert!(found.is_empty(), "{allowed}: {found:?}");
    }
}
