//! Running stores: ours and the peers. One is started when a row first needs it and goes on for
//! the rows behind it that need it too; what a row doesn't need is ended, so that it disturbs
//! nobody.

use std::path::Path;

use super::driver::Driver;
use super::process::{Folder, Server};
use super::{Settings, Trouble, etcd, leasehold, redis};

/// What can be measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Target {
    /// Our cluster as `leasehold dev` makes it.
    Leasehold {
        /// How many nodes it has.
        nodes: u16,
        /// How many shards it is cut into.
        shards: u16,
        /// Whether it has a Lease Manager, and the monitoring for it.
        managed: bool,
    },
    /// One redis-server without any log.
    Redis,
    /// The same as a cluster of one master.
    RedisClusterOfOne,
    /// Three masters, three replicas, each write synced to the log.
    RedisCluster,
    /// Three members.
    Etcd,
    /// Threads without a store.
    Floor,
}

impl Target {
    /// Our cluster with default settings.
    pub(super) const OURS: Self = Self::cut(16);

    /// The same, cut into so many shards.
    pub(super) const fn cut(shards: u16) -> Self {
        Self::Leasehold { nodes: 3, shards, managed: true }
    }

    pub(super) fn name(self) -> String {
        match self {
            Self::OURS => "leasehold".into(),
            Self::Leasehold { nodes, shards, managed } => {
                let managed = if managed { "" } else { "-unmanaged" };
                format!("leasehold-{nodes}-{shards}{managed}")
            }
            Self::Redis => "redis".into(),
            Self::RedisClusterOfOne => "redis-cluster-of-one".into(),
            Self::RedisCluster => "redis-cluster".into(),
            Self::Etcd => "etcd".into(),
            Self::Floor => "floor".into(),
        }
    }
}

/// A running store. Ends with its value, and so does its data.
pub(super) struct Store {
    pub(super) target: Target,
    /// Where clients connect.
    pub(super) ports: Vec<u16>,
    /// The processes whose CPU time counts.
    pub(super) pids: Vec<u32>,
    /// In the order of declaration: processes end before their folder goes.
    pub(super) servers: Vec<Server>,
    pub(super) folder: Folder,
}

impl Store {
    pub(super) fn start(target: Target, settings: &Settings) -> Result<Self, Trouble> {
        settings.say(&format!("starting {}", target.name()));
        let folder = Folder::new(&settings.dir, &target.name())?;
        match target {
            Target::Leasehold { .. } => leasehold::start(target, folder, settings),
            Target::Redis => redis::start(folder, target),
            Target::RedisClusterOfOne => redis::start_cluster_of_one(folder),
            Target::RedisCluster => redis::start_cluster(folder),
            Target::Etcd => etcd::start(folder, &settings.etcd),
            Target::Floor => Ok(Self::new(target, Vec::new(), Vec::new(), folder)),
        }
    }

    /// One whose servers are the processes that count.
    pub(super) fn new(
        target: Target,
        ports: Vec<u16>,
        servers: Vec<Server>,
        folder: Folder,
    ) -> Self {
        let pids = servers.iter().map(Server::pid).collect();
        Self { target, ports, pids, servers, folder }
    }

    /// The addresses, separated by commas.
    pub(super) fn hosts(&self) -> String {
        let hosts = self.ports.iter().map(|port| format!("127.0.0.1:{port}"));
        hosts.collect::<Vec<_>>().join(",")
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// The stores that run.
pub(super) struct Stores {
    running: Vec<Store>,
}

impl Stores {
    pub(super) fn new() -> Self {
        Self { running: Vec::new() }
    }

    /// Ends all others and starts those that don't run. Returns those that were started.
    pub(super) fn need(
        &mut self,
        targets: &[Target],
        settings: &Settings,
    ) -> Result<Vec<Target>, Trouble> {
        self.running.retain(|store| targets.contains(&store.target));
        let mut started = Vec::new();
        for &target in targets {
            if self.running.iter().all(|store| store.target != target) {
                self.running.push(Store::start(target, settings)?);
                started.push(target);
            }
        }
        Ok(started)
    }

    /// A store for one row alone, filled if it is one that can be: ends all others first.
    pub(super) fn alone(
        &mut self,
        target: Target,
        settings: &Settings,
        driver: &Driver,
    ) -> Result<Store, Trouble> {
        self.clear();
        let store = Store::start(target, settings)?;
        driver.prepare(&store, settings)?;
        Ok(store)
    }

    /// One that runs.
    pub(super) fn get(&self, target: Target) -> Result<&Store, Trouble> {
        let found = self.running.iter().find(|store| store.target == target);
        found.ok_or_else(|| Trouble::Failed(format!("{} does not run", target.name())))
    }

    /// Ends all.
    pub(super) fn clear(&mut self) {
        self.running.clear();
    }
}
