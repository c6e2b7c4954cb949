//! The gate: decides once how a message is framed, and refuses what two readers could read differently.
//!
//! Pure: bytes in, verdict out. What passes here has exactly one Host, one framing and only CRLF line ends.
//! The gate never repairs a message and never looks at routes.

pub mod body;
pub mod chunk;
pub mod head;
pub mod host;
pub mod request;
pub mod response;
pub mod scan;

pub use body::Body;
pub use head::{Connection, HeadLimits, Refused, SLOTS, Slots, listed, tokens};
pub use request::{Request, request};
pub use response::{Response, response};
pub use scan::Scan;
