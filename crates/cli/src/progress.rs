//! How far a run has come, on standard error, for whoever watches a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ravelin_assess::Progress;

/// A bar that is gone when it is dropped; nothing at all unless somebody watches.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// A bar on standard error.
    pub(crate) fn new(watched: bool) -> Self {
        let target = if watched { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        let style = ProgressStyle::with_template("{elapsed_precise} {bar:30} {pos}/{len} {msg}")
            .expect("the template is a constant and well formed");
        bar.set_style(style);
        Self(bar)
    }

    /// Shows a step; may be called from any thread.
    pub(crate) fn show(&self, progress: Progress) {
        self.0.set_length(progress.total as u64);
        self.0.set_position(progress.done as u64);
        self.0.set_message(progress.what);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
