//! Whether there is room on the disks to begin something.

use crate::Parts;
use domain::Refusal;
use domain::room::refuse;
use system::probes;

/// Refuses to begin what needs room on the disks where there is too little; before anything is written for it.
pub fn may_begin(p: &Parts, doing: &str) -> Result<(), Refusal> {
    let mut disks = vec![probes::disk("data", p.layout.data())];
    disks.extend(p.disks.engine().map(|root| probes::disk("docker", &root)));
    match refuse(&disks, p.settings.free_min, doing) {
        Some(no) => Err(no),
        None => Ok(()),
    }
}
