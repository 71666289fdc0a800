//! Servers and commands as processes of their own.
//!
//! The program is the `apograph` that was built beside the running one.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use apograph_client::client::ClientSettings;
use apograph_client::format::Durability;
use apograph_client::types::Status;
use apograph_client::{Client, Secret};
use serde_json::Value;

use crate::namespace::Namespace;
use crate::port::Port;

const PATIENCE: Duration = Duration::from_secs(120);
/// Last lines of a log that are shown.
const LOG_LINES: usize = 20;

/// A server process that is started again as often as it is killed. Dropping it ends it.
#[derive(Debug)]
pub struct Server {
    /// For people, and the name of its folder.
    pub name: &'static str,
    /// Its data folder; its log is beside it.
    pub folder: PathBuf,
    /// It listens on loopback, or [where it lives](Server::move_into).
    pub port: u16,
    namespace: Option<Arc<Namespace>>,
    // Kept while it does not run.
    _reserved: Port,
    child: Mutex<Option<Child>>,
    resident_peak: Mutex<u64>,
}

impl Server {
    /// Makes a data folder for a server.
    pub fn init(
        root: &Path,
        name: &'static str,
        role: &str,
        source: Option<(&Server, &str)>,
        partitions: u16,
    ) -> Server {
        let reserved = Port::free().unwrap();
        let port = reserved.number;
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
        Server {
            name,
            folder,
            port,
            namespace: None,
            _reserved: reserved,
            child: Mutex::default(),
            resident_peak: Mutex::default(),
        }
    }

    /// A server whose data folder is there already. It keeps its port.
    pub fn at(root: &Path, name: &'static str) -> Server {
        let folder = root.join(name);
        let listen = settings_of(&folder)["listen"].as_str().unwrap().to_owned();
        let reserved = Port::reserve(listen.rsplit(':').next().unwrap().parse().unwrap()).unwrap();
        let port = reserved.number;
        Server {
            name,
            folder,
            port,
            namespace: None,
            _reserved: reserved,
            child: Mutex::default(),
            resident_peak: Mutex::default(),
        }
    }

    /// From its next start on it lives there, and answers there.
    pub fn move_into(&mut self, namespace: Arc<Namespace>) {
        self.namespace = Some(namespace);
        let mut settings = settings_of(&self.folder);
        // Its address may be away when it starts.
        settings["listen"] = format!("{}:{}", Ipv4Addr::UNSPECIFIED, self.port).into();
        settings["url"] = self.url().into();
        fs::write(self.folder.join("server.json"), serde_json::to_vec_pretty(&settings).unwrap()).unwrap();
    }

    /// Changes the settings of its database `main`; they count from the next start.
    pub fn configure(&self, change: impl FnOnce(&mut Value)) {
        let mut settings = settings_of(&self.folder);
        change(&mut settings["databases"]["main"]);
        fs::write(self.folder.join("server.json"), serde_json::to_vec_pretty(&settings).unwrap()).unwrap();
    }

    /// Gets its documents from this port from the next start on, with the token of `source`.
    pub fn point(&self, port: u16, source: &Server) {
        let token = source.token("link-replica");
        self.configure(|database| {
            database["source"]["url"] = format!("http://127.0.0.1:{port}").into();
            database["source"]["token_file"] = token.to_string_lossy().into();
        });
    }

    /// Where it answers.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The same, as an address.
    pub fn address(&self) -> SocketAddrV4 {
        let namespace = self.namespace.as_ref();
        SocketAddrV4::new(namespace.map_or(Ipv4Addr::LOCALHOST, |namespace| namespace.address()), self.port)
    }

    /// The file of its token for a role.
    pub fn token(&self, role: &str) -> PathBuf {
        self.folder.join("tokens").join(format!("{role}.token"))
    }

    /// Starts it, and does not wait.
    pub fn start(&self) {
        self.start_as(apograph().arg("serve").arg("--dir").arg(&self.folder));
    }

