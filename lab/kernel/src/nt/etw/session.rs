//! Providers that are registered, and sessions that come and go.

use std::cell::RefCell;
use std::collections::BTreeMap;

use lab_rules::event::{Callback, Remaining};

use crate::abi::constant::STATUS_INVALID_HANDLE;
use crate::driver;
use crate::nt::{SUCCESS, status};
use crate::per_image::per_image;
use crate::rt::sched;
use crate::trace::{TraceRecord, TraceSession, Wanted};
use crate::watch::{self, Holder};

/// What reports call a registration.
const REGISTRATION: &str = "ETW registration";

/// `ControlCode` of an `ETWENABLECALLBACK`.
/// <https://learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nc-wdm-etwenablecallback>
#[derive(Clone, Copy, PartialEq, Eq)]
enum Code {
    Disable = 0,
    Enable = 1,
    CaptureState = 2,
}

/// The number of the session that has a reader.
const READER: u16 = 1;
/// That of the one that comes and goes.
const VISITOR: u16 = 2;

struct Provider {
    id: [u8; 16],
    /// Whether it is of WPP's kind: with flags in place of keywords, and one session at a time, the one that came last.
    /// <https://learn.microsoft.com/windows/win32/etw/configuring-and-starting-an-event-tracing-session>
    is_classic: bool,
    callback: u64,
    context: u64,
    traits: Vec<u8>,
    /// Callbacks that run.
    calls: u32,
}

#[derive(Default)]
struct Tracing {
    last_handle: u64,
    providers: BTreeMap<u64, Provider>,
    reader: Option<TraceSession>,
    visitor: Option<Wanted>,
    /// The session that has enabled providers of WPP's kind last, until it goes.
    newest: Option<u16>,
}

impl Tracing {
    fn sessions(&self) -> impl Iterator<Item = (u16, Wanted)> {
        let reader = self.reader.as_ref().map(|reader| (READER, reader.wanted));
        reader
            .into_iter()
            .chain(self.visitor.map(|wanted| (VISITOR, wanted)))
    }

    /// The session that providers of WPP's kind write to.
    fn newest(&self) -> Option<(u16, Wanted)> {
        self.sessions()
            .find(|(number, _)| Some(*number) == self.newest)
    }

    /// What all sessions together want, as a provider is told; `None` without a session.
    fn wanted(&self) -> Option<Wanted> {
        self.sessions()
            .map(|(_, wanted)| wanted)
            .reduce(|a, b| Wanted {
                level: if a.level == 0 || b.level == 0 {
                    0
                } else {
                    a.level.max(b.level)
                },
                any_keyword: a.any_keyword | b.any_keyword,
                all_keywords: a.all_keywords & b.all_keywords,
            })
    }
}

per_image! {
    static TRACING: RefCell<Tracing> = RefCell::default();
}

/// A run begins, with this session.
pub(crate) fn configure(reader: Option<TraceSession>) {
    super::activity::reset();
    TRACING.set(Tracing {
        newest: reader.is_some().then_some(READER),
        reader,
        ..Tracing::default()
    });
}

/// Providers that are registered.
pub(crate) fn registered() -> Remaining {
    TRACING.with_borrow(|tracing| Remaining {
        count: u32::try_from(tracing.providers.len()).unwrap_or(u32::MAX),
        first: tracing.providers.keys().next().copied().unwrap_or(0),
    })
}

/// Registers a provider, and gives its handle.
pub(super) fn add(id: [u8; 16], is_classic: bool, callback: u64, context: u64) -> u64 {
    let handle = TRACING.with_borrow_mut(|tracing| {
        // The system's handles are addresses with something above.
        tracing.last_handle += 0x10;
        let handle = 0xFFFF_9A01_0000_0000 | tracing.last_handle;
        tracing.providers.insert(
            handle,
            Provider {
                id,
                is_classic,
                callback,
                context,
                traits: Vec::new(),
                calls: 0,
            },
        );
        handle
    });
    watch::note_object(REGISTRATION, handle, "allocated", Holder::Driver);
    handle
}

