//! The gate: decides once how a message is framed, and refuses what two readers could read differently.
//!
//! Pure: bytes in, verdict out. What passes here has exactly one Host, one framing and only CRLF line ends. Of an app's answer
//! a bare LF is taken for a line end too, as others do who stand here, and leaves as CRLF. Nothing else is repaired, and
//! nothing at all in a request. The gate never looks at routes.

pub mod body;
pub mod chunk;
pub mod head;
pub mod host;
pub mod request;
pub mod response;
pub mod scan;

pub use body::Body;
pub use head::{Connection, HeadLimits, Listed, Refused, Slots, tokens};
pub use request::{Request, request};
pub use response::{Response, response};
pub use scan::Scan;
