//! Names, channels, outcomes.