/// Takes a provider away, when no callback of it runs any more.
pub(super) fn remove(handle: u64) -> u64 {
    // From here on no callback begins.
    let callback = TRACING.with_borrow_mut(|tracing| {
        let provider = tracing.providers.get_mut(&handle)?;
        Some(std::mem::take(&mut provider.callback))
    });
    if callback.is_none() {
        return status(STATUS_INVALID_HANDLE);
    }
    sched::wait(&mut || {
        TRACING.with_borrow(|tracing| {
            let provider = tracing.providers.get(&handle);
            provider.is_none_or(|provider| provider.calls == 0)
        })
    });
    TRACING.with_borrow_mut(|tracing| tracing.providers.remove(&handle));
    watch::note_object(REGISTRATION, handle, "given back", Holder::Nobody);
    SUCCESS
}

/// Keeps the traits of a provider; tells whether there is one.
pub(super) fn set_traits(handle: u64, traits: Vec<u8>) -> bool {
    TRACING.with_borrow_mut(|tracing| {
        let provider = tracing.providers.get_mut(&handle);
        provider.map(|provider| provider.traits = traits).is_some()
    })
}

/// GUID and traits of a provider.
pub(super) fn provider(handle: u64) -> Option<([u8; 16], Vec<u8>)> {
    TRACING.with_borrow(|tracing| {
        let provider = tracing.providers.get(&handle)?;
        Some((provider.id, provider.traits.clone()))
    })
}

/// Whether there is such a provider.
pub(super) fn has(handle: u64) -> bool {
    TRACING.with_borrow(|tracing| tracing.providers.contains_key(&handle))
}

/// Whether a session wants an event of this level and these keywords.
pub(super) fn wants(level: u8, keywords: u64) -> bool {
    TRACING.with_borrow(|tracing| {
        tracing
            .sessions()
            .any(|(_, wanted)| wanted.has(level, keywords))
    })
}

/// Gives a record to the session with a reader, if it wants it.
pub(super) fn deliver(level: u8, keywords: u64, record: &TraceRecord) {
    TRACING.with_borrow_mut(|tracing| {
        if let Some(session) = &mut tracing.reader
            && session.wanted.has(level, keywords)
        {
            (session.reader)(record);
        }
    });
}

/// Whether there is a session of this number.
pub(super) fn has_logger(logger: u16) -> bool {
    TRACING.with_borrow(|tracing| tracing.sessions().any(|(number, _)| number == logger))
}

/// Gives a message to the session with a reader, if it is for it.
pub(super) fn deliver_message(logger: u16, record: &TraceRecord) {
    TRACING.with_borrow_mut(|tracing| {
        if let Some(session) = &mut tracing.reader
            && logger == READER
        {
            (session.reader)(record);
        }
    });
}

/// Tells a provider that has just come what the sessions want.
pub(super) fn greet(handle: u64) {
    if let Some(wanted) = TRACING.with_borrow(Tracing::wanted) {
        call(handle, Code::Enable, wanted);
    }
}

/// Calls a provider's callback, if it has one.
fn call(handle: u64, code: Code, wanted: Wanted) {
    let target = TRACING.with_borrow_mut(|tracing| {
        let provider = tracing.providers.get_mut(&handle)?;
        if provider.callback == 0 {
            return None;
        }
        provider.calls += 1;
        Some((
            provider.callback,
            provider.context,
            provider.is_classic.then_some(provider.id),
        ))
    });
    let Some((callback, context, classic)) = target else {
        return;
    };
    if let Some(id) = classic {
        call_classic(id, callback, context, code);
    } else {
        call_event_provider(callback, context, code, wanted);
    }
    TRACING.with_borrow_mut(|tracing| {
        if let Some(provider) = tracing.providers.get_mut(&handle) {
            provider.calls -= 1;
        }
    });
}

/// Tells a provider of WPP's kind which session writes, which it keeps as the handle to write with.
fn call_classic(id: [u8; 16], callback: u64, context: u64, code: Code) {
    if code == Code::CaptureState {
        return;
    }
    let session = TRACING.with_borrow(Tracing::newest);
    let (code, handle) = match session {
        Some((logger, wanted)) => {
            let level = if wanted.level == 0 {
                u8::MAX
            } else {
                wanted.level
            };
            let flags = (wanted.any_keyword & 0xFFFF_FFFF) << 32;
            (
                Code::Enable,
                u64::from(logger) | u64::from(level) << 16 | flags,
            )
        }
        None => (Code::Disable, 0),
    };
    let lent = driver::object(24);
    driver::write(lent, &id);
    driver::write(lent + 16, &handle.to_le_bytes());
    driver::call(
        Callback::EtwEnableCallback,
        None,
        callback,
        &[lent, code as u64, lent + 16, context],
    );
    driver::release(lent);
}

