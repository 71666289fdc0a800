//! `cargo xtask import-rate REPO [BRANCH]`: how fast `apograph import git` is beside `git fast-export | wc -c` alone.
//!
//! Both are run in turn, five times; every import goes into a new primary, with a replica and a staging server attached
//! when `--copies` is given. Medians and their ratio count, for machines are noisy.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const RUNS: usize = 5;

/// Measures and prints; the error is a sentence.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<(), String> {
    let copies = arguments.iter().any(|argument| argument == "--copies");
    let words: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    let repository = words.first().ok_or("usage: cargo xtask import-rate REPO [BRANCH] [--copies]")?;
    let branch = words.get(1).map_or("master", |branch| branch.as_str());
    sound(Command::new(env!("CARGO")).args(["build", "--release", "-p", "apograph-cli"]).current_dir(root))?;
    let binary = root.join("target/release/apograph");
    let (mut exports, mut imports) = (Vec::new(), Vec::new());
    for run in 1..=RUNS {
        let (export_s, bytes) = export(repository, branch)?;
        let import_s = import(&binary, repository, branch, copies)?;
        println!("run {run}: fast-export {export_s:.2} s ({bytes} bytes), import {import_s:.2} s");
        exports.push(export_s);
        imports.push(import_s);
    }
    let (export_s, import_s) = (median(exports), median(imports));
    let with = if copies { " with a replica and a staging server" } else { "" };
    println!(
        "medians of {RUNS}: fast-export {export_s:.2} s, import{with} {import_s:.2} s, ratio {:.2}",
        export_s / import_s
    );
    Ok(())
}

fn export(repository: &str, branch: &str) -> Result<(f64, String), String> {
    let started = Instant::now();
    let mut git = Command::new("git")
        .args(["-C", repository, "fast-export", "--signed-tags=strip", "-M", branch])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("git: {error}"))?;
    let stream = git.stdout.take().ok_or("git has no output")?;
    let count =
        Command::new("wc").arg("-c").stdin(stream).output().map_err(|error| format!("wc: {error}"))?;
    git.wait().map_err(|error| format!("git: {error}"))?;
    Ok((started.elapsed().as_secs_f64(), String::from_utf8_lossy(&count.stdout).trim().to_owned()))
}

fn import(binary: &Path, repository: &str, branch: &str, copies: bool) -> Result<f64, String> {
    let dir = std::env::temp_dir().join(format!("apograph-import-rate-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    let primary = Server::start(binary, &dir, "primary", None)?;
    let mut others = Vec::new();
    if copies {
        for role in ["replica", "staging"] {
            others.push(Server::start(binary, &dir, role, Some(&primary))?);
        }
    }
    let mut command = Command::new(binary);
    command.args(["import", "git", repository, "--branch", branch, "--server", &primary.url]);
    let started = Instant::now();
    sound(command.arg("--token-file").arg(primary.folder.join("tokens/admin.token")))?;
    let seconds = started.elapsed().as_secs_f64();
    drop((primary, others));
    let _ = std::fs::remove_dir_all(&dir);
    Ok(seconds)
}

/// A server for as long as this lives.
struct Server {
    child: Child,
    folder: PathBuf,
    url: String,
}

impl Server {
    fn start(binary: &Path, dir: &Path, role: &str, source: Option<&Server>) -> Result<Server, String> {
        let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = listener.map_err(|error| format!("no port: {error}"))?;
        let folder = dir.join(role);
        let mut init = Command::new(binary);
        init.args(["init", "--role", role, "--listen", &address.to_string(), "--dir"]).arg(&folder);
        if let Some(source) = source {
            init.args(["--source", &source.url, "--source-token-file"]);
            init.arg(source.folder.join(format!("tokens/link-{role}.token")));
        }
        sound(&mut init)?;
        let mut serve = Command::new(binary);
        serve.arg("serve").arg("--dir").arg(&folder).stdout(Stdio::null()).stderr(Stdio::null());
        let child = serve.spawn().map_err(|error| format!("serve: {error}"))?;
        let server = Server { child, folder, url: format!("http://{address}") };
        for _ in 0..200 {
            if std::net::TcpStream::connect(address).is_ok() {
                return Ok(server);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(format!("the {role} does not answer"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn sound(command: &mut Command) -> Result<(), String> {
    let status = command.stdout(Stdio::null()).status().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}")) }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
