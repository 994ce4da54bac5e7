//! A whole server over memory: what its callers and its backends see.

mod stage;

mod access;
mod egress;
mod flaws;
mod front_proxy;
mod insecure;
mod objects;
