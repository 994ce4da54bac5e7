//! A whole server over memory: what its callers and its backends see.

mod stage;

mod access;
mod egress;
mod flaws;
mod insecure;
mod objects;
