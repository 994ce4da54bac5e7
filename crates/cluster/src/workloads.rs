//! What a cluster's nodes run pods with: nothing that a file of the cluster says, but whoever starts it.

use ravelin_host::program::Programs;
use ravelin_runtime::{Builtin, Processes, Retention, Runtime};
use std::sync::Arc;

/// What nodes run pods with. The default is what simulations have: built-in workloads that forget
/// nothing, and no events, of which each is another request.
#[derive(Clone, Default)]
pub struct Workloads {
    /// Where containers are programs of this computer: those. Else all are built in.
    pub programs: Option<Arc<dyn Programs>>,
    /// How much the built-in ones remember of what they did.
    pub retention: Retention,
    /// Do kubelets and scheduler tell of pods by events?
    pub events: bool,
}

impl Workloads {
    /// The built-in workloads of a node.
    pub(crate) fn builtin(&self) -> Arc<Builtin> {
        Arc::new(Builtin::with(self.retention))
    }

    /// What runs a node's pods.
    pub(crate) fn runtime(&self, builtin: &Arc<Builtin>) -> Arc<dyn Runtime> {
        match &self.programs {
            Some(programs) => Arc::new(Processes::new(Arc::clone(builtin), Arc::clone(programs))),
            None => Arc::clone(builtin) as Arc<dyn Runtime>,
        }
    }
}
