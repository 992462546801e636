//! Scope: which weights share a codebook.

/// Which weights share a codebook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// One codebook for all quantized tensors (Choi et al. 2017, section 3.4).
    All,
    /// One codebook per tensor (Han et al. 2016): no tensor sets another's precision.
    #[default]
    Tensor,
    /// One codebook per output channel: the leading axis of each tensor.
    Channel,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 3] = [Self::All, Self::Tensor, Self::Channel];

    /// The word that recipes have for it.
    pub const fn id(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Tensor => "tensor",
            Self::Channel => "channel",
        }
    }

    /// The scope of this [`id`](Self::id).
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.id() == id)
    }
}
