//! A whole server over memory: what its callers and its backends see.

mod services;
mod stage;
mod streams;

mod access;
mod admission;
mod applying;
mod authorization;
mod egress;
mod flaws;
mod front_proxy;
mod identity;
mod impersonation;
mod insecure;
mod machinery;
mod messages;
mod objects;
mod tables;
