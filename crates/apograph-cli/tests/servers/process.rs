//! Servers and commands as processes of their own.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use apograph_client::client::ClientSettings;
use apograph_client::{Client, Secret};

const PATIENCE: Duration = Duration::from_secs(120);

/// A server process that is started again as often as it is killed. Dropping it ends it.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) folder: PathBuf,
    pub(crate) port: u16,
    child: Mutex<Option<Child>>,
    resident_peak: Mutex<u64>,
}

impl Server {
    /// Makes a data folder for a server.
    pub(crate) fn init(
        root: &Path,
        name: &'static str,
        role: &str,
        source: Option<(&Server, &str)>,
        partitions: u16,
    ) -> Server {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = root.join(name);
        let mut command = apograph();
        command.args(["init", "--name", name, "--role", role, "--listen", &format!("127.0.0.1:{port}")]);
        command.arg("--dir").arg(&folder);
        match source {
            None => drop(command.args(["--partitions", &partitions.to_string()])),
            Some((source, role)) => {
                command.args(["--source", &source.url(), "--source-token-file"]).arg(source.token(role));
            }
        }
        done(&mut command);
        Server { name, folder, port, child: Mutex::default(), resident_peak: Mutex::default() }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn token(&self, role: &str) -> PathBuf {
        self.folder.join("tokens").join(format!("{role}.token"))
    }

    pub(crate) fn start(&self) {
        let log = File::options().create(true).append(true).open(self.folder.with_extension("log")).unwrap();
        let mut command = apograph();
        command.arg("serve").arg("--dir").arg(&self.folder);
        let child =
            command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        *self.child.lock().unwrap() = Some(child);
    }

    /// Waits until the server answers.
    pub(crate) fn wait(&self) {
        let client = self.client("reader");
        eventually(&format!("{} answers", self.name), || block_on(client.live()).is_ok());
    }

    /// SIGKILL.
    pub(crate) fn kill(&self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            self.note_memory(child.id());
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// SIGTERM, and waits for the end.
    pub(crate) fn stop(&self) {
        let Some(mut child) = self.child.lock().unwrap().take() else { return };
        self.note_memory(child.id());
        done(Command::new("kill").arg(child.id().to_string()));
        assert!(child.wait().unwrap().success(), "{} did not stop in order:\n{}", self.name, self.log());
    }

    pub(crate) fn log(&self) -> String {
        let log = fs::read_to_string(self.folder.with_extension("log")).unwrap_or_default();
        log.lines().rev().take(20).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn client(&self, role: &str) -> Client {
        let secret = Secret::from_file(&self.token(role)).unwrap();
        let mut settings = ClientSettings::new(self.url()).with_secret(secret);
        settings.idle_timeout = Duration::from_secs(20);
        Client::new(settings).unwrap()
    }

    /// A command that speaks to this server.
    pub(crate) fn command(&self, role: &str, arguments: &[&str]) -> Command {
        let mut command = apograph();
        command.args(arguments).args(["--server", &self.url(), "--token-file"]).arg(self.token(role));
        command
    }

    /// Largest resident memory of any of its processes so far, in MiB.
    pub(crate) fn resident_peak_mib(&self) -> u64 {
        if let Some(child) = &*self.child.lock().unwrap() {
            self.note_memory(child.id());
        }
        *self.resident_peak.lock().unwrap() / 1024
    }

    fn note_memory(&self, process: u32) {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0);
        let mut peak = self.resident_peak.lock().unwrap();
        *peak = (*peak).max(kib);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- last lines of {}:\n{}", self.name, self.log());
        }
        self.kill();
    }
}

pub(crate) fn apograph() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_apograph"));
    for variable in ["SERVER", "TOKEN_FILE", "DATABASE", "AGAINST_TOKEN_FILE", "ON_TOKEN_FILE"] {
        command.env_remove(format!("APOGRAPH_{variable}"));
    }
    command
}

/// Runs a command that must succeed.
pub(crate) fn done(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{error}", output.status);
    output
}

/// Polls until `holds`, for a bounded time.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
