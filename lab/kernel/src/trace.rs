//! What a trace session gets: the driver's events as the system would put them into a log.

/// A session that is there from before the driver is loaded until the run ends, and who reads it.
pub struct TraceSession {
    /// What it wants of every provider.
    pub wanted: Wanted,
    /// Called for each record when it is written. It must not call the machine.
    pub reader: Box<dyn FnMut(&TraceRecord)>,
}

/// What a session wants of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The highest level; 0 for all.
    pub level: u8,
    /// An event with keywords has one of these.
    pub any_keyword: u64,
    /// An event with keywords has all of these.
    pub all_keywords: u64,
}

impl Wanted {
    /// Whether an event of this level and these keywords is wanted.
    #[must_use]
    pub const fn has(&self, level: u8, keywords: u64) -> bool {
        (self.level == 0 || level <= self.level)
            && (keywords == 0
                || (keywords & self.any_keyword != 0
                    && keywords & self.all_keywords == self.all_keywords))
    }
}

/// A record, and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceRecord {
    /// Virtual nanoseconds since load.
    pub time_ns: u64,
    /// The virtual processor.
    pub processor: u8,
    /// The level of the processor.
    pub irql: u8,
    /// The kernel thread or DPC.
    pub thread: u32,
    /// What was written.
    pub body: TraceBody,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceBody {
    /// `EtwWrite` and its kin.
    Event(TraceEvent),
    /// `WmiTraceMessage`, which WPP software tracing writes with.
    Message(TraceMessage),
}

/// A message of WPP software tracing: its text is in a TMF file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceMessage {
    /// The GUID of the message's source file, as it lies in memory.
    pub guid: [u8; 16],
    /// The message's number in that file.
    pub number: u16,
    /// The values, one behind the other.
    pub arguments: Vec<u8>,
}

/// An event of a registered provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceEvent {
    /// The provider's GUID as it lies in memory.
    pub provider: [u8; 16],
    /// The traits that the provider has set: its name, for one that describes itself.
    pub traits: Vec<u8>,
    /// The `EVENT_DESCRIPTOR`.
    pub descriptor: [u8; 16],
    /// Names and types of the fields, of an event that describes itself.
    pub metadata: Vec<u8>,
    /// The values.
    pub payload: Vec<u8>,
    /// Whether the payload is a string and nothing else.
    pub is_string: bool,
}
