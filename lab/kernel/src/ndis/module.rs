//! Filter modules: attach, restart, pause, detach, each on the adapter's own thread of NDIS.

pub(crate) mod parameters;

use std::cell::RefCell;

use lab_rules::Kind;
use lab_rules::event::{Callback, HandlerSet, Lent, ModuleEvent, NblPath};

use super::filter::{self, PathHandlers};
use super::handle::{self, Handle};
use super::register::read_header;
use super::{adapter, disturbance, netpnp, oid, stack};
use crate::abi::constant::{
    NDIS_FILTER_ATTRIBUTES_REVISION_1, NDIS_FILTER_PARTIAL_CHARACTERISTICS_REVISION_1,
    NDIS_OBJECT_TYPE_FILTER_ATTRIBUTES, NDIS_OBJECT_TYPE_FILTER_PARTIAL_CHARACTERISTICS,
    NDIS_SIZEOF_FILTER_ATTRIBUTES_REVISION_1,
    NDIS_SIZEOF_FILTER_PARTIAL_CHARACTERISTICS_REVISION_1, NDIS_STATUS_INVALID_PARAMETER,
    NDIS_STATUS_PENDING,
};
use crate::abi::ndis::NDIS_FILTER_ATTRIBUTES;
use crate::driver;
use crate::nt::{SUCCESS, imports, status};
use crate::per_image::per_image;
use crate::rt::{Call, sched};
use crate::watch::{self, OrFault, emit};

imports! {
    "ndis.sys":
    NdisFSetAttributes => set_attributes,
    NdisFRestartComplete => restart_complete,
    NdisFPauseComplete => pause_complete,
    NdisSetOptionalHandlers => set_optional_handlers,
    NdisFRestartFilter => restart_filter,
}

/// OID requests to a module that was never started.
const EARLY_REQUESTS: u32 = 2;

const PENDING: u32 = NDIS_STATUS_PENDING.cast_unsigned();

/// The state of a module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    /// Not there.
    #[default]
    Detached,
    /// `FilterAttach` runs.
    Attaching,
    /// Attached.
    Paused,
    /// `FilterRestart` was called.
    Restarting,
    /// Packets flow.
    Running,
    /// `FilterPause` was called.
    Pausing,
}

/// The module on one adapter.
#[derive(Clone, Copy, Debug, Default)]
struct Module {
    state: State,
    handle: u64,
    context: u64,
    path: PathHandlers,
    /// What the driver completed the running transition with.
    completion: Option<u32>,
    /// The first attach has ended, well or badly.
    has_tried: bool,
    /// The start of the stack has ended, well or badly.
    is_settled: bool,
    /// `NdisFRestartFilter` was called.
    restart_wanted: bool,
}

per_image! {
    static MODULES: RefCell<Vec<Module>> = const { RefCell::new(Vec::new()) };
}

/// Sets up one absent module per adapter.
pub(crate) fn reset() {
    parameters::reset();
    MODULES.set(vec![Module::default(); adapter::count() as usize]);
}

fn get(adapter: u32) -> Module {
    MODULES.with_borrow(|modules| modules.get(adapter as usize).copied().unwrap_or_default())
}

fn change(adapter: u32, change: impl FnOnce(&mut Module)) {
    MODULES.with_borrow_mut(|modules| modules.get_mut(adapter as usize).map(change));
}

/// The state of an adapter's module.
pub(crate) fn state(adapter: u32) -> State {
    get(adapter).state
}

/// The path handlers and context of an attached module.
pub(crate) fn path(adapter: u32) -> Option<(u64, PathHandlers)> {
    let module = get(adapter);
    let is_attached = !matches!(module.state, State::Detached | State::Attaching);
    is_attached.then_some((module.context, module.path))
}

/// The path handlers of a module, also while it is being attached.
pub(crate) fn path_handlers(adapter: u32) -> PathHandlers {
    get(adapter).path
}

/// Whether the first module's attach has ended.
pub(crate) fn has_first_attach_ended() -> bool {
    get(0).has_tried
}

