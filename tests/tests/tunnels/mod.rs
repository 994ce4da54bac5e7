//! Tunnels under faults and over time: nothing is lost, mixed or left over, and nothing of what belongs
//! into a tunnel is seen outside.

mod long;
mod oracle;
mod pattern;
mod stage;
mod storm;
