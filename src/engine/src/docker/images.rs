//! Images: pulled by digest from the loopback registry, known by a name of ours.

use super::{Docker, by_label, failures};
use crate::{CALL_MAX, EngineError, ImageReference, REGISTRY_USER};
use bollard::auth::DockerCredentials;
use bollard::models::ImageSummary;
use bollard::query_parameters::{
    CreateImageOptionsBuilder, ImportImageOptionsBuilder, ListImagesOptionsBuilder, RemoveImageOptionsBuilder,
    TagImageOptionsBuilder,
};
use bytes::Bytes;
use domain::dockerfile::ImageFacts;
use futures_util::{Stream, StreamExt};
use std::time::Duration;

/// A whole archive says nothing until it is unpacked.
const LOAD_MAX: Duration = Duration::from_secs(900);
/// A pull that says nothing for so long counts as not answering; a pull that makes progress may take its time.
const PULL_SILENCE_MAX: Duration = Duration::from_secs(60);
/// Pulls of one image while the engine collects what it took for present, see [`failures::collected_meanwhile`].
const PULLS_MAX: u32 = 4;

impl Docker {
    pub(super) async fn image_pull(&self, reference: &ImageReference, tag: &str) -> Result<(), EngineError> {
        self.fetch(reference).await?;
        let before = self.image_id(tag).await?;
        let by_digest = format!("{}/{}@{}", reference.registry, reference.repository, reference.digest);
        let (repository, label) = tag.rsplit_once(':').unwrap_or((tag, "latest"));
        let options = TagImageOptionsBuilder::default().repo(repository).tag(label).build();
        self.call("name image", tag, |docker| {
            let by_digest = by_digest.clone();
            async move { docker.tag_image(&by_digest, Some(options)).await }
        })
        .await?;
        // The registry's port changes with every start: its reference would only mislead.
        self.image_remove(&by_digest).await?;
        match before {
            // Another image had this name: without one, nobody would ever remove it.
            Some(before) if self.image_id(tag).await?.as_ref() != Some(&before) => self.image_remove(&before).await,
            Some(_) | None => Ok(()),
        }
    }

    async fn fetch(&self, reference: &ImageReference) -> Result<(), EngineError> {
        let client = match tokio::time::timeout(CALL_MAX, self.client()).await {
            Err(_) => return Err(EngineError::NotAnswering),
            Ok(client) => client.map_err(|err| self.failed(err, "pull", &reference.repository))?,
        };
        let options = CreateImageOptionsBuilder::default()
            .from_image(&format!("{}/{}", reference.registry, reference.repository))
            .tag(&reference.digest)
            .build();
        let credentials = DockerCredentials {
            username: Some(REGISTRY_USER.to_owned()),
            password: Some(reference.token.reveal().clone()),
            serveraddress: Some(reference.registry.clone()),
            ..DockerCredentials::default()
        };
        let mut tries_left = PULLS_MAX;
        loop {
            tries_left -= 1;
            let mut progress = client.create_image(Some(options.clone()), None, Some(credentials.clone()));
            let end = loop {
                match tokio::time::timeout(PULL_SILENCE_MAX, progress.next()).await {
                    Err(_) => return Err(EngineError::NotAnswering),
                    Ok(None) => return Ok(()),
                    Ok(Some(Ok(_))) => {}
                    Ok(Some(Err(err))) => break err,
                }
            };
            if tries_left == 0 || !failures::collected_meanwhile(&end) {
                return Err(failures::pull_meaning(end, &reference.repository));
            }
        }
    }

    pub(crate) async fn image_there(&self, tag: &str) -> Result<bool, EngineError> {
        Ok(self.image_id(tag).await?.is_some())
    }

    pub(crate) async fn image_load(
        &self,
        archive: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static,
    ) -> Result<(), EngineError> {
        let client = match tokio::time::timeout(CALL_MAX, self.client()).await {
            Err(_) => return Err(EngineError::NotAnswering),
            Ok(client) => client.map_err(|err| self.failed(err, "load", "an image"))?,
        };
        let options = ImportImageOptionsBuilder::default().quiet(true).build();
        let mut progress = client.import_image_stream(options, archive, None);
        loop {
            match tokio::time::timeout(LOAD_MAX, progress.next()).await {
                Err(_) => return Err(EngineError::NotAnswering),
                Ok(None) => return Ok(()),
                Ok(Some(Ok(_))) => {}
                Ok(Some(Err(err))) => return Err(self.failed(err, "load", "an image")),
            }
        }
    }

    pub(super) async fn image_facts(&self, tag: &str) -> Result<Option<ImageFacts>, EngineError> {
        let found = self
            .call("inspect image", tag, |docker| async move {
                failures::fine(docker.inspect_image(tag).await.map(Some), &[404])
            })
            .await?;
        let Some(config) = found.and_then(|image| image.config) else { return Ok(None) };
        Ok(Some(ImageFacts {
            user: config.user.unwrap_or_default(),
            workdir: config.working_dir.unwrap_or_default(),
            entrypoint: config.entrypoint.unwrap_or_default(),
            cmd: config.cmd.unwrap_or_default(),
            exposed: config.exposed_ports.unwrap_or_default(),
            healthcheck: config
                .healthcheck
                .is_some_and(|check| check.test.is_some_and(|test| test.first().is_some_and(|word| word != "NONE"))),
            volumes: config.volumes.unwrap_or_default(),
            stop_signal: config.stop_signal.unwrap_or_default(),
        }))
    }

    async fn image_id(&self, tag: &str) -> Result<Option<String>, EngineError> {
        self.call("inspect image", tag, |docker| async move {
            failures::fine(docker.inspect_image(tag).await.map(|image| image.id), &[404])
        })
        .await
    }

    pub(crate) async fn image_remove(&self, tag: &str) -> Result<(), EngineError> {
        self.call("remove image", tag, |docker| async move {
            let options = RemoveImageOptionsBuilder::default().force(false).noprune(false).build();
            // 404: gone already. 409: something made from it is still there.
            failures::fine(docker.remove_image(tag, Some(options), None).await, &[404, 409]).map(drop)
        })
        .await
    }

    /// The names of all images.
    pub(crate) async fn all_image_names(&self) -> Result<Vec<String>, EngineError> {
        let options = ListImagesOptionsBuilder::default().build();
        let found: Vec<ImageSummary> =
            self.call("list", "images", |docker| async move { docker.list_images(Some(options)).await }).await?;
        Ok(found.into_iter().flat_map(|image| image.repo_tags).collect())
    }

    pub(super) async fn image_names(&self, key: &str, value: &str) -> Result<Vec<String>, EngineError> {
        let options = ListImagesOptionsBuilder::default().filters(&by_label(key, value)).build();
        let found: Vec<ImageSummary> =
            self.call("list", "images", |docker| async move { docker.list_images(Some(options)).await }).await?;
        let mut names: Vec<String> =
            found.into_iter().flat_map(|image| image.repo_tags).filter(|name| name != "<none>:<none>").collect();
        names.sort();
        Ok(names)
    }
}
