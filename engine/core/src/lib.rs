//! The engine: moves profiles. Events, time and rules go in, changes of membership come out.
//!
//! Pure: no clock, no randomness, no input or output. Time is an argument, and what the host must give (regular
//! expressions, dates) is a trait. One profile's state is one `State`, used by one thread at a time.

pub mod decimals;
pub mod duplicates;
pub mod evaluate;
pub mod event;
pub mod explain;
pub mod gauges;
pub mod ids;
pub mod leaves;
pub mod matching;
pub mod pack;
pub mod predicates;
pub mod program;
pub mod sequences;
pub mod series;
pub mod slab;
pub mod spec;
pub mod state;
pub mod value;
pub mod walk;
pub mod walking;
pub mod windows;
