//! Checks of tokens that can be left out, for what simulates their absence.

/// Which checks are left out. Each is dangerous; an honest server leaves out none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leniency {
    /// A token's word is taken for who bears it: no signature and no secret half is checked.
    pub danger_unproven: bool,
    /// A service account's token is good for every audience.
    pub danger_any_audience: bool,
    /// A service account's token does not end with its time.
    pub danger_expired: bool,
    /// A service account's token does not end with its account, nor with what it is bound to.
    pub danger_unbound: bool,
}

impl Leniency {
    /// Every check is made.
    pub const fn none() -> Self {
        Self {
            danger_unproven: false,
            danger_any_audience: false,
            danger_expired: false,
            danger_unbound: false,
        }
    }
}
