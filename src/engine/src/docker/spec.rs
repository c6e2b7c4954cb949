//! The body of Docker's create call, made from an [`InstanceSpec`]. Pure.

use crate::{EngineError, InstanceSpec, Mount};
use bollard::models::{
    ContainerCreateBody, EndpointIpamConfig, EndpointSettings, HealthConfig, HostConfig, HostConfigLogConfig,
    Mount as DockerMount, MountType, MountVolumeOptions, MountVolumeOptionsDriverConfig, NetworkingConfig,
    ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};
use std::collections::HashMap;
use std::path::Path;

/// Docker's usual weight is 1024.
const UNLIMITED_SHARES: i64 = 256;
/// Instances go before the host's own services when memory runs out.
const OOM_SCORE: i64 = 200;
const NANOS_PER_MILLI_CPU: u64 = 1_000_000;

pub(super) fn body(spec: &InstanceSpec) -> Result<ContainerCreateBody, EngineError> {
    let attachment = EndpointSettings {
        ipam_config: spec.attachment.address.map(|address| EndpointIpamConfig {
            ipv4_address: Some(address.to_string()),
            ..EndpointIpamConfig::default()
        }),
        ..EndpointSettings::default()
    };
    Ok(ContainerCreateBody {
        image: Some(spec.image.clone()),
        // The init of ours starts as root and drops to the image's user itself.
        user: Some("0:0".to_owned()),
        // Not absent: an absent one would keep the image's.
        entrypoint: Some(Vec::new()),
        cmd: Some(spec.argv.clone()),
        env: Some(spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        working_dir: spec.cwd.clone(),
        hostname: Some(spec.hostname.clone()),
        labels: Some(spec.labels.clone().into_iter().collect()),
        // Checks are ours; an image's own would start processes through Docker for ever.
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() }),
        attach_stdin: Some(false),
        attach_stdout: Some(false),
        attach_stderr: Some(false),
        open_stdin: Some(false),
        tty: Some(false),
        networking_config: Some(NetworkingConfig {
            endpoints_config: Some(HashMap::from([(spec.attachment.network.clone(), attachment)])),
        }),
        host_config: Some(host(spec)?),
        ..ContainerCreateBody::default()
    })
}

fn host(spec: &InstanceSpec) -> Result<HostConfig, EngineError> {
    let memory = i64::try_from(spec.limits.memory).unwrap_or(i64::MAX);
    Ok(HostConfig {
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: Some(spec.capabilities.clone()),
        privileged: Some(false),
        readonly_rootfs: Some(spec.read_only),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        memory: Some(memory),
        memory_swap: Some(memory),
        nano_cpus: Some(i64::try_from(spec.limits.cpu_millis.saturating_mul(NANOS_PER_MILLI_CPU)).unwrap_or(i64::MAX)),
        // What has no limit of its own (a build) gives way to what serves.
        cpu_shares: (spec.limits.cpu_millis == 0).then_some(UNLIMITED_SHARES),
        pids_limit: Some(spec.limits.pids),
        ulimits: Some(vec![ResourcesUlimits {
            name: Some("nofile".to_owned()),
            soft: Some(spec.limits.files),
            hard: Some(spec.limits.files),
        }]),
        oom_score_adj: Some(OOM_SCORE),
        // Only the reconciler starts things.
        restart_policy: Some(RestartPolicy { name: Some(RestartPolicyNameEnum::NO), maximum_retry_count: None }),
        // Output goes to the instance's spool: through Docker it would freeze with a dead dockerd.
        log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
        init: Some(false),
        network_mode: Some(spec.attachment.network.clone()),
        mounts: Some(spec.mounts.iter().filter_map(|mount| docker_mount(mount).transpose()).collect::<Result<_, _>>()?),
        tmpfs: Some(spec.mounts.iter().filter_map(tmpfs).collect()),
        ..HostConfig::default()
    })
}

fn docker_mount(mount: &Mount) -> Result<Option<DockerMount>, EngineError> {
    Ok(match mount {
        Mount::Bind { host, at, writable } => Some(DockerMount {
            typ: Some(MountType::BIND),
            source: Some(text(host)?),
            target: Some(at.clone()),
            read_only: Some(!writable),
            ..DockerMount::default()
        }),
        // A volume without a name: made with the instance, removed with it.
        Mount::Overlay { lower, upper, work, at } => Some(DockerMount {
            typ: Some(MountType::VOLUME),
            target: Some(at.clone()),
            volume_options: Some(MountVolumeOptions {
                no_copy: Some(true),
                driver_config: Some(MountVolumeOptionsDriverConfig {
                    name: Some("local".to_owned()),
                    options: Some(HashMap::from([
                        ("type".to_owned(), "overlay".to_owned()),
                        ("device".to_owned(), "overlay".to_owned()),
                        ("o".to_owned(), overlay_options(lower, upper, work)?),
                    ])),
                }),
                ..MountVolumeOptions::default()
            }),
            ..DockerMount::default()
        }),
        Mount::Tmpfs { .. } => None,
    })
}

fn tmpfs(mount: &Mount) -> Option<(String, String)> {
    match mount {
        // Builds run what they unpack under /tmp, so it may hold programs.
        Mount::Tmpfs { at, size } => Some((at.clone(), format!("rw,exec,nosuid,nodev,mode=1777,size={size}"))),
        Mount::Bind { .. } | Mount::Overlay { .. } => None,
    }
}

/// The kernel parses these options, and `,` and `:` would mean something else in them.
fn overlay_options(lower: &Path, upper: &Path, work: &Path) -> Result<String, EngineError> {
    let (lower, upper, work) = (text(lower)?, text(upper)?, text(work)?);
    for path in [&lower, &upper, &work] {
        if path.contains([',', ':', '\\']) {
            return Err(unusable(path));
        }
    }
    Ok(format!("lowerdir={lower},upperdir={upper},workdir={work}"))
}

fn text(path: &Path) -> Result<String, EngineError> {
    path.to_str().map(str::to_owned).ok_or_else(|| unusable(&path.to_string_lossy()))
}

fn unusable(path: &str) -> EngineError {
    EngineError::Failed {
        act: format!("mount {path}"),
        source: "the path has characters that a mount cannot take".into(),
    }
}
