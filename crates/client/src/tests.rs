//! A client against an apiserver that answers as it is told.

mod following;
mod requests;
mod stage;
mod streams;