/// Whether every stack has started, or failed to.
pub(crate) fn all_settled() -> bool {
    stack::all(|| MODULES.with_borrow(|modules| modules.iter().all(|module| module.is_settled)))
}

/// Starts the stack of every adapter, each on a thread of its own.
pub(crate) fn bind_all() {
    for adapter in 0..adapter::count() {
        sched::spawn(&format!("ndis {adapter}"), None, move || {
            start(adapter);
            change(adapter, |module| {
                (module.has_tried, module.is_settled) = (true, true)
            });
        });
    }
}

fn start(adapter: u32) {
    // The stacks of several adapters do not start at the same moment.
    sched::sleep_until(sched::now() + sched::random(20_000));
    adapter::begin_change(adapter);
    pause_all(adapter);
    if attach(adapter) && !disturbance::is_scripted() {
        // Requests come before the first restart too.
        oid::ask_some(adapter, EARLY_REQUESTS);
    }
    restart_all(adapter);
    open(adapter);
    adapter::end_change(adapter);
}

/// Pauses what runs in an adapter's stack, from the top.
fn pause_all(adapter: u32) {
    stack::each(|| {
        if state(adapter) == State::Running {
            pause(adapter);
        }
    });
}

/// Restarts what is paused in an adapter's stack, from below.
pub(crate) fn restart_all(adapter: u32) {
    stack::each_from_below(|| {
        if state(adapter) == State::Paused {
            restart(adapter);
        }
    });
}

/// The running image's filter is inserted into a stack again, which is paused; tells whether it has attached.
pub(crate) fn insert(adapter: u32) -> bool {
    let has_attached = attach(adapter);
    change(adapter, |module| module.is_settled = true);
    has_attached
}

/// The same in a stack that runs again then. Nothing flows meanwhile.
pub(crate) fn reattach(adapter: u32) {
    insert(adapter);
    restart_all(adapter);
}

/// Attaches; tells whether it worked.
fn attach(adapter: u32) -> bool {
    let Some(filter) = filter::registered().filter(|filter| !filter.is_leaving) else {
        return false;
    };
    let handle = handle::open(Handle::Module(adapter));
    change(adapter, |module| {
        *module = Module {
            state: State::Attaching,
            handle,
            path: filter.handlers.path,
            ..Module::default()
        };
    });
    let parameters = parameters::Attach::new(adapter);
    let arguments = [handle, filter.context, parameters.address()];
    watch::note_lent(Lent::Attach, parameters.address(), filter.handlers.attach);
    let result = driver::call_status(
        Callback::FilterAttach,
        Some(adapter),
        filter.handlers.attach,
        &arguments,
    );
    parameters.release();
    if result != 0 {
        handle::close(handle);
        change(adapter, |module| {
            *module = Module {
                has_tried: true,
                ..Module::default()
            }
        });
        return false;
    }
    change(adapter, |module| {
        (module.state, module.has_tried) = (State::Paused, true)
    });
    adapter::open_control(adapter);
    true
}

/// Restarts; a module whose restart fails is detached. What is below runs already.
fn restart(adapter: u32) {
    let Some(filter) = filter::registered() else {
        return;
    };
    let context = get(adapter).context;
    if filter.handlers.set_module_options != 0 {
        // What the old handlers have let through comes back before they go: the whole stack is paused.
        sched::wait(&mut || adapter::is_empty(adapter));
        let callback = Callback::FilterSetModuleOptions;
        driver::call_status(
            callback,
            Some(adapter),
            filter.handlers.set_module_options,
            &[context],
        );
    }
    change(adapter, |module| {
        (module.state, module.completion) = (State::Restarting, None)
    });
    let parameters = parameters::Restart::new(adapter);
    let arguments = [context, parameters.address()];
    watch::note_lent(Lent::Restart, parameters.address(), filter.handlers.restart);
    let mut result = driver::call_status(
        Callback::FilterRestart,
        Some(adapter),
        filter.handlers.restart,
        &arguments,
    );
    if result == PENDING {
        result = wait_for_completion(adapter);
    }
    let (has_changed, unknown_changed, is_memory_wrong) = parameters.changes().or_fault();
    let returned = ModuleEvent::RestartReturned {
        adapter,
        status: result,
        was_null: parameters.was_null(),
        has_changed,
        unknown_changed,
        is_memory_wrong,
    };
    watch::emit_about(Kind::Module(returned), filter.handlers.restart);
    parameters.release();
    if result == 0 {
        change(adapter, |module| module.state = State::Running);
    } else {
        change(adapter, |module| module.state = State::Paused);
        detach(adapter);
    }
}

