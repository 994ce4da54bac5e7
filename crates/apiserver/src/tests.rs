//! A whole server over memory: what its callers and its backends see.

mod services;
mod stage;

mod access;
mod admission;
mod authorization;
mod egress;
mod flaws;
mod front_proxy;
mod identity;
mod impersonation;
mod insecure;
mod machinery;
mod objects;
mod tables;
