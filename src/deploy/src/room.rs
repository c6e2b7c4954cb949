//! Whether there is room on the disks to begin something.

use crate::Parts;
use domain::Refusal;
use domain::doctor::Disk;
use domain::event::Event;
use domain::room::{Room, refuse, room};
use system::clock::now;
use system::fault::Result;
use system::host_checks;

/// Refuses to take so many bytes into the data folder that too little room would be left for what else begins.
pub fn may_grow(p: &Parts, bytes: u64, doing: &str) -> std::result::Result<(), Refusal> {
    let mut data = host_checks::disk("data", p.layout.data());
    data.bytes = data.bytes.map(|(free, all)| (free.saturating_sub(bytes), all));
    match refuse(&[data], p.settings.free_min, doing) {
        Some(no) => Err(no),
        None => Ok(()),
    }
}

fn disks(p: &Parts) -> Vec<Disk> {
    let mut disks = vec![host_checks::disk("data", p.layout.data())];
    disks.extend(p.disks.engine().map(|root| host_checks::disk("docker", &root)));
    disks
}

/// Notes of each disk whether there is room on it.
pub async fn note(p: &Parts) -> Result<()> {
    let asked = p.settings.free_min;
    for disk in disks(p) {
        let (Some(found), Some((free, all))) = (room(&disk, asked), disk.bytes) else { continue };
        let name = disk.what.clone();
        let (well, event) = match found {
            Room::Low { least } => (false, Event::DiskLow { disk: name, free, all, least }),
            Room::Enough => (true, Event::DiskEased { disk: name, free, all }),
        };
        let key = format!("disk-{}", disk.what);
        let known = key.clone();
        // Most looks find what they found before: those write nothing.
        if p.store.read(move |tx| tx.is_well(&known)).await? != well {
            p.store.write(move |tx| tx.note_health(&key, well, &event, now())).await?;
        }
    }
    Ok(())
}

/// Refuses to begin what needs room on the disks where there is too little; before anything is written for it.
pub fn may_begin(p: &Parts, doing: &str) -> std::result::Result<(), Refusal> {
    match refuse(&disks(p), p.settings.free_min, doing) {
        Some(no) => Err(no),
        None => Ok(()),
    }
}
