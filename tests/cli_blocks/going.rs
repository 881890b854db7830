//! What goes well.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use ipfs_persist_mount::block::{Block, CidOptions};
use ipfs_persist_mount::datastore::Sync;
use serde_json::json;

use super::common::blocks::{cid_bytes, cid_v0, spell};
use super::common::rows::Case;
use super::common::{bytes, cid_as, cid_of, program, run, sh, text};
use super::scene::{Scene, WAYS, Way};
use crate::cases;

pub const CASES: &[Case] = cases![
    files_are_printed_as_cid_prints_them_and_come_back,
    every_spelling_gets_the_block,
    a_block_is_listed_under_the_cid_it_was_stored_with,
    identity_cids_work_without_being_stored,
    output_files_are_whole_and_named_as_asked,
    what_is_no_ordinary_file_is_written_to,
    standard_output_by_its_name_is_written_to,
    a_listing_shows_sizes_and_times,
    a_listing_ends_with_its_reader,
    a_listing_can_be_worked_on_as_it_comes,
    removed_blocks_are_gone,
    a_block_is_described,
    a_store_is_described,
    pipes_and_repetitions_are_stored,
];

fn files_are_printed_as_cid_prints_them_and_come_back(backend: &'static str) {
    for way in WAYS {
        let scene = Scene::new(backend, way);
        let names: [&[u8]; 6] = [b"small", b"empty", b"large", b"-dash", b"new\nline", b"\xff\xfe"];
        let contents =
            [b"small".to_vec(), vec![], bytes(1, 300_000), bytes(2, 1), bytes(3, 70_000), bytes(4, 9)];
        let mut args = vec!["--".as_ref()];
        for (name, content) in names.iter().zip(&contents) {
            let name = std::ffi::OsStr::from_bytes(name);
            scene.file(name, content);
            args.push(name);
        }
        let cid = run(program().arg("cid").args(&args).current_dir(scene.files()));
        assert_eq!(scene.ok(&[&["put".as_ref()], &args[..]].concat()), cid.stdout);
        for content in &contents {
            assert_eq!(scene.ok(&["get", &cid_of(content)]), *content);
        }
        let mut expected: Vec<String> = contents.iter().map(|content| cid_of(content)).collect();
        let together = scene.ok(&[&["get".to_owned()], &expected[..]].concat());
        assert_eq!(together, contents.concat());
        expected.sort();
        assert_eq!(scene.listed(), expected);
    }
}

fn every_spelling_gets_the_block(backend: &'static str) {
    for way in WAYS {
        let scene = Scene::new(backend, way);
        let content = bytes(5, 1000);
        let v0 = cid_v0(&content);
        assert_eq!(scene.put(&content, &["--cid-version", "0"]), v0);
        let raw = cid_of(&content);
        let base64 = spell(multibase::Base::Base64, &cid_bytes(&raw));
        let base2 = spell(multibase::Base::Base2, &cid_bytes(&raw));
        assert!(base2.len() > 255, "no file can have this name");
        for spelling in [&v0, &raw, &raw.to_uppercase(), &base64, &base2] {
            assert_eq!(scene.ok(&["get", spelling]), content, "{spelling}");
            assert_eq!(scene.objects(&["stat", "--json", spelling])[0]["cid"], json!(v0), "{spelling}");
        }
    }
}

fn a_block_is_listed_under_the_cid_it_was_stored_with(backend: &'static str) {
    for way in WAYS {
        let scene = Scene::new(backend, way);
        let content = bytes(6, 100);
        let forms = [("1", "dag-cbor", "blake3"), ("0", "dag-pb", "sha2-256"), ("1", "json", "sha2-512")];
        let mut expected = Vec::new();
        for (version, codec, hash) in forms {
            let cid = cid_as(&content, version, codec, hash);
            assert_eq!(
                scene.put(&content, &["--cid-version", version, "--codec", codec, "--hash", hash]),
                cid
            );
            expected.push(cid);
        }
        // The same block under another codec stays what it was.
        scene.put(&content, &["--as", &cid_as(&content, "1", "cbor", "blake3")]);
        expected.sort();
        assert_eq!(scene.listed(), expected);
    }
}

