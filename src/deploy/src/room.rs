//! Whether there is room on the disks to begin something.

use crate::Parts;
use domain::Refusal;
use domain::room::refuse;
use system::probes;

/// Refuses to take so many bytes into the data folder that too little room would be left for what else begins.
pub fn may_grow(p: &Parts, bytes: u64, doing: &str) -> Result<(), Refusal> {
    let mut data = probes::disk("data", p.layout.data());
    data.bytes = data.bytes.map(|(free, all)| (free.saturating_sub(bytes), all));
    match refuse(&[data], p.settings.free_min, doing) {
        Some(no) => Err(no),
        None => Ok(()),
    }
}

/// Refuses to begin what needs room on the disks where there is too little; before anything is written for it.
pub fn may_begin(p: &Parts, doing: &str) -> Result<(), Refusal> {
    let mut disks = vec![probes::disk("data", p.layout.data())];
    disks.extend(p.disks.engine().map(|root| probes::disk("docker", &root)));
    match refuse(&disks, p.settings.free_min, doing) {
        Some(no) => Err(no),
        None => Ok(()),
    }
}
