//! What a tactic writes down while it runs.

use crate::field::Field;
use crate::speak::Answer;
use ravelin_host::BoxedStream;
use ravelin_oracle::{Attempt, Gain, GainKind, Learned, Property, Protection, Refusal};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// The attempt so far. Connections that are served side by side write into the same one.
pub struct Notes<'a> {
    field: &'a Field,
    attempt: RefCell<Attempt>,
    tokens: RefCell<BTreeSet<String>>,
    lines: RefCell<BTreeMap<Line, BoxedStream>>,
}

/// To whom a connection of the attacker's own leads, and the certificate that it showed there
/// (DER).
pub type Line = (SocketAddr, Option<Vec<u8>>);

impl<'a> Notes<'a> {
    /// An empty page.
    pub fn new(field: &'a Field) -> Self {
        Self { field, attempt: RefCell::default(), tokens: RefCell::default(), lines: RefCell::default() }
    }

    /// Where the attacker stands.
    pub fn field(&self) -> &'a Field {
        self.field
    }

    /// A connection that is open and idle.
    pub fn take_line(&self, line: &Line) -> Option<BoxedStream> {
        self.lines.borrow_mut().remove(line)
    }

    /// Keeps a connection for more requests.
    pub fn keep_line(&self, line: Line, stream: BoxedStream) {
        self.lines.borrow_mut().insert(line, stream);
    }

    /// Something happened, for people.
    pub fn tell(&self, text: impl Into<String>) {
        self.attempt.borrow_mut().story.push((self.field.now(), text.into()));
    }

    /// The attacker can read these bytes.
    pub fn learned(&self, flow: &str, bytes: Vec<u8>) {
        let learned = Learned { at: self.field.now(), flow: flow.to_owned(), bytes };
        self.attempt.borrow_mut().learned.push(learned);
    }

    /// The attacker holds this token.
    pub fn captured(&self, token: String) {
        if self.tokens.borrow_mut().insert(token) {
            self.tell("captured a bearer token");
        }
    }

    /// Every token that the attacker holds.
    pub fn tokens(&self) -> Vec<String> {
        self.tokens.borrow().iter().cloned().collect()
    }

    /// The attacker achieved something by itself.
    pub fn gained(&self, flow: &str, kind: GainKind, text: impl Into<String>) {
        let text = text.into();
        self.tell(format!("{flow}: {text}"));
        let gain = Gain { at: self.field.now(), flow: flow.to_owned(), kind, text };
        self.attempt.borrow_mut().gains.push(gain);
    }

    /// This could have been broken, but nobody answered who decides it.
    pub fn out_of_reach(&self, property: Property) {
        self.attempt.borrow_mut().out_of_reach.push(property);
    }

    /// An honest party refused.
    pub fn refused(&self, flow: &str, by: Protection, text: impl Into<String>, aims: &[Property]) {
        let text = text.into();
        self.tell(format!("{flow}: refused by {}: {text}", by.name()));
        let refusal = Refusal { at: self.field.now(), flow: flow.to_owned(), by, text, aims: aims.to_vec() };
        self.attempt.borrow_mut().refusals.push(refusal);
    }

    /// A refusal by status code, if it is one that a protection gives.
    pub fn refused_by_status(&self, flow: &str, status: u16, aims: &[Property]) {
        match status {
            401 => self.refused(flow, Protection::Authentication, "401 Unauthorized", aims),
            403 => self.refused(flow, Protection::Authorization, "403 Forbidden", aims),
            other => self.tell(format!("{flow}: answered {other}")),
        }
    }

    /// A refusal by an answer: the texts of the apiserver say which of its checks it was.
    pub fn refused_by_answer(&self, flow: &str, answer: &Answer, aims: &[Property]) {
        if answer.status != 403 {
            return self.refused_by_status(flow, answer.status, aims);
        }
        let by = refusing_check(&String::from_utf8_lossy(&answer.body));
        self.refused(flow, by, "403 Forbidden", aims);
    }

    /// The attempt.
    pub fn finish(self) -> Attempt {
        self.attempt.into_inner()
    }
}

/// Which check a 403 speaks of: the authorizers name the user and the verb, admission does not
/// (`plugin/pkg/auth/authorizer/node`, `plugin/pkg/admission`).
fn refusing_check(text: &str) -> Protection {
    let says = |part: &str| text.contains(part);
    if says("no relationship found between node") {
        Protection::NodeRelations
    } else if says(" cannot ") {
        Protection::Authorization
    } else if says("external IPs is denied by admission") {
        Protection::ExternalIps
    } else if ["is not allowed to ", "can only ", "mirror pod"].iter().any(|part| says(part)) {
        Protection::NodeRestriction
    } else {
        Protection::Authorization
    }
}
