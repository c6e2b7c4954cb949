//! Instances: containers made from a spec, looked at, ended.

use super::{Docker, by_label, failures};
use crate::{CALL_MAX, EngineError, InstanceSpec, Observed, Status};
use bollard::errors::Error as BollardError;
use bollard::models::{ContainerInspectResponse, ContainerMemoryStats, ContainerState, ContainerStateStatusEnum};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, KillContainerOptionsBuilder, ListContainersOptionsBuilder,
    RemoveContainerOptionsBuilder, StartContainerOptions, StatsOptionsBuilder, StopContainerOptionsBuilder,
    WaitContainerOptionsBuilder,
};
use futures_util::{StreamExt, stream};
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How many instances are looked at together; Docker answers each in a millisecond or two.
const INSPECTS_AT_ONCE: usize = 8;
/// While waiting for an end, look for oneself now and then: a stream that Docker lost never says anything.
const WAIT_LOOK_EVERY: Duration = Duration::from_secs(30);
/// A Docker that is away for longer (it is restarted in a few seconds) ends a wait.
const WAIT_AWAY_MAX: Duration = Duration::from_secs(60);
const WAIT_RETRY: Duration = Duration::from_millis(500);
const REMOVAL_LOOK_EVERY: Duration = Duration::from_millis(100);

impl Docker {
    pub(super) async fn instance_ensure(&self, spec: &InstanceSpec) -> Result<(), EngineError> {
        let name = spec.name.as_str();
        let body = super::spec::body(spec)?;
        let made = self
            .call("make", name, |docker| async move {
                let options = CreateContainerOptionsBuilder::default().name(name).build();
                match docker.create_container(Some(options), body).await {
                    Ok(_) => Ok(true),
                    Err(err) if failures::is_status(&err, 409) => Ok(false),
                    Err(err) => Err(err),
                }
            })
            .await?;
        if made {
            return self.instance_start(name).await;
        }
        match self.instance_inspect(name).await?.map(|there| there.status) {
            Some(Status::Created) => self.instance_start(name).await,
            Some(Status::Running { .. } | Status::Exited { .. }) => Ok(()),
            // It was being removed a moment ago: the caller's next pass makes it.
            None => Err(EngineError::NotFound(name.to_owned())),
        }
    }

    pub(super) async fn instance_start(&self, name: &str) -> Result<(), EngineError> {
        self.call(
            "start",
            name,
            |docker| async move { docker.start_container(name, None::<StartContainerOptions>).await },
        )
        .await
    }

    pub(super) async fn instance_inspect(&self, name: &str) -> Result<Option<Observed>, EngineError> {
        let found = self
            .call("inspect", name, |docker| async move {
                failures::fine(docker.inspect_container(name, None::<InspectContainerOptions>).await.map(Some), &[404])
            })
            .await?;
        Ok(found.map(|there| observed(name, there)))
    }

    /// The layer that the instance writes to, its volumes without a name, and three files that Docker keeps for it outside.
    pub(super) async fn instance_fillable(&self, name: &str) -> Result<Vec<PathBuf>, EngineError> {
        let found = self
            .call("inspect", name, |docker| async move {
                failures::fine(docker.inspect_container(name, None::<InspectContainerOptions>).await.map(Some), &[404])
            })
            .await?;
        Ok(found.map(fillable).unwrap_or_default())
    }

    pub(super) async fn instance_memory(&self, name: &str) -> Result<Option<u64>, EngineError> {
        // One look: without this Docker waits a second for the next, to tell how busy the processors are.
        let options = StatsOptionsBuilder::default().stream(false).one_shot(true).build();
        let found = self
            .call("look at the memory of", name, |docker| async move {
                let first = docker.stats(name, Some(options)).next().await.transpose();
                failures::fine(first, &[404, 409])
            })
            .await?;
        Ok(found.and_then(|stats| stats.memory_stats).and_then(memory_of))
    }

    pub(super) async fn instance_list(&self, key: &str, value: &str) -> Result<Vec<Observed>, EngineError> {
        let options = ListContainersOptionsBuilder::default().all(true).filters(&by_label(key, value)).build();
        let found =
            self.call("list", "instances", |docker| async move { docker.list_containers(Some(options)).await }).await?;
        let names = found.into_iter().filter_map(|one| one.names?.into_iter().next());
        let looks = names.map(|name| async move { self.instance_inspect(name.trim_start_matches('/')).await });
        // One deadline for the whole list, not one for each.
        let all: Vec<_> = timeout(CALL_MAX, stream::iter(looks).buffered(INSPECTS_AT_ONCE).collect())
            .await
            .map_err(|_| EngineError::NotAnswering)?;
        let mut observed: Vec<Observed> = all.into_iter().filter_map(Result::transpose).collect::<Result<_, _>>()?;
        observed.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(observed)
    }

    pub(super) async fn instance_wait(&self, name: &str) -> Result<Status, EngineError> {
        let mut away_since: Option<Instant> = None;
        loop {
            match self.instance_inspect(name).await {
                Ok(None) => return Err(EngineError::NotFound(name.to_owned())),
                Ok(Some(Observed { status: ended @ Status::Exited { .. }, .. })) => return Ok(ended),
                // A wait would be over at once for one that was never started.
                Ok(Some(Observed { status: Status::Created, .. })) => {
                    sleep(WAIT_RETRY).await;
                    continue;
                }
                Ok(Some(Observed { status: Status::Running { .. }, .. })) => away_since = None,
                Err(err @ (EngineError::NotAnswering | EngineError::NotRunning(_))) => {
                    if away_since.get_or_insert_with(Instant::now).elapsed() > WAIT_AWAY_MAX {
                        return Err(err);
                    }
                }
                Err(err) => return Err(err),
            }
            if !self.ended_within(name, WAIT_LOOK_EVERY).await {
                sleep(WAIT_RETRY).await;
            }
        }
    }

