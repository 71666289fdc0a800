//! PostgreSQL as Debian 12 ships it: a primary, and streaming standbys made by `pg_basebackup`, each with a slot.
//! Every commit is synced (`synchronous_commit = on`, `fsync = on`); otherwise as an administrator of this machine would
//! set it: 2 GB of shared buffers, compression by lz4, checkpoints far apart.

use std::fs;
use std::ops::Range;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tokio_postgres::{Client, NoTls, Statement};

use super::SpeedError;
use super::texts::{Texts, key};
use crate::port::Port;

const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
/// The programs refuse to run as root.
const USER: &str = "postgres";

/// A primary and its standbys.
#[derive(Debug)]
pub(super) struct Postgres {
    root: PathBuf,
    ports: Vec<Port>,
}

/// A connection with its statements prepared.
#[derive(Debug)]
pub(super) struct Session {
    client: Client,
    insert: Statement,
    insert_many: Statement,
    select: Statement,
}

impl Postgres {
    /// Makes and starts a primary.
    pub(super) fn start(root: &Path) -> Result<Postgres, SpeedError> {
        if !Path::new(PROGRAMS).join("initdb").exists() {
            let what = format!("{PROGRAMS} is not there: install postgresql-15");
            return Err(SpeedError::Absent(what));
        }
        let root = root.join("postgres");
        fs::create_dir_all(&root)?;
        if is_root() {
            let ids = Command::new("id").args(["-u", USER]).output()?.stdout;
            let id = String::from_utf8_lossy(&ids).trim().parse().ok();
            chown(&root, id, id)?;
            // The way there must be open, too.
            done(Command::new("chmod").arg("a+rx").args(root.ancestors().take(4)))?;
        }
        let postgres = Postgres { root, ports: vec![Port::free()?] };
        let made = postgres.folder(0);
        done(
            program("initdb")
                .args(["-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C", "-U", USER, "-D"])
                .arg(made),
        )?;
        postgres.configure(0)?;
        postgres.boot(0)?;
        Ok(postgres)
    }

    /// The table of documents, as soon as the primary takes connections.
    pub(super) async fn make_table(&self) -> Result<(), SpeedError> {
        let begun = tokio::time::Instant::now();
        let client = loop {
            match self.client(0).await {
                Ok(client) => break client,
                Err(error) if begun.elapsed() > super::PATIENCE => return Err(error),
                Err(_) => tokio::time::sleep(super::LOOK_AGAIN).await,
            }
        };
        client
            .batch_execute("create table docs (key text collate \"C\" primary key, doc text not null)")
            .await?;
        Ok(())
    }

    /// One more standby: its backup is part of it.
    pub(super) fn attach(&mut self) -> Result<(), SpeedError> {
        let node = self.ports.len();
        self.ports.push(Port::free()?);
        let slot = format!("slot{node}");
        let mut backup = program("pg_basebackup");
        backup.args([
            "-h",
            "127.0.0.1",
            "-U",
            USER,
            "-R",
            "-X",
            "stream",
            "-C",
            "-S",
            &slot,
            "--checkpoint=fast",
        ]);
        done(backup.args(["-p", &self.ports[0].number.to_string(), "-D"]).arg(self.folder(node)))?;
        self.configure(node)?;
        self.boot(node)
    }

    /// Starts a node, and does not wait for it.
    pub(super) fn boot(&self, node: usize) -> Result<(), SpeedError> {
        let mut start = program("pg_ctl");
        start
            .arg("-D")
            .arg(self.folder(node))
            .arg("-l")
            .arg(self.root.join(format!("log{node}")))
            .args(["-W", "start"]);
        done(&mut start)
    }

    /// Stops a node in order.
    pub(super) fn stop(&self, node: usize) -> Result<(), SpeedError> {
        self.end(node, "fast")
    }

    fn end(&self, node: usize, how: &str) -> Result<(), SpeedError> {
        done(program("pg_ctl").arg("-D").arg(self.folder(node)).args(["-m", how, "-t", "120", "stop"]))
    }

