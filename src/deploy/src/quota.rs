//! Whether an app's owner may have what is about to run. Asked in the transaction that adds the rows, so that two that are
//! asked for at once cannot both take the last of it.

use domain::ids::UserId;
use domain::quota::{Holder, Load};
use store::{App, Tx};
use system::fault::Result;
use system::settings::Settings;

/// Whether the app may come to have `wanted` instances in place of those that it is counted with.
pub fn may_scale(tx: &Tx<'_>, settings: &Settings, app: &App, wanted: u64) -> Result<()> {
    let Some((holder, owned)) = owned(tx, settings, app)? else { return Ok(()) };
    let mine = tx.instances_owned(owned.owner)?.get(&app.id).copied().unwrap_or(0);
    let size = |count: u64| Load::of(count, settings.app_memory, settings.app_cpu);
    // What it has is part of what is used: more of it is what is asked for.
    let wanted = owned.used.and(size(wanted.saturating_sub(mine)));
    Ok(holder.may_run(owned.used, wanted, &settings.quotas())?)
}

/// Whether the app may have one more one-off instance, of this many bytes of memory.
pub fn may_run_once(tx: &Tx<'_>, settings: &Settings, app: &App, memory: u64) -> Result<()> {
    let Some((holder, owned)) = owned(tx, settings, app)? else { return Ok(()) };
    let wanted = owned.used.and(Load::of(1, memory, settings.app_cpu));
    Ok(holder.may_run(owned.used, wanted, &settings.quotas())?)
}

/// What all that runs of a user's apps uses, by its limits.
pub fn used(tx: &Tx<'_>, settings: &Settings, user: UserId) -> Result<Load> {
    let instances: u64 = tx.instances_owned(user)?.values().sum();
    let once = tx.once_owned(user)?;
    let processors = once.count.saturating_mul(settings.app_cpu);
    let once = Load { instances: once.count, memory: once.memory, processors };
    Ok(Load::of(instances, settings.app_memory, settings.app_cpu).and(once))
}

struct Owned {
    owner: UserId,
    used: Load,
}

/// Nothing for apps that are nobody's.
fn owned(tx: &Tx<'_>, settings: &Settings, app: &App) -> Result<Option<(Holder, Owned)>> {
    let Some(owner) = app.owner else { return Ok(None) };
    let Some(holder) = tx.quota_holder(owner)? else { return Ok(None) };
    Ok(Some((holder, Owned { owner, used: used(tx, settings, owner)? })))
}
