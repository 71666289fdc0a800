//! The servers that are compared: how each is started, gets a replica, and is spoken to.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use clap::ValueEnum;

use super::SpeedError;
use super::connection::{Connection, Dialect};
use super::http::Http;
use super::postgres::Postgres;
use crate::port::Port;
use crate::process::Server;

/// A kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Peer {
    /// Ours.
    Apograph,
    /// The least that does the work, spoken to in HTTP.
    Floor,
    /// PostgreSQL with streaming standbys, as Debian ships it.
    Postgres,
}

impl Peer {
    /// For tables.
    pub fn name(self) -> &'static str {
        match self {
            Peer::Apograph => "apograph",
            Peer::Floor => "floor",
            Peer::Postgres => "postgres",
        }
    }
}

/// A primary and its replicas. Dropping it ends their processes.
#[derive(Debug)]
pub struct Cluster {
    nodes: Nodes,
    root: PathBuf,
}

#[derive(Debug)]
enum Nodes {
    Apograph(Vec<Server>),
    Floor(Vec<FloorNode>),
    Postgres(Postgres),
}

#[derive(Debug)]
struct FloorNode {
    program: PathBuf,
    port: Port,
    folder: PathBuf,
    process: Option<Child>,
}

/// Names of Apograph's servers; the first is the primary.
const NAMES: [&str; 9] = ["primary", "copy1", "copy2", "copy3", "copy4", "copy5", "copy6", "copy7", "copy8"];

impl Cluster {
    /// Starts a primary in an empty folder. `program` is the `apograph-bench` that knows how to be a floor.
    pub async fn start(peer: Peer, root: &Path, program: &Path) -> Result<Cluster, SpeedError> {
        std::fs::create_dir_all(root)?;
        let nodes = match peer {
            Peer::Apograph => {
                let primary = Server::init(root, NAMES[0], "primary", None, 1);
                primary.start();
                Nodes::Apograph(vec![primary])
            }
            Peer::Floor => Nodes::Floor(vec![FloorNode::new(program, root, 0, None)?]),
            Peer::Postgres => {
                let postgres = Postgres::start(root)?;
                postgres.make_table().await?;
                Nodes::Postgres(postgres)
            }
        };
        let cluster = Cluster { nodes, root: root.to_owned() };
        cluster.until_it_answers(0).await?;
        Ok(cluster)
    }

    /// Attaches one more replica, empty, and lets it come.
    pub async fn attach(&mut self) -> Result<(), SpeedError> {
        match &mut self.nodes {
            Nodes::Apograph(servers) => {
                let name = NAMES[servers.len()];
                let replica =
                    Server::init(&self.root, name, "replica", Some((&servers[0], "link-replica")), 1);
                replica.start();
                servers.push(replica);
            }
            Nodes::Floor(nodes) => {
                let (program, source) = (nodes[0].program.clone(), nodes[0].port.number);
                let replica = FloorNode::new(&program, &self.root, nodes.len(), Some(source))?;
                nodes.push(replica);
            }
            Nodes::Postgres(postgres) => postgres.attach()?,
        }
        Ok(())
    }

    /// Ends a replica's process in order; its data stays.
    pub fn stop(&mut self, node: usize) -> Result<(), SpeedError> {
        match &mut self.nodes {
            Nodes::Apograph(servers) => servers[node].stop(),
            Nodes::Floor(nodes) => nodes[node].end()?,
            Nodes::Postgres(postgres) => postgres.stop(node)?,
        }
        Ok(())
    }

    /// Starts a replica that was stopped, and does not wait.
    pub fn start_again(&mut self, node: usize) -> Result<(), SpeedError> {
        match &mut self.nodes {
            Nodes::Apograph(servers) => servers[node].start(),
            Nodes::Floor(nodes) => {
                let source = nodes[0].port.number;
                nodes[node].start((node > 0).then_some(source))?;
            }
            Nodes::Postgres(postgres) => postgres.boot(node)?,
        }
        Ok(())
    }

    /// A connection to the primary (node 0) or a replica.
    pub(super) async fn connect(&self, node: usize) -> Result<Connection, SpeedError> {
        Ok(match &self.nodes {
            Nodes::Apograph(servers) => {
                let token = std::fs::read_to_string(servers[node].token(if node == 0 {
                    "editor"
                } else {
                    "reader"
                }))?;
                Connection::Http(
                    Http::connect(servers[node].port, Some(token.trim())).await?,
                    Dialect::Apograph,
                )
            }
            Nodes::Floor(nodes) => {
                Connection::Http(Http::connect(nodes[node].port.number, None).await?, Dialect::Floor)
            }
            Nodes::Postgres(postgres) => Connection::Postgres(Arc::new(postgres.connect(node).await?)),
        })
    }

    /// Waits until a node takes connections and answers.
    async fn until_it_answers(&self, node: usize) -> Result<(), SpeedError> {
        let begun = tokio::time::Instant::now();
        loop {
            let found = match self.connect(node).await {
                Ok(mut connection) => connection.get(u64::MAX >> 32).await,
                Err(error) => Err(error),
            };
            match found {
                Ok(_) => return Ok(()),
                Err(error) if begun.elapsed() > super::PATIENCE => return Err(error),
                Err(_) => tokio::time::sleep(super::LOOK_AGAIN).await,
            }
        }
    }

    /// Processes of the primary, and of the replicas.
    pub fn processes(&self) -> (Vec<u32>, Vec<u32>) {
        let mut all: Vec<u32> = match &self.nodes {
            Nodes::Apograph(servers) => servers.iter().filter_map(Server::process_id).collect(),
            Nodes::Floor(nodes) => {
                nodes.iter().filter_map(|node| Some(node.process.as_ref()?.id())).collect()
            }
            Nodes::Postgres(postgres) => postgres.processes(),
        };
        let replicas = all.split_off(1.min(all.len()));
        (all, replicas)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Replicas first: they would miss their source.
        match &mut self.nodes {
            Nodes::Apograph(servers) => while servers.pop().is_some() {},
            Nodes::Floor(nodes) => while nodes.pop().is_some() {},
            Nodes::Postgres(_) => {}
        }
    }
}

impl FloorNode {
    fn new(program: &Path, root: &Path, number: usize, source: Option<u16>) -> Result<FloorNode, SpeedError> {
        let folder = root.join(format!("floor{number}"));
        let mut node = FloorNode { program: program.to_owned(), port: Port::free()?, folder, process: None };
        node.start(source)?;
        Ok(node)
    }

    fn start(&mut self, source: Option<u16>) -> Result<(), SpeedError> {
        let mut command = Command::new(&self.program);
        command.arg("floor").arg("--dir").arg(&self.folder).args(["--port", &self.port.number.to_string()]);
        if let Some(source) = source {
            command.args(["--source", &source.to_string()]);
        }
        self.process = Some(command.stdin(Stdio::null()).spawn()?);
        Ok(())
    }

    fn end(&mut self) -> Result<(), SpeedError> {
        if let Some(mut process) = self.process.take() {
            process.kill()?;
            process.wait()?;
        }
        Ok(())
    }
}

impl Drop for FloorNode {
    fn drop(&mut self) {
        // It holds nothing that a kill would lose.
        let _ = self.end();
    }
}