/// Lets packets into an adapter's stack.
pub(crate) fn open(adapter: u32) {
    adapter::open(adapter, NblPath::Receive);
    adapter::open(adapter, NblPath::Send);
}

/// Pauses. What is above is paused already; what is below still runs.
pub(crate) fn pause(adapter: u32) {
    let Some(filter) = filter::registered() else {
        return;
    };
    change(adapter, |module| {
        (module.state, module.completion) = (State::Pausing, None)
    });
    let parameters = parameters::Pause::new();
    let arguments = [get(adapter).context, parameters.address()];
    let result = driver::call_status(
        Callback::FilterPause,
        Some(adapter),
        filter.handlers.pause,
        &arguments,
    );
    disturbance::intrude(adapter);
    if result == PENDING {
        wait_for_completion(adapter);
    }
    parameters.release();
    change(adapter, |module| module.state = State::Paused);
}

fn wait_for_completion(adapter: u32) -> u32 {
    sched::wait(&mut || get(adapter).completion.is_some());
    get(adapter).completion.unwrap_or_default()
}

/// Detaches a paused module. The stack is paused as a whole, so every structure is home before.
pub(crate) fn detach(adapter: u32) {
    let Some(filter) = filter::registered() else {
        return;
    };
    adapter::close(adapter, NblPath::Send);
    adapter::close(adapter, NblPath::Receive);
    sched::wait(&mut || adapter::is_empty(adapter));
    netpnp::filter_pre_detach(adapter);
    adapter::close_control(adapter);
    let module = get(adapter);
    driver::call(
        Callback::FilterDetach,
        Some(adapter),
        filter.handlers.detach,
        &[module.context],
    );
    handle::close(module.handle);
    change(adapter, |module| {
        *module = Module {
            has_tried: true,
            is_settled: true,
            ..Module::default()
        };
    });
}

/// Pauses and detaches what is still attached of the running image; the rest of a stack goes on.
pub(crate) fn unbind_all() {
    for adapter in 0..adapter::count() {
        sched::wait(&mut || {
            matches!(
                state(adapter),
                State::Detached | State::Paused | State::Running
            )
        });
        adapter::begin_change(adapter);
        if state(adapter) == State::Running {
            adapter::close(adapter, NblPath::Send);
            pause_all(adapter);
        }
        if state(adapter) == State::Paused {
            detach(adapter);
            restart_all(adapter);
        }
        adapter::end_change(adapter);
    }
}

/// Whether a pause and restart that a driver asked for is still to come.
pub(crate) fn is_restarting(adapter: u32) -> bool {
    !stack::all(|| !get(adapter).restart_wanted)
}

/// Pauses and restarts the stack, as the driver asked: protocols first, then the filter, then the
/// miniport; and back.
fn restart_stack(adapter: u32) {
    adapter::begin_change(adapter);
    change(adapter, |module| module.restart_wanted = false);
    if state(adapter) == State::Running {
        adapter::close(adapter, NblPath::Send);
        pause_all(adapter);
        adapter::close(adapter, NblPath::Receive);
        restart_all(adapter);
        open(adapter);
    }
    adapter::end_change(adapter);
}

/// The effective handlers of a module.
fn effective(adapter: u32) -> HandlerSet {
    let handlers = filter::registered()
        .map(|filter| filter.handlers)
        .unwrap_or_default();
    handlers.set(get(adapter).path)
}

