//! Kubernetes on the wire: objects, errors, request paths and selectors.
//!
//! Everything here is pure. Objects are `serde_json::Value`s, read through [`object`], because
//! what one does not understand of an object must survive it; typed views come from
//! [`k8s_openapi`]. This crate must never know sockets, users or what a request is allowed to do.

mod field_selector;
mod label_selector;
mod list_options;
mod merge_patch;
pub mod object;
mod quantity;
mod query;
mod render;
mod request_info;
mod resource;
mod status;
mod status_texts;
pub mod time;

pub use field_selector::{FieldRequirement, FieldSelector};
pub use label_selector::{LabelOperator, LabelRequirement, LabelSelector};
pub use list_options::{BadListOption, ListOptions};
pub use merge_patch::merge_patch;
pub use quantity::Quantity;
pub use query::{Query, percent_decode, percent_encode};
pub use render::render;
pub use request_info::{BadPath, RequestInfo};
pub use resource::{GroupResource, RESOURCES, Resource};
pub use status::{Cause, Details, Reason, Status};

pub use k8s_openapi;
