//! What Docker's errors mean to Hoist.

use crate::EngineError;
use bollard::errors::Error as BollardError;

/// The meaning of a failed call.
pub(super) fn meaning(err: BollardError, act: &str, object: &str) -> EngineError {
    if gone_away(&err) {
        return EngineError::NotRunning(Box::new(err));
    }
    let text = words(&err);
    if no_space(text) {
        return EngineError::NoSpace;
    }
    if let BollardError::DockerResponseServerError { status_code: 404, message } = &err {
        let missing = ["No such image: ", "network "].iter().find_map(|before| after(message, before));
        return EngineError::NotFound(missing.unwrap_or(object).to_owned());
    }
    EngineError::Failed { act: format!("{act} {object}"), source: Box::new(err) }
}

/// The meaning of a failed pull. Old engines say "unknown blob" in a stream that began with 200, new ones with status 500.
pub(super) fn pull_meaning(err: BollardError, object: &str) -> EngineError {
    let text = words(&err).to_ascii_lowercase();
    let gone = [
        "unknown blob",
        "blob unknown",
        "manifest unknown",
        "filesystem layer verification failed",
        "not found",
        // containerd, of a blob that ends early, and of one that is not what its name says.
        "failed to read expected number of bytes",
        "unexpected commit digest",
    ];
    if gone.iter().any(|words| text.contains(words)) {
        return EngineError::LayerGone(object.to_owned());
    }
    meaning(err, "pull", object)
}

/// Whether the engine has collected, during the pull, what it took for present: containerd's collection after a pull that
/// failed can run into the next pull of the same image, which then says "content digest sha256:…: not found" of its own
/// store (seen with Docker 26.1, in one of about 300 such pulls under load). Another pull fetches it anew.
pub(super) fn collected_meanwhile(err: &BollardError) -> bool {
    let text = words(err).to_ascii_lowercase();
    text.contains("content digest sha256:") && text.contains("not found") && !text.contains("from remote")
}

/// Whether the error is Docker's answer with this status.
pub(super) fn is_status(err: &BollardError, status: u16) -> bool {
    matches!(err, BollardError::DockerResponseServerError { status_code, .. } if *status_code == status)
}

/// Takes the answers with these statuses for success.
pub(super) fn fine<T: Default>(answer: Result<T, BollardError>, statuses: &[u16]) -> Result<T, BollardError> {
    match answer {
        Err(err) if statuses.iter().any(|status| is_status(&err, *status)) => Ok(T::default()),
        other => other,
    }
}

fn after<'a>(message: &'a str, before: &str) -> Option<&'a str> {
    message.split_once(before).and_then(|(_, rest)| rest.split_whitespace().next())
}

/// Docker's own words, where the error has some.
fn words(err: &BollardError) -> &str {
    match err {
        BollardError::DockerResponseServerError { message, .. } => message,
        BollardError::DockerStreamError { error } => error,
        BollardError::DockerContainerWaitError { error, .. } => error,
        _ => "",
    }
}

fn no_space(text: &str) -> bool {
    ["no space left on device", "disk quota exceeded"].iter().any(|words| text.to_ascii_lowercase().contains(words))
}

/// Whether the socket is missing, refuses, or was closed before the answer.
fn gone_away(err: &BollardError) -> bool {
    matches!(
        err,
        BollardError::SocketNotFoundError(_)
            | BollardError::IOError { .. }
            | BollardError::HyperResponseError { .. }
            | BollardError::HyperLegacyError { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status_code: u16, message: &str) -> BollardError {
        BollardError::DockerResponseServerError { status_code, message: message.to_owned() }
    }

    #[test]
    fn meanings() {
        let not_found = |text: &str| match meaning(answer(404, text), "start", "x-i1") {
            EngineError::NotFound(name) => name,
            other => format!("{other:?}"),
        };
        assert_eq!(not_found("No such image: hoist/blog:v1"), "hoist/blog:v1");
        assert_eq!(not_found("No such container: x-i1"), "x-i1");
        assert_eq!(not_found("network net-7 not found"), "net-7");
        let full = "failed to create endpoint: write /var/x: No space left on device";
        assert!(matches!(meaning(answer(500, full), "start", "x"), EngineError::NoSpace));
        assert!(
            matches!(meaning(answer(500, "boom"), "start", "x"), EngineError::Failed { act, .. } if act == "start x")
        );
        let gone = BollardError::DockerStreamError { error: "unknown blob".to_owned() };
        assert!(matches!(pull_meaning(gone, "app"), EngineError::LayerGone(name) if name == "app"));
    }

    #[test]
    fn whose_store_lost_it() {
        let collected = |error: &str| collected_meanwhile(&BollardError::DockerStreamError { error: error.to_owned() });
        assert!(collected(
            "failed to check image sha256:b2ea: rpc error: code = NotFound desc = content digest sha256:b2ea: not found"
        ));
        assert!(!collected(
            "failed to copy: httpreadseeker: failed open: could not fetch content descriptor sha256:56ba \
             (application/vnd.oci.image.layer.v1.tar) from remote: not found"
        ));
        assert!(!collected("unknown blob"));
        assert!(!collected("failed to read expected number of bytes: unexpected EOF"));
    }
}