    /// Waits for Docker to say that the instance has ended, at most so long. False: it said nothing of the kind.
    async fn ended_within(&self, name: &str, max: Duration) -> bool {
        let ended = async {
            let client = self.client().await.ok()?;
            let options = WaitContainerOptionsBuilder::default().condition("not-running").build();
            client.wait_container(name, Some(options)).next().await
        };
        // An exit code other than 0 is an error to bollard.
        matches!(
            timeout(max, ended).await,
            Ok(Some(Ok(_) | Err(BollardError::DockerContainerWaitError { .. }))) | Err(_)
        )
    }

    pub(super) async fn instance_stop(&self, name: &str, grace: Duration) -> Result<(), EngineError> {
        let seconds = i32::try_from(grace.as_secs() + u64::from(grace.subsec_nanos() > 0)).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::default().t(seconds).build();
        self.call_within(grace + CALL_MAX, "stop", name, |docker| async move {
            failures::fine(docker.stop_container(name, Some(options)).await, &[404])
        })
        .await
    }

    pub(super) async fn instance_kill(&self, name: &str) -> Result<(), EngineError> {
        self.call("kill", name, |docker| async move {
            let options = KillContainerOptionsBuilder::default().signal("SIGKILL").build();
            // 409: it does not run.
            failures::fine(docker.kill_container(name, Some(options)).await, &[404, 409])
        })
        .await
    }

    pub(super) async fn instance_remove(&self, name: &str) -> Result<(), EngineError> {
        self.call("remove", name, |docker| async move {
            loop {
                let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
                match failures::fine(docker.remove_container(name, Some(options)).await, &[404]) {
                    // Somebody's removal is in progress: done when it is gone.
                    Err(err) if failures::is_status(&err, 409) => sleep(REMOVAL_LOOK_EVERY).await,
                    other => return other,
                }
            }
        })
        .await
    }
}

/// What Docker's own tools show: all but files that were read and are not in use, under the names that the two kinds of
/// control groups have for them. What does not run uses nothing, and has no numbers.
fn memory_of(stats: ContainerMemoryStats) -> Option<u64> {
    let idle = stats.stats.and_then(|all| all.get("total_inactive_file").or(all.get("inactive_file")).copied());
    let used = stats.usage.filter(|usage| *usage > 0)?;
    Some(used.saturating_sub(idle.unwrap_or(0)))
}

fn fillable(there: ContainerInspectResponse) -> Vec<PathBuf> {
    let layer = there.graph_driver.and_then(|driver| driver.data.get("UpperDir").cloned()).or_else(|| {
        // Docker's newer store does not say where; the kernel does, while the instance runs.
        let pid = there.state.as_ref()?.pid.filter(|pid| *pid > 0)?;
        upper_layer(&std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).ok()?)
    });
    let volumes = there.mounts.unwrap_or_default().into_iter();
    let volumes = volumes.filter(|mount| mount.typ.as_deref() == Some("volume")).filter_map(|mount| mount.source);
    let files = [there.hosts_path, there.hostname_path, there.resolv_conf_path];
    let all = layer.into_iter().chain(volumes).chain(files.into_iter().flatten());
    all.map(PathBuf::from).filter(|place| place.is_absolute()).collect()
}

/// The upper folder of the overlay that is the root of a process, in the text of its `mountinfo`.
fn upper_layer(mountinfo: &str) -> Option<String> {
    let root = mountinfo.lines().find(|line| line.split(' ').nth(4) == Some("/"))?;
    let options = root.split_once(" - overlay ")?.1.rsplit(' ').next()?;
    options.split(',').find_map(|option| option.strip_prefix("upperdir=")).map(str::to_owned)
}

fn observed(name: &str, there: ContainerInspectResponse) -> Observed {
    let labels = there.config.and_then(|config| config.labels).unwrap_or_default();
    let networks = there.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    let addresses = networks.into_values().filter_map(|one| one.ip_address?.parse().ok()).collect();
    Observed { name: name.to_owned(), labels: labels.into_iter().collect(), status: status(there.state), addresses }
}

fn status(state: Option<ContainerState>) -> Status {
    use ContainerStateStatusEnum as S;
    let state = state.unwrap_or_default();
    match state.status {
        Some(S::CREATED) => Status::Created,
        Some(S::RUNNING | S::PAUSED | S::RESTARTING | S::STOPPING) => {
            Status::Running { pid: state.pid.and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0) }
        }
        Some(S::EXITED | S::DEAD | S::REMOVING | S::EMPTY) | None => {
            Status::Exited { code: state.exit_code.unwrap_or(0), out_of_memory: state.oom_killed.unwrap_or(false) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layer_is_found_in_what_the_kernel_says() {
        let text = "700 600 0:50 / / rw,relatime master:1 - overlay overlay rw,lowerdir=/a:/b,upperdir=/var/x/fs,workdir=/var/x/work\n\
            701 700 0:51 / /proc rw - proc proc rw\n";
        assert_eq!(upper_layer(text).as_deref(), Some("/var/x/fs"));
        for none in
            ["", "1 2 3 / / rw - ext4 /dev/vda rw", "700 600 0:50 / /proc rw - overlay overlay rw,upperdir=/x", "a"]
        {
            assert_eq!(upper_layer(none), None, "{none}");
        }
    }
}