    /// Ids of the first process of each node.
    pub(super) fn processes(&self) -> Vec<u32> {
        let first = |node| {
            let lines = fs::read_to_string(self.folder(node).join("postmaster.pid")).ok()?;
            lines.lines().next()?.trim().parse().ok()
        };
        (0..self.ports.len()).filter_map(first).collect()
    }

    /// A connection for documents.
    pub(super) async fn connect(&self, node: usize) -> Result<Session, SpeedError> {
        let client = self.client(node).await?;
        let insert = client.prepare("insert into docs values ($1, $2)").await?;
        let insert_many =
            client.prepare("insert into docs select * from unnest($1::text[], $2::text[])").await?;
        let select = client.prepare("select doc from docs where key = $1").await?;
        Ok(Session { client, insert, insert_many, select })
    }

    async fn client(&self, node: usize) -> Result<Client, SpeedError> {
        let settings = format!("host=127.0.0.1 port={} user={USER} dbname=postgres", self.ports[node].number);
        let (client, connection) = tokio_postgres::connect(&settings, NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    fn folder(&self, node: usize) -> PathBuf {
        self.root.join(format!("node{node}"))
    }

    fn configure(&self, node: usize) -> Result<(), SpeedError> {
        let path = self.folder(node).join("postgresql.auto.conf");
        let mut text = fs::read_to_string(&path).unwrap_or_default();
        let buffers = if node == 0 { "2GB" } else { "256MB" };
        text.push_str(&format!(
            "\nlisten_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = ''\nmax_connections = 400\n\
             shared_buffers = {buffers}\nfsync = on\nsynchronous_commit = on\nfull_page_writes = on\n\
             wal_level = replica\nwal_compression = lz4\ndefault_toast_compression = lz4\nmax_wal_size = 24GB\n\
             checkpoint_timeout = 30min\nmax_wal_senders = 20\nmax_replication_slots = 20\nhot_standby = on\n\
             logging_collector = off\n",
            self.ports[node].number
        ));
        Ok(fs::write(path, text)?)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        for node in (0..self.ports.len()).rev() {
            // Its data goes with the run.
            let _ = self.end(node, "immediate");
        }
    }
}

impl Session {
    /// Saves one document.
    pub(super) async fn put(&self, key: &str, document: &[u8]) -> Result<(), SpeedError> {
        let document = std::str::from_utf8(document).map_err(std::io::Error::other)?;
        self.client.execute(&self.insert, &[&key, &document]).await?;
        Ok(())
    }

    /// Saves many in one transaction.
    pub(super) async fn put_many(&self, texts: &Texts, numbers: Range<u64>) -> Result<(), SpeedError> {
        let keys: Vec<String> = numbers.clone().map(key).collect();
        let documents = numbers.map(|number| String::from_utf8(texts.request(number)));
        let documents = documents.collect::<Result<Vec<String>, _>>().map_err(std::io::Error::other)?;
        self.client.execute(&self.insert_many, &[&keys, &documents]).await?;
        Ok(())
    }

    /// Whether a document is there; it is brought.
    pub(super) async fn get(&self, key: &str) -> Result<bool, SpeedError> {
        let row = self.client.query_opt(&self.select, &[&key]).await?;
        Ok(row.is_some_and(|row| !row.get::<_, &str>(0).is_empty()))
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|about| std::os::unix::fs::MetadataExt::uid(&about) == 0)
}

/// One of PostgreSQL's programs, as a user that it takes.
fn program(name: &str) -> Command {
    let path = Path::new(PROGRAMS).join(name);
    if !is_root() {
        return Command::new(path);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", USER, "--"]).arg(path);
    command
}

fn done(command: &mut Command) -> Result<(), SpeedError> {
    // A server that `pg_ctl` starts would hold pipes open.
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(SpeedError::Refused(format!("{command:?}: {status}"))) }
}
