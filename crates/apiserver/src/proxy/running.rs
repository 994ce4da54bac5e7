//! The streams that are open: each is a task that ends with the server, and is told of when it
//! begins and when it ends.

use super::join::Passed;
use crate::audit::StreamEnd;
use futures_util::future::BoxFuture;
use ravelin_api::Status;
use ravelin_host::{Field, HostRef, Task, field};
use std::sync::{Mutex, PoisonError};

/// The most streams at a time.
const MAX_STREAMS: usize = 10_000;

/// The streams of a server.
#[derive(Default)]
pub(crate) struct Streams(Mutex<Vec<Task>>);

impl Streams {
    /// Runs a stream until it ends or the server does. The stream may hold the server only while it
    /// dials: else neither would ever end.
    ///
    /// # Errors
    /// 429 where there are too many.
    pub(super) fn run(&self, host: &HostRef, stream: BoxFuture<'static, ()>) -> Result<(), Status> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|task| !task.is_finished());
        if running.len() >= MAX_STREAMS {
            return Err(Status::too_many_requests("too many streams are open", 1));
        }
        running.push(host.spawn("apiserver.stream", stream));
        Ok(())
    }
}

/// One stream, told of.
pub(super) struct Tale {
    host: HostRef,
    fields: Vec<Field>,
    /// The entry of the audit log is ended with it.
    _audited: StreamEnd,
}

impl Tale {
    /// Tells that a stream begins: who has it, what was asked for, and what carries it.
    pub(super) fn begin(
        host: &HostRef,
        (user, path): (&str, &str),
        carried_by: &str,
        audited: StreamEnd,
    ) -> Self {
        let fields = vec![field("user", user), field("path", path), field("by", carried_by)];
        host.observe("apiserver.stream.begun", &fields);
        Self { host: host.clone(), fields, _audited: audited }
    }

    /// Tells how it ended.
    pub(super) fn end(mut self, passed: &Passed) {
        self.fields.push(field("onwards", passed.onwards));
        self.fields.push(field("back", passed.back));
        self.fields.extend(passed.error.as_ref().map(|error| field("error", error)));
        self.host.observe("apiserver.stream.ended", &self.fields);
    }
}
