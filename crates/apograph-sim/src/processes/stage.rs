//! Servers, the lines between them, and clients.

use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use apograph_bench::appends::clients::{Clients, ClientsPlan};
use apograph_bench::failover::history::Recorder;
use apograph_bench::namespace::Namespace;
use apograph_bench::network::Network;
use apograph_bench::process::{Server, eventually};
use apograph_bench::small_disk::SmallDisk;

use super::place::{Lying, Place};
use super::plan::{CLIENTS, PRIMARY, Plan, REPLICA, SERVERS, STAGING};
use super::{Figures, fault};

/// Clients write undisturbed for so long before and after everything.
const UNDISTURBED: Duration = Duration::from_millis(500);
/// A server that was started answers within this time, or never.
const START_MAX: Duration = Duration::from_secs(60);

/// Everything of a run. Its servers end before their disks.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) servers: Vec<Server>,
    /// To the primary, for clients; then to the source of each copy.
    pub(super) lines: Vec<Network>,
    pub(super) places: Vec<Place>,
    /// Where one of the servers lives, if there can be namespaces here.
    pub(super) namespace: Option<Arc<Namespace>>,
    pub(super) recorder: Arc<Recorder>,
    pub(super) plan: Plan,
    /// Of a full small disk.
    pub(super) filler: Option<PathBuf>,
}

impl Stage {
    /// Makes and starts the servers.
    pub(super) fn set_up(plan: &Plan, root: &Path, figures: &mut Figures) -> Stage {
        let places: Vec<Place> =
            (0..SERVERS.len()).map(|server| place(plan, root, server, figures)).collect();
        let namespace = namespace(figures);
        let mut servers: Vec<Server> = Vec::new();
        let mut lines = Vec::new();
        for (number, name) in SERVERS.into_iter().enumerate() {
            let root = match &places[number] {
                Place::Small(disk) => disk.path(),
                Place::Folder | Place::Lying(_) => root,
            };
            let (role, of, token) = match number {
                PRIMARY => ("primary", None, ""),
                REPLICA => ("replica", Some(PRIMARY), "link-replica"),
                _ => ("staging", Some(plan.staging_of), "link-staging"),
            };
            let source = of.map(|of| (&servers[of], token));
            let mut server = Server::init(root, name, role, source, plan.partitions);
            let here = match &namespace {
                Some(namespace) if number == plan.apart => {
                    server.move_into(Arc::clone(namespace));
                    // Clients of the primary stay where they are.
                    of.map_or(Ipv4Addr::LOCALHOST, |_| namespace.outside())
                }
                _ => Ipv4Addr::LOCALHOST,
            };
            let line = Network::between(here, of.map_or(server.address(), |of| servers[of].address()));
            server.configure(|database| {
                database["segment_bytes_max"] = plan.segment_bytes.into();
                database["write_memory_bytes"] = (u64::from(plan.partitions) << 20).into();
            });
            if let Some(of) = of {
                // A token of its own: the source's disk may be away.
                let kept = root.join(format!("{name}-source.token"));
                std::fs::copy(servers[of].token(token), &kept).expect("the source has tokens");
                std::fs::set_permissions(&kept, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
                server.configure(|database| {
                    database["source"]["url"] = line.url().into();
                    database["source"]["token_file"] = kept.to_string_lossy().into();
                });
            }
            servers.push(server);
            lines.push(line);
        }
        // What was done to their folders here is not what is looked at.
        places.iter().for_each(|place| {
            if let Place::Lying(disk) = place {
                disk.settle();
            }
        });
        let recorder = Arc::default();
        let plan = plan.clone();
        let stage = Stage { servers, lines, places, namespace, recorder, plan, filler: None };
        stage.servers.iter().for_each(Server::start);
        (0..SERVERS.len()).for_each(|server| stage.until_it_answers(server));
        stage
    }

    /// Clients who begin to write.
    pub(super) fn clients(&self) -> Clients {
        let plan = ClientsPlan {
            clients: self.plan.clients,
            pace: self.plan.pace,
            seed: self.plan.seed,
            draft_bytes_max: self.plan.draft_bytes_max,
        };
        let line = self.lines[CLIENTS].url();
        Clients::start(
            plan,
            (&self.servers[PRIMARY], &line),
            &[&self.servers[REPLICA]],
            Arc::clone(&self.recorder),
        )
    }

    /// Waits until clients wrote for a while.
    pub(super) fn undisturbed(&self) {
        let (began, before) = (Instant::now(), self.recorder.saved());
        eventually("clients write", || {
            began.elapsed() >= UNDISTURBED && self.recorder.saved() > before + self.plan.clients as usize
        });
    }

    /// Nothing is wrong any more, and everybody runs.
    pub(super) fn heal(&mut self) {
        self.lines.iter().for_each(Network::heal);
        if let Some(namespace) = &self.namespace {
            namespace.heal();
        }
        fault::heal_disks(self);
        for number in 0..SERVERS.len() {
            if self.servers[number].has_ended() {
                self.restart(number);
            }
        }
        (0..SERVERS.len()).for_each(|server| self.until_it_answers(server));
    }

    /// Ends it, if it has not ended, and starts it.
    pub(super) fn restart(&self, server: usize) {
        self.servers[server].kill();
        self.servers[server].start();
    }

    pub(super) fn until_it_answers(&self, number: usize) {
        let (server, began) = (&self.servers[number], Instant::now());
        while server.status().is_none() {
            assert!(!server.has_ended(), "the {} does not start:\n{}", server.name, server.log());
            assert!(began.elapsed() < START_MAX, "the {} does not answer:\n{}", server.name, server.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The disk that lies, if one can be mounted here.
    pub(super) fn lying(&mut self) -> Option<&mut Lying> {
        match &mut self.places[self.plan.lying] {
            Place::Lying(disk) => Some(disk),
            Place::Folder | Place::Small(_) => None,
        }
    }

    pub(super) fn copies(&self) -> [(&Server, &'static str); 2] {
        [(&self.servers[REPLICA], "full"), (&self.servers[STAGING], "published")]
    }
}

fn namespace(figures: &mut Figures) -> Option<Arc<Namespace>> {
    let made = Namespace::new().map(Arc::new);
    made.map_err(|reason| {
        *figures.skipped.entry(format!("network namespaces: {reason}")).or_default() += 1;
    })
    .ok()
}

/// What cannot be mounted is a folder like any other.
fn place(plan: &Plan, root: &Path, server: usize, figures: &mut Figures) -> Place {
    let skipped = if server == plan.lying {
        match Lying::mount(&root.join(SERVERS[server])) {
            Ok(disk) => return Place::Lying(disk),
            Err(error) => format!("a disk that lies: FUSE cannot be mounted here: {error}"),
        }
    } else if Some(server) == plan.small {
        match SmallDisk::mount(&root.join("small")) {
            Some(disk) => return Place::Small(disk),
            None => "a small disk: mounting a tmpfs is not permitted here".to_owned(),
        }
    } else {
        return Place::Folder;
    };
    *figures.skipped.entry(skipped).or_default() += 1;
    Place::Folder
}