fn call_event_provider(callback: u64, context: u64, code: Code, wanted: Wanted) {
    driver::call(
        Callback::EtwEnableCallback,
        None,
        callback,
        &[
            // No session names a source.
            0,
            code as u64,
            wanted.level.into(),
            wanted.any_keyword,
            wanted.all_keywords,
            0,
            context,
        ],
    );
}

/// Tells every provider something, one after the other.
fn call_all(code: Code, wanted: Wanted) {
    call_each(code, wanted, |_| true);
}

/// Tells those that are chosen.
fn call_each(code: Code, wanted: Wanted, is_chosen: fn(&Provider) -> bool) {
    let mut last = 0;
    loop {
        let next = TRACING.with_borrow(|tracing| {
            let mut later = tracing.providers.range(last + 1..);
            later
                .find(|(_, provider)| is_chosen(provider))
                .map(|(handle, _)| *handle)
        });
        let Some(handle) = next else {
            return;
        };
        last = handle;
        call(handle, code, wanted);
    }
}

/// The longest time before a session comes or goes, in ns.
const REST_NS: u64 = 400_000;
/// How often it comes, at most.
const VISITS: u64 = 4;

/// Starts a session that comes and goes at any moment of the driver's life, wants this or that, and asks at times what
/// there is.
pub(crate) fn start_visits() {
    sched::spawn("trace session", None, || {
        for _ in 0..=sched::random(VISITS) {
            sched::sleep_until(sched::now() + sched::random(REST_NS));
            visit();
            sched::sleep_until(sched::now() + sched::random(REST_NS));
            if sched::chance(1, 4) {
                enable_again();
                sched::sleep_until(sched::now() + sched::random(REST_NS));
            }
            leave();
            if sched::chance(1, 2) {
                enable_again();
            }
        }
    });
}

fn visit() {
    let any_keyword = match sched::random(4) {
        0 => u64::MAX,
        1 => 1 << sched::random(12),
        _ => sched::random(0x200),
    };
    let wanted = Wanted {
        level: sched::random(6) as u8,
        any_keyword,
        all_keywords: if sched::chance(1, 8) {
            any_keyword & sched::random(0x200)
        } else {
            0
        },
    };
    TRACING.with_borrow_mut(|tracing| {
        tracing.visitor = Some(wanted);
        tracing.newest = Some(VISITOR);
    });
    tell();
    if sched::chance(1, 2) {
        call_all(Code::CaptureState, wanted);
    }
}

fn leave() {
    TRACING.with_borrow_mut(|tracing| {
        tracing.visitor = None;
        tracing.newest = tracing.newest.filter(|newest| *newest != VISITOR);
    });
    tell();
}

/// Somebody enables providers of WPP's kind for the session with a reader again, whoever has them now.
fn enable_again() {
    let wanted = TRACING.with_borrow_mut(|tracing| {
        let wanted = tracing.reader.as_ref()?.wanted;
        tracing.newest = Some(READER);
        Some(wanted)
    });
    if let Some(wanted) = wanted {
        call_each(Code::Enable, wanted, |provider| provider.is_classic);
    }
}

/// Tells every provider what the sessions want now.
fn tell() {
    match TRACING.with_borrow(Tracing::wanted) {
        Some(wanted) => call_all(Code::Enable, wanted),
        None => call_all(
            Code::Disable,
            Wanted {
                level: 0,
                any_keyword: 0,
                all_keywords: 0,
            },
        ),
    }
}

/// The session with a reader asks every provider what there is.
pub(crate) fn capture_state() {
    let wanted = TRACING.with_borrow(|tracing| Some(tracing.reader.as_ref()?.wanted));
    if let Some(wanted) = wanted {
        call_all(Code::CaptureState, wanted);
    }
}