    /// The same, as another program.
    pub fn start_as(&self, command: &mut Command) {
        let log = File::options().create(true).append(true).open(self.folder.with_extension("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = match &self.namespace {
            None => command.spawn(),
            Some(namespace) => namespace.within(|| command.spawn()).unwrap(),
        };
        *self.child.lock().unwrap() = Some(child.unwrap());
    }

    /// Waits until the server answers.
    pub fn wait(&self) {
        let client = self.client("reader");
        eventually(&format!("{} answers", self.name), || block_on(client.live()).is_ok());
    }

    /// SIGKILL.
    pub fn kill(&self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            self.note_memory(child.id());
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&self) {
        let Some(mut child) = self.child.lock().unwrap().take() else { return };
        self.note_memory(child.id());
        done(Command::new("kill").arg(child.id().to_string()));
        assert!(child.wait().unwrap().success(), "{} did not stop in order:\n{}", self.name, self.log());
    }

    /// Whether its process was started and not ended by this program; it may have ended by itself.
    pub fn process_id(&self) -> Option<u32> {
        self.child.lock().unwrap().as_ref().map(Child::id)
    }

    /// Its process ended by itself.
    pub fn has_ended(&self) -> bool {
        self.child.lock().unwrap().as_mut().is_some_and(|child| child.try_wait().unwrap().is_some())
    }

    /// The last lines of its log.
    pub fn log(&self) -> String {
        let log = self.whole_log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    /// Its log, of all of its processes.
    pub fn whole_log(&self) -> String {
        fs::read_to_string(self.folder.with_extension("log")).unwrap_or_default()
    }

    /// What it says of itself, if it answers.
    pub fn status(&self) -> Option<Status> {
        block_on(self.client("reader").status()).ok()
    }

    /// A client with its token for a role.
    pub fn client(&self, role: &str) -> Client {
        let secret = Secret::from_file(&self.token(role)).unwrap();
        let mut settings = ClientSettings::new(self.url()).with_secret(secret);
        settings.idle_timeout = Duration::from_secs(20);
        Client::new(settings).unwrap()
    }

    /// The same, which tries once and does not wait long.
    pub fn impatient_client(&self, role: &str) -> Client {
        self.impatient_client_with(role, None, None)
    }

    /// The same, whose writes are answered when they are this durable, or after so long.
    pub fn impatient_client_with(
        &self,
        role: &str,
        durability: Option<Durability>,
        within: Option<Duration>,
    ) -> Client {
        let secret = Secret::from_file(&self.token(role)).unwrap();
        let mut settings = ClientSettings::new(self.url()).with_secret(secret);
        settings.idle_timeout = Duration::from_secs(20);
        settings.connect_timeout = Duration::from_secs(2);
        settings.retries = 0;
        Client::new(settings.with_durability(durability, within)).unwrap()
    }

    /// Others are told that it answers at this port, from the next start on.
    pub fn appear_at(&self, port: u16) {
        let mut settings = settings_of(&self.folder);
        settings["url"] = format!("http://127.0.0.1:{port}").into();
        fs::write(self.folder.join("server.json"), serde_json::to_vec_pretty(&settings).unwrap()).unwrap();
    }

    /// A command that speaks to this server.
    pub fn command(&self, role: &str, arguments: &[&str]) -> Command {
        let mut command = apograph();
        command.args(arguments).args(["--server", &self.url(), "--token-file"]).arg(self.token(role));
        command
    }

    /// Largest resident memory of any of its processes so far, in MiB.
    pub fn resident_peak_mib(&self) -> u64 {
        if let Some(process) = self.process_id() {
            self.note_memory(process);
        }
        *self.resident_peak.lock().unwrap() / 1024
    }

    /// Resident memory of its process now, in MiB; zero when there is none.
    pub fn resident_mib(&self) -> u64 {
        self.process_id().map_or(0, |process| memory_kib(process, "VmRSS:") / 1024)
    }

    /// Forgets the peak, so that the next phase has its own. The kernel's count of a running process begins anew.
    pub fn forget_peak(&self) {
        *self.resident_peak.lock().unwrap() = 0;
        if let Some(process) = self.process_id() {
            fs::write(format!("/proc/{process}/clear_refs"), "5").unwrap();
        }
    }

    fn note_memory(&self, process: u32) {
        let kib = memory_kib(process, "VmHWM:");
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

/// A line of what the kernel says of a process.
fn memory_kib(process: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

fn settings_of(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("server.json")).unwrap()).unwrap()
}

/// Bytes of all files below a folder.
pub fn disk_bytes(folder: &Path) -> u64 {
    files(folder).iter().filter_map(|path| path.metadata().ok()).map(|about| about.len()).sum()
}

/// Every file below a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// The command line, without what the environment would tell it.
pub fn apograph() -> Command {
    let mut command = Command::new(program());
    for variable in ["SERVER", "TOKEN_FILE", "DATABASE", "AGAINST_TOKEN_FILE"] {
        command.env_remove(format!("APOGRAPH_{variable}"));
    }
    command
}

/// `target/debug/apograph`, for `target/debug/apograph-bench` and for `target/debug/deps/servers-…`.
fn program() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let folder = own.parent().unwrap();
    let folder = if folder.ends_with("deps") { folder.parent().unwrap() } else { folder };
    let program = folder.join("apograph");
    assert!(program.exists(), "{} is not built: cargo build -p apograph-cli", program.display());
    program
}

/// Runs a command that must succeed.
pub fn done(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{error}", output.status);
    output
}

/// Polls until `holds`, for a bounded time.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Awaits something in a thread without a runtime.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
