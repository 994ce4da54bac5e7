//! Kubernetes versions, as far as configuration depends on them: major and minor.

use serde::{Serialize, Serializer};

/// The oldest version whose flags are known here.
pub const OLDEST: KubernetesVersion = KubernetesVersion::minor(8);
/// The newest version that is assumed where nothing asks for another.
pub const NEWEST: KubernetesVersion = KubernetesVersion::minor(36);
/// The newest version of which any option is known here: for what KEP-4872 plans for 1.37, and as
/// 1.36 in all else.
pub const PLANNED: KubernetesVersion = KubernetesVersion::minor(37);

/// A Kubernetes version `1.<minor>`. Patch releases change no option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KubernetesVersion {
    minor: u32,
}

impl KubernetesVersion {
    /// Version `1.<minor>`.
    #[must_use]
    pub const fn minor(minor: u32) -> Self {
        Self { minor }
    }

    /// The number after the first dot.
    #[must_use]
    pub const fn minor_number(self) -> u32 {
        self.minor
    }

    /// Major and minor, for the components that announce their version.
    #[must_use]
    pub const fn major_minor(self) -> (u32, u32) {
        (1, self.minor)
    }

    /// Reads `1.34`, `v1.34.2`, `v1.34.2-gke.100+abc`; also the release labels of kubeadm, `stable-1.34`.
    ///
    /// # Errors
    /// If the text has another shape or names a version outside [`OLDEST`]…[`PLANNED`].
    pub fn parse(text: &str) -> Result<Self, ParseVersionError> {
        let bare = text.strip_prefix("stable-").or_else(|| text.strip_prefix("latest-")).unwrap_or(text);
        let bare = bare.strip_prefix('v').unwrap_or(bare);
        let mut parts = bare.split(['.', '-', '+', '_']);
        let digits = |part: Option<&str>| {
            part.filter(|p| !p.is_empty() && p.len() <= 4 && p.bytes().all(|b| b.is_ascii_digit()))
                .and_then(|p| p.parse::<u32>().ok())
        };
        let (Some(major), Some(minor)) = (digits(parts.next()), digits(parts.next())) else {
            return Err(ParseVersionError::Shape);
        };
        let version = Self { minor };
        if major != 1 || version < OLDEST || version > PLANNED {
            return Err(ParseVersionError::OutOfRange);
        }
        Ok(version)
    }
}

impl std::fmt::Display for KubernetesVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "1.{}", self.minor)
    }
}

impl Serialize for KubernetesVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Why a text is no version that is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseVersionError {
    /// It does not look like a version.
    #[error("is not a Kubernetes version")]
    Shape,
    /// It is a version, but an older or newer one than is known.
    #[error("is a version that is not known here")]
    OutOfRange,
}