fn identity_cids_work_without_being_stored(backend: &'static str) {
    for way in WAYS {
        let scene = Scene::new(backend, way);
        // There has to be a store.
        let other = scene.put(b"other", &[]);
        let cid = scene.put(b"inline", &["--hash", "identity"]);
        assert_eq!(scene.ok(&["get", &cid]), b"inline");
        assert_eq!(scene.listed(), [other]);
        let facts = &scene.objects(&["stat", "--json", &cid])[0];
        assert_eq!((&facts["size_bytes"], &facts["hash"]), (&json!(6), &json!("identity")));
        assert_eq!(facts["mtime_unix_secs"], 0);
        for args in [&["rm", &cid][..], &["rm", "--force", &cid]] {
            scene.fails(args, 1, "an identity CID holds its own bytes and cannot be removed");
        }
    }
}

fn output_files_are_whole_and_named_as_asked(backend: &'static str) {
    for way in WAYS {
        let scene = Scene::new(backend, way);
        let (one, two) = (bytes(7, 5000), bytes(8, 100_000));
        let (cid_one, cid_two) = (scene.put(&one, &[]), scene.put(&two, &[]));
        let read = |name: &str| fs::read(scene.files().join(name)).unwrap();
        let mode = |name: &str| fs::metadata(scene.files().join(name)).unwrap().permissions().mode() & 0o777;
        let mut command = Command::new("bash");
        let inner = scene.command(&["get", "-o", "new", &cid_one]);
        command.args(["-c", "umask 027; exec \"$@\"", "-"]).arg(inner.get_program()).args(inner.get_args());
        let output = run(command.current_dir(scene.files()).env_remove("BACKEND").env_remove("DATA_PATH"));
        assert!(output.status.success(), "{}", text(&output));
        assert_eq!((read("new"), mode("new")), (one.clone(), 0o640));
        // Replaced whole, through a link, with its mode.
        scene.file("old", &bytes(9, 300_000));
        fs::set_permissions(scene.files().join("old"), fs::Permissions::from_mode(0o604)).unwrap();
        std::os::unix::fs::symlink("old", scene.files().join("link")).unwrap();
        scene.ok(&["get", &cid_two, "--output", "link"]);
        assert_eq!((read("old"), mode("old")), (two.clone(), 0o604));
        assert!(scene.files().join("link").is_symlink());
        fs::create_dir(scene.files().join("out")).unwrap();
        let upper = cid_two.to_uppercase();
        let objects = scene.objects(&["get", "--json", "--output-dir", "out", &cid_one, &upper]);
        assert_eq!((read(&format!("out/{cid_one}")), read(&format!("out/{upper}"))), (one, two));
        let expected = json!({
            "status": "ok", "asked": upper, "cid": cid_two, "size_bytes": 100_000, "file": format!("out/{upper}")
        });
        assert_eq!(objects[1], expected);
        let left = |dir: &str| fs::read_dir(scene.files().join(dir)).unwrap().count();
        assert_eq!((left("out"), left(".")), (2, 4), "no temporary file stays");
    }
}

fn what_is_no_ordinary_file_is_written_to(backend: &'static str) {
    for way in WAYS {
        let scene = Scene::new(backend, way);
        let cid = scene.put(b"through a pipe", &[]);
        scene.ok(&["get", &cid, "-o", "/dev/null"]);
        assert!(!fs::symlink_metadata("/dev/null").unwrap().is_file());
        assert_eq!(scene.ok(&["get", &cid, "-o", "-"]), b"through a pipe");
        let output = sh(&scene.files(), "mkfifo pipe");
        assert!(output.status.success(), "{}", text(&output));
        let reader = Command::new("cat")
            .arg("pipe")
            .current_dir(scene.files())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        scene.ok(&["get", &cid, "-o", "pipe"]);
        assert_eq!(reader.wait_with_output().unwrap().stdout, b"through a pipe");
    }
}

/// Regression: `-o /dev/stdout` replaced the file that standard output went to, and what others had written
/// to it was gone.
fn standard_output_by_its_name_is_written_to(backend: &'static str) {
    let scene = Scene::new(backend, Way::Direct);
    let script = format!(
        "ipm() {{ '{}' \"$@\" --data-path data; }}; echo block > file; cid=$(ipm put file | cut -d ' ' -f 1)
        (echo before; ipm get -o /dev/stdout $cid; echo behind) > out; cat out",
        program().get_program().to_str().unwrap()
    );
    let output = sh(scene.bench.path(), &script);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "before\nblock\nbehind\n", "{}", text(&output));
}

