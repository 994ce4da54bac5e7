//! Kubernetes on the wire: objects, errors, request paths and selectors.
//!
//! Everything here is pure. Objects are `serde_json::Value`s, read through [`object`], because
//! what one does not understand of an object must survive it; which fields a kind has, in JSON and
//! in protobuf, one table knows. This crate must never know sockets, users or what a request is
//! allowed to do.

mod annotations;
mod field_selector;
mod human;
mod json;
mod label_selector;
mod list_options;
pub mod managed;
mod merge_patch;
pub mod names;
pub mod object;
mod openapi;
mod protobuf;
mod quantity;
mod query;
mod render;
mod request_info;
mod resource;
mod schema;
mod status;
mod status_texts;
mod strategic_merge;
pub mod time;
mod typed;
mod yaml;
pub mod yaml_text;

pub use annotations::SSH_HOST_KEY_ANNOTATION;
pub use field_selector::{FieldRequirement, FieldSelector};
pub use human::human_duration;
pub use label_selector::{LabelOperator, LabelRequirement, LabelSelector};
pub use list_options::{BadListOption, ListOptions, bad_number};
pub use merge_patch::merge_patch;
pub use openapi::openapi_v3;
pub use protobuf::{BadProtobuf, Enveloped, PROTOBUF_PREFIX, to_protobuf, watch_event};
pub use quantity::Quantity;
pub use query::{Query, percent_decode, percent_encode};
pub use render::{render, render_item};
pub use request_info::{BadPath, RequestInfo};
pub use resource::{GroupResource, RESOURCES, Resource};
pub use status::{Cause, Details, Reason, Status};
pub use strategic_merge::{go_map, strategic_merge};
pub use typed::{Typed, Untyped, retyped};
pub use yaml::to_yaml;

pub use k8s_openapi;
