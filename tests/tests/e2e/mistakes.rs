//! Ten usual mistakes.