fn a_listing_shows_sizes_and_times(backend: &'static str) {
    for way in WAYS {
        let scene = Scene::new(backend, way);
        let before = SystemTime::now() - Duration::from_secs(1);
        let cid = scene.put(&bytes(10, 12_345), &[]);
        let line = scene.ok_text(&["ls", "-l"]);
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!((words[0], words[2], words.len()), ("12345", cid.as_str(), 3), "{line}");
        let object = &scene.objects(&["ls", "--long", "--json"])[0];
        let secs = object["mtime_unix_secs"].as_u64().unwrap();
        let mtime = SystemTime::UNIX_EPOCH + Duration::from_secs(secs);
        assert!(mtime >= before - Duration::from_secs(1) && mtime <= SystemTime::now());
        let date =
            run(Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ", "-d"]).arg(format!("@{secs}")));
        assert_eq!(words[1], String::from_utf8(date.stdout).unwrap().trim());
        assert_eq!(scene.objects(&["ls", "--json"]), [json!({"cid": cid})]);
        let facts = &scene.objects(&["stat", "--json", &cid])[0];
        for field in ["cid", "size_bytes", "mtime_unix_secs", "mtime_nanos"] {
            assert_eq!(object[field], facts[field], "{field}");
        }
    }
}

/// Regression: `ls` held the store until everything was printed, and what its reader did with the first
/// lines waited for it.
fn a_listing_can_be_worked_on_as_it_comes(backend: &'static str) {
    let scene = Scene::new(backend, Way::Direct);
    let engine = scene.bench.engine();
    // More than pipes hold, and than one command line.
    for chunk in (0..8000u64).collect::<Vec<_>>().chunks(500) {
        let block = |n: &u64| {
            Block::of(n.to_le_bytes().to_vec().into(), &CidOptions::default(), SystemTime::now()).unwrap()
        };
        engine.put(&chunk.iter().map(block).collect::<Vec<_>>(), Sync::Later).unwrap();
    }
    engine.close().unwrap();
    let script = format!(
        "set -o pipefail; ipm() {{ '{}' \"$@\"; }}; export -f ipm
        ipm ls --lock-wait 5 --data-path data | xargs -n 1500 bash -c 'ipm rm --lock-wait 5 --data-path data \"$@\"' rm > removed
        [ -z \"$(ipm ls --data-path data)\" ]",
        program().get_program().to_str().unwrap()
    );
    let output = sh(scene.bench.path(), &script);
    assert!(output.status.success(), "{}", text(&output));
}

fn a_listing_ends_with_its_reader(backend: &'static str) {
    for way in WAYS {
        let scene = Scene::new(backend, way);
        let names: Vec<String> = (0..600).map(|number| format!("f{number}")).collect();
        names.iter().for_each(|name| scene.file(name, name.as_bytes()));
        let put = scene.ok_text(&[&["put".to_owned()], &names[..]].concat());
        let expected: Vec<String> =
            names.iter().map(|name| format!("{}  {name}", cid_of(name.as_bytes()))).collect();
        assert_eq!(put.lines().collect::<Vec<_>>(), expected, "in the order of the files");
        let all = scene.ok_text(&["ls"]);
        assert_eq!(all.lines().count(), 600);
        let mut child = scene.command(&["ls"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = [0; 59];
        let mut stdout = child.stdout.take().unwrap();
        std::io::Read::read_exact(&mut stdout, &mut first).unwrap();
        drop(stdout);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output));
        assert_eq!(first, all.as_bytes()[..59]);
        // Nobody reads what was done: it is done all the same.
        let mut child = scene.command(
            &[
                &["rm".to_owned(), "--json".to_owned()],
                &all.lines().map(str::to_owned).collect::<Vec<_>>()[..],
            ]
            .concat(),
        );
        let mut child = child.stdout(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        assert!(child.wait().unwrap().success());
        assert_eq!(scene.listed(), [""; 0]);
    }
}

fn removed_blocks_are_gone(backend: &'static str) {
    for way in WAYS {
        let scene = Scene::new(backend, way);
        let (one, two, three) = (scene.put(b"1", &[]), scene.put(b"2", &[]), scene.put(b"3", &[]));
        assert_eq!(scene.ok(&["rm", &one.to_uppercase()]), b"");
        scene.fails(&["rm", &one, &two], 1, &format!("{one}: no such block or file\nhint: "));
        assert_eq!(scene.listed(), [three.as_str()]);
        let objects = scene.objects(&["rm", "--force", "--json", &one, &three]);
        let expected =
            |cid: &str, removed| json!({"status": "ok", "asked": cid, "cid": cid, "removed": removed});
        assert_eq!(objects, [expected(&one, false), expected(&three, true)]);
        assert_eq!(scene.listed(), [""; 0]);
        scene.fails(&["get", &three], 1, "no such block");
    }
}

fn a_block_is_described(backend: &'static str) {
    for way in WAYS {
        let scene = Scene::new(backend, way);
        let cid = scene.put(&bytes(11, 77), &["--codec", "0x1234", "--hash", "blake2b-160"]);
        let mut object = scene.objects(&["stat", "--json", &cid]).remove(0);
        let object = object.as_object_mut().unwrap();
        assert!(object.remove("mtime_unix_secs").is_some() && object.remove("mtime_nanos").is_some());
        let expected = json!({
            "status": "ok", "asked": cid, "cid": cid, "size_bytes": 77, "cid_version": 1, "codec": "0x1234",
            "hash": "blake2b-160", "digest_bytes": 20
        });
        assert_eq!(json!(object), expected);
        let text = scene.ok_text(&["stat", &cid, &cid]);
        assert_eq!(text.matches(&format!("CID:      {cid}\nSize:     77\nModified: ")).count(), 2, "{text}");
        assert_eq!(text.matches("Hash:     blake2b-160, 20 bytes\n").count(), 2, "{text}");
    }
}

fn a_store_is_described(backend: &'static str) {
    for way in WAYS {
        let scene = Scene::new(backend, way);
        (0..3).for_each(|number| drop(scene.put(&[number], &[])));
        let object = scene.objects(&["stat", "--json"]).remove(0);
        assert_eq!(object["backend"], backend);
        assert_eq!((&object["blocks"], &object["durable"]), (&json!(3), &json!(true)));
        assert_eq!(object["data_path"], json!(scene.bench.data()));
        let mount_point = scene.mounted.as_ref().map(|_| scene.bench.mnt());
        assert_eq!(object["mount_point"], json!(mount_point));
        for field in ["disk_bytes", "free_bytes"] {
            assert!(object[field].as_u64().is_some_and(|bytes| bytes > 0), "{field}: {object}");
        }
        let marker: serde_json::Value =
            serde_json::from_slice(&fs::read(scene.bench.data().join("ipfs-persist.json")).unwrap()).unwrap();
        assert_eq!(object["store_id"], marker["store_id"]);
        let text = scene.ok_text(&["stat"]);
        assert!(
            text.contains(&format!("Backend:    {backend}\n")) && text.contains("Blocks:     3\n"),
            "{text}"
        );
    }
}

fn pipes_and_repetitions_are_stored(backend: &'static str) {
    for way in WAYS {
        let scene = Scene::new(backend, way);
        let content = bytes(12, 200_000);
        scene.file("file", &content);
        let output = sh(&scene.files(), "mkfifo pipe");
        assert!(output.status.success(), "{}", text(&output));
        let cid = cid_of(&content);
        let mut writer =
            Command::new("bash").args(["-c", "cat file > pipe"]).current_dir(scene.files()).spawn().unwrap();
        let stored = scene.ok_text(&["put", "pipe", "file", "file"]);
        assert!(writer.wait().unwrap().success());
        assert_eq!(stored, format!("{cid}  pipe\n{cid}  file\n{cid}  file\n"));
        assert_eq!(scene.put(&content, &[]), cid);
        let objects = scene.objects(&["put", "--json", "file"]);
        assert_eq!(objects, [json!({"status": "ok", "file": "file", "cid": cid, "size_bytes": 200_000})]);
        assert_eq!(scene.listed(), [cid]);
    }
}
