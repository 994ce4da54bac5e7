//! Joining a cluster, and staying in it: certificates that are asked for, renewed and replaced, and
//! nodes that fall silent, are thrown out or come back.

mod authorities;
mod month;
mod signing;
mod silence;
mod stage;
mod upkeep;
