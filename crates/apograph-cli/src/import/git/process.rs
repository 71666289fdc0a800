//! A git child process: started with a fixed environment, read as a stream, judged by its exit status.

use std::ffi::OsStr;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;

use super::error::GitError;
use super::limits::STDERR_BYTES_MAX;

/// Settings of the user or the repository that would change what git writes.
const SETTINGS: [&str; 4] =
    ["core.quotePath=true", "core.fsmonitor=false", "diff.renameLimit=1000", "i18n.logOutputEncoding=UTF-8"];

/// Variables that would point git at another repository, another history or another output.
const VARIABLES_REMOVED: [&str; 12] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_GRAFT_FILE",
    "GIT_SHALLOW_FILE",
    "GIT_TRACE",
    "GIT_DIFF_OPTS",
    "GIT_EXTERNAL_DIFF",
];

/// A running git. Dropped before [`GitProcess::finish`], it is killed and waited for.
#[derive(Debug)]
pub(crate) struct GitProcess {
    command: &'static str,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    stderr: Option<JoinHandle<Vec<u8>>>,
}

impl GitProcess {
    /// Starts `git COMMAND ARGUMENTS` on the repository at `path`, an absolute path.
    pub(crate) fn start<A: AsRef<OsStr>>(
        path: &Path,
        command: &'static str,
        arguments: &[A],
    ) -> Result<GitProcess, GitError> {
        let mut child = prepare(path)
            .arg(command)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(GitError::Spawn)?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().expect("standard output was piped above");
        let stderr = child.stderr.take().map(|stderr| std::thread::spawn(move || read_tail(stderr)));
        Ok(GitProcess { command, child, stdin, stdout: BufReader::with_capacity(64 * 1024, stdout), stderr })
    }

    /// The process's standard output.
    pub(crate) fn stdout(&mut self) -> &mut BufReader<ChildStdout> {
        &mut self.stdout
    }

    /// The process's standard input, until [`GitProcess::finish`].
    pub(crate) fn stdin(&mut self) -> Result<&mut ChildStdin, GitError> {
        let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
        self.stdin.as_mut().ok_or_else(|| GitError::Io { command: self.command, source: closed() })
    }

    /// The subcommand, for messages.
    pub(crate) fn command(&self) -> &'static str {
        self.command
    }

    /// Waits for the end; a status other than success is an error that carries standard error.
    pub(crate) fn finish(&mut self) -> Result<(), GitError> {
        self.stdin = None;
        let status = self.child.wait().map_err(|source| GitError::Io { command: self.command, source })?;
        let stderr = self.stderr.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        if status.success() {
            return Ok(());
        }
        let stderr = String::from_utf8_lossy(&stderr).trim().to_owned();
        Err(GitError::Failed { command: self.command, status: status.to_string(), stderr })
    }

    /// The error to report for `broken`, a failure to read this process's output: if the process itself failed,
    /// its own words say more. Ends the process.
    pub(crate) fn explain<E: From<GitError>>(&mut self, broken: E) -> E {
        // Reading on lets git reach its own end; a git that we killed would only report the signal.
        self.stdin = None;
        let drained = io::copy(&mut self.stdout, &mut io::sink()).is_ok();
        match self.finish() {
            Err(failure) if drained => failure.into(),
            _ => broken,
        }
    }
}

impl Drop for GitProcess {
    fn drop(&mut self) {
        // Both fail only for a process that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `git COMMAND ARGUMENTS` to its end and answers its output without the last line feed.
pub(crate) fn run<A: AsRef<OsStr>>(
    path: &Path,
    command: &'static str,
    arguments: &[A],
) -> Result<String, GitError> {
    let mut process = GitProcess::start(path, command, arguments)?;
    let mut output = Vec::new();
    process.stdout().read_to_end(&mut output).map_err(|source| GitError::Io { command, source })?;
    process.finish()?;
    Ok(String::from_utf8_lossy(&output).trim_end_matches('\n').to_owned())
}

fn prepare(path: &Path) -> Command {
    let mut git = Command::new("git");
    for variable in VARIABLES_REMOVED {
        git.env_remove(variable);
    }
    git.env("LC_ALL", "C")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        // A folder inside some other repository is not that repository.
        .env("GIT_CEILING_DIRECTORIES", path.parent().unwrap_or(path))
        .arg("--no-pager")
        .arg("-C")
        .arg(path);
    for setting in SETTINGS {
        git.arg("-c").arg(setting);
    }
    git
}

/// Reads to the end and keeps the last [`STDERR_BYTES_MAX`] bytes: git says last why it died.
fn read_tail(mut stderr: impl Read) -> Vec<u8> {
    let bytes_max = usize::try_from(STDERR_BYTES_MAX).unwrap_or(usize::MAX);
    let mut tail = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stderr.read(&mut buffer) {
        tail.extend(buffer.iter().take(count));
        let excess = tail.len().saturating_sub(bytes_max);
        tail.drain(..excess);
    }
    tail
}