fn set_attributes(call: &Call<'_>) -> u64 {
    let Some(adapter) = handle::module("NdisFSetAttributes", call.arg(0)) else {
        return status(NDIS_STATUS_INVALID_PARAMETER);
    };
    let (context, attributes) = (call.arg(1), call.arg(2));
    let expected = (
        NDIS_OBJECT_TYPE_FILTER_ATTRIBUTES,
        NDIS_FILTER_ATTRIBUTES_REVISION_1,
        NDIS_SIZEOF_FILTER_ATTRIBUTES_REVISION_1,
    );
    let header = read_header("NDIS_FILTER_ATTRIBUTES", attributes, expected).or_fault();
    let flags = NDIS_FILTER_ATTRIBUTES::Flags.read(attributes).or_fault();
    emit(Kind::Module(ModuleEvent::AttributesSet {
        adapter,
        header,
        context,
        flags,
    }));
    change(adapter, |module| module.context = context);
    SUCCESS
}

fn restart_complete(call: &Call<'_>) -> u64 {
    if let Some(adapter) = handle::module("NdisFRestartComplete", call.arg(0)) {
        let status = call.arg_u32(1);
        emit(Kind::Module(ModuleEvent::RestartCompleted {
            adapter,
            status,
        }));
        change(adapter, |module| module.completion = Some(status));
    }
    0
}

fn pause_complete(call: &Call<'_>) -> u64 {
    if let Some(adapter) = handle::module("NdisFPauseComplete", call.arg(0)) {
        emit(Kind::Module(ModuleEvent::PauseCompleted { adapter }));
        change(adapter, |module| module.completion = Some(0));
    }
    0
}

fn set_optional_handlers(call: &Call<'_>) -> u64 {
    let (handle, partial) = (call.arg(0), call.arg(1));
    if handle::look_up(handle) == Some(Handle::Driver) {
        // There are no optional services of filter drivers: this is for `FilterSetOptions` only.
        if let Some(adapter) = watch::inside_of(Callback::FilterSetModuleOptions) {
            emit(Kind::Module(ModuleEvent::HandlersChanged {
                adapter,
                handlers: effective(adapter),
                in_set_module_options: false,
            }));
        }
        return SUCCESS;
    }
    let Some(adapter) = handle::module("NdisSetOptionalHandlers", handle) else {
        return status(NDIS_STATUS_INVALID_PARAMETER);
    };
    let expected = (
        NDIS_OBJECT_TYPE_FILTER_PARTIAL_CHARACTERISTICS,
        NDIS_FILTER_PARTIAL_CHARACTERISTICS_REVISION_1,
        NDIS_SIZEOF_FILTER_PARTIAL_CHARACTERISTICS_REVISION_1,
    );
    let header = read_header("NDIS_FILTER_PARTIAL_CHARACTERISTICS", partial, expected).or_fault();
    if !header.is_valid() {
        return status(NDIS_STATUS_INVALID_PARAMETER);
    }
    let handlers = PathHandlers::read(partial).or_fault();
    change(adapter, |module| module.path = handlers);
    let in_set_module_options = watch::is_inside(|call| {
        call.callback == Callback::FilterSetModuleOptions && call.adapter == Some(adapter)
    });
    emit(Kind::Module(ModuleEvent::HandlersChanged {
        adapter,
        handlers: effective(adapter),
        in_set_module_options,
    }));
    SUCCESS
}

fn restart_filter(call: &Call<'_>) -> u64 {
    match handle::module("NdisFRestartFilter", call.arg(0)) {
        Some(adapter) => {
            if !get(adapter).restart_wanted {
                change(adapter, |module| module.restart_wanted = true);
                sched::spawn(&format!("ndis restart {adapter}"), None, move || {
                    restart_stack(adapter)
                });
            }
            SUCCESS
        }
        None => status(NDIS_STATUS_INVALID_PARAMETER),
    }
}
