//! Whole connections over pipes in memory.
