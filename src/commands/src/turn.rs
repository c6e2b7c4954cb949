//! An app's turn: one thing at a time changes it. Who has to wait for a deploy hears of it, and how not to.

use crate::context::Commands;
use crate::reply::Line;
use deploy::app_lock::Place;
use domain::access::AppRef;
use system::fault::Result;
use system::io::Io;

/// Waits for the app's turn, and has it until the place is dropped.
pub async fn take(c: &Commands, app: &AppRef, io: &Io) -> Result<Place> {
    if c.deploys.is_busy(&app.id) {
        let name = &app.name;
        let line = format!("Waiting for the deploy of {name} that is under way; to end it: builds:cancel {name}");
        Line::Note(line).say(io).await;
    }
    c.deploys.turn(&app.id).await
}
