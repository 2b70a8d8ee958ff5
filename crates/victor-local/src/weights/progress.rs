//! What is told while a model is fetched: for a door to show.

/// Is told how far it is. Called often; it must not block.
pub trait Progress: Send + Sync + 'static {
    /// The next step.
    fn tell(&self, step: Step);
}

/// What is going on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Another process is fetching the same model; its result will be used.
    Waiting {
        /// Who that is, as far as it is known.
        holder: String,
    },
    /// Some work begins.
    Begin {
        /// Which.
        work: Work,
        /// Where the bytes come from, for people.
        from: String,
        /// What is there already, in bytes.
        done: u64,
        /// What it will be in the end, in bytes.
        total: u64,
    },
    /// So many bytes of the work are done.
    At(u64),
    /// The connection broke; it is tried again from where it was.
    Again {
        /// What happened.
        why: String,
    },
    /// A source cannot be used; the next one is tried.
    Failed {
        /// Which.
        source: String,
        /// What happened.
        why: String,
    },
}

/// A part of the way from a source to a model that can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Bytes come over the network.
    Download,
    /// The file is taken out of its package.
    Unpack,
    /// The checksum of what is there already is computed.
    Check,
    /// The weights are turned into what runs fast.
    Convert,
}

/// Nobody is told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn tell(&self, _: Step) {}
}
