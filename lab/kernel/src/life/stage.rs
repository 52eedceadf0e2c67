//! The stages of a driver's life, played by the first kernel thread.

use lab_rules::Kind;
use lab_rules::event::{Callback, Left, Lent, ModuleEvent, NblPath, Overdue, Remaining};

use std::cell::Cell;
use std::rc::Rc;

use super::{REFUSAL, SHOW, VERSION, chaos, control, script};
use crate::abi::nt::{DRIVER_EXTENSION, DRIVER_OBJECT};
use crate::ndis::handle::{Handle, remaining};
use crate::ndis::module::State;
use crate::ndis::{self, adapter, filter, module, stack, traffic};
use crate::rt::sched::{self, Wait};
use crate::watch::{self, OrFault, emit, emit_about, emit_stuck};
use crate::{Chaos, ControlPhase, NextLoad, Progress, Script, Stop, driver, nt, rt, worker};

/// Driver Verifier's limit for a pause, in ns.
const PAUSE_NS: u64 = 10_000_000_000;
/// The lab's limit for what has no documented one, in ns.
const LIMIT_NS: u64 = 30_000_000_000;
/// The latest begin of the events in between, in ns.
const EVENTS_NS: u64 = 100_000;
/// How often a waiting person is told, in ns of virtual time.
const SHOW_NS: u64 = 1_000_000;
/// Threads of each neighbour that give frames to a filter at the same time, in a hard life.
const LANES: usize = 2;

/// How long a hard life idles at least, and how much longer at most.
const IDLE_LEAST_NS: u64 = 20_000_000;
const IDLE_MORE_NS: u64 = 30_000_000;

/// What a life is played with.
pub(super) struct Play {
    /// Where each image begins, by its number.
    pub(super) entries: Vec<u64>,
    pub(super) workers: u8,
    pub(super) stop: Stop,
    pub(super) frames_total: u64,
    pub(super) chaos: Option<Chaos>,
    /// Whether a hard life that sees all its traffic home has some time with nothing to do before the pause.
    pub(super) idles: bool,
    pub(super) script: Option<Script>,
    pub(super) loads: Option<NextLoad>,
}

/// Plays the whole life.
pub(super) fn play(play: Play) {
    let Play {
        entries,
        workers,
        stop,
        frames_total,
        chaos,
        idles,
        script,
        loads,
    } = play;
    let show = |phase| show(phase, frames_total);
    stack::each(|| worker::start(workers, chaos.is_some()));
    // In every fourth hard life, because writing events takes its time.
    if chaos.is_some() && sched::chance(1, 4) {
        nt::etw::start_visits();
    }
    show("load");
    let mut objects = Vec::new();
    for image in load_order() {
        let entry = entries[usize::from(image)];
        match sched::on_behalf(image, || load(entry)) {
            Ok(object) => objects.push((image, object)),
            Err(why) => return refuse(image, &objects, why),
        }
    }
    show("attach");
    wait_for_start();
    nt::etw::capture_state();
    show("traffic");
    match loads {
        Some(mut next) => ndis::bench::measure_all(&mut next),
        None => run_traffic(&show, stop, chaos, idles, script, frames_total),
    }
    if stop != Stop::Busy {
        adapter::keep_counts();
        control::ask(ControlPhase::BeforePause);
        if !ndis::is_scripted() {
            stack::each(|| {
                control::try_others();
                control::try_methods();
            });
        }
        if ndis::is_disturbed() {
            stack::each(control::try_without_file);
        }
    }
    if stop != Stop::InUnload {
        show("pause");
        stop_stacks(&show);
        control::ask(ControlPhase::BeforeUnload);
    }
    show("unload");
    if stop == Stop::InUnload && adapter::count() > 1 && objects.len() == 1 {
        remove_meanwhile(0);
    }
    for (image, object) in objects {
        sched::on_behalf(image, || unload(object));
    }
    if stop == Stop::InUnload {
        (0..adapter::count()).for_each(traffic::stop_neighbours);
    }
    stack::each(worker::stop);
}

/// The images in the order in which their services start, which is not that of the stack.
fn load_order() -> Vec<u8> {
    let mut order: Vec<u8> = stack::from_top().collect();
    for last in (1..order.len()).rev() {
        order.swap(last, sched::random(last as u64 + 1) as usize);
    }
    order
}

/// Loads the running image: gives its driver object, or says why it is no filter.
fn load(entry: u64) -> Result<u64, String> {
    let driver_object = make_driver_object(entry);
    let registry_path = driver::unicode_string(Lent::Other, nt::registry::SERVICE);
    let status = driver::call_status(
        Callback::DriverEntry,
        None,
        entry,
        &[driver_object, registry_path],
    );
    driver::release(registry_path);
    if status >= 0x8000_0000 {
        // The image does not stay loaded, and nobody calls its unload routine.
        emit_about(Kind::Left(left(true)), entry);
        return Err(format!("DriverEntry failed with {status:#010x}"));
    }
    let has_unload_routine = DRIVER_OBJECT::DriverUnload.read(driver_object).or_fault() != 0;
    let loaded = Kind::Module(ModuleEvent::Loaded { has_unload_routine });
    emit_about(loaded, entry);
    rt::discard_init_sections();
    nt::notification::reinitialize_all();
    let Some(filter) = filter::registered() else {
        unload(driver_object);
        return Err("no filter: DriverEntry registered nothing with NDIS".into());
    };
    if sched::image() == 0 {
        VERSION.set(Some(6 << 16 | u32::from(filter.minor)));
    }
    Ok(driver_object)
}

/// An image cannot be used: those that are loaded go again.
fn refuse(image: u8, loaded: &[(u8, u64)], why: String) {
    REFUSAL.set(Some((image, why)));
    if !loaded.is_empty() {
        wait_for_start();
    }
    for (image, object) in loaded {
        sched::on_behalf(*image, || unload(*object));
    }
    stack::each(worker::stop);
}

fn show(phase: &'static str, frames_total: u64) {
    let progress = Progress {
        phase,
        frames_done: adapter::frames_done(),
        frames_total,
        virtual_ns: sched::now(),
    };
    SHOW.with_borrow_mut(|show| {
        if let Some(show) = show {
            show(&progress);
        }
    });
}

fn make_driver_object(entry: u64) -> u64 {
    /// `IO_TYPE_DRIVER`.
    const TYPE: i16 = 4;
    let object = driver::object(DRIVER_OBJECT::SIZE);
    let extension = driver::object(DRIVER_EXTENSION::SIZE);
    let fill = || {
        DRIVER_OBJECT::Type.write(object, TYPE)?;
        DRIVER_OBJECT::Size.write(object, DRIVER_OBJECT::SIZE as i16)?;
        DRIVER_OBJECT::DriverInit.write(object, entry)?;
        DRIVER_OBJECT::DriverExtension.write(object, extension)?;
        DRIVER_EXTENSION::DriverObject.write(extension, object)
    };
    fill().or_fault();
    watch::note_life(None, object);
    object
}

/// Waits until every stack has started.
fn wait_for_start() {
    if sched::wait_until(sched::now() + LIMIT_NS, &mut module::all_settled) == Wait::Satisfied {
        return;
    }
    stack::each(|| blame_start(LIMIT_NS));
}

/// Says what of the running image's has not started.
fn blame_start(waited_ns: u64) {
    for adapter in 0..adapter::count() {
        match module::state(adapter) {
            State::Attaching => overdue(Callback::FilterAttach, adapter, waited_ns, None),
            State::Restarting => {
                let pending = Overdue::Restart { adapter, waited_ns };
                overdue(Callback::FilterRestart, adapter, waited_ns, Some(pending));
            }
            _ => {}
        }
    }
}

/// A transition takes too long: its routine does not return, or what it left pending does not end.
fn overdue(callback: Callback, adapter: u32, waited_ns: u64, pending: Option<Overdue>) {
    let adapter = Some(adapter);
    match (watch::running(callback, adapter), pending) {
        (Some(running), _) => {
            let hangs = Overdue::Callback {
                callback,
                adapter,
                waited_ns,
            };
            emit_stuck(Kind::Overdue(hangs), running);
        }
        (None, Some(pending)) => {
            let handlers = filter::registered().map(|filter| filter.handlers);
            let handlers = handlers.unwrap_or_default();
            let routine = match callback {
                Callback::FilterPause => handlers.pause,
                _ => handlers.restart,
            };
            emit_about(Kind::Overdue(pending), routine);
        }
        (None, None) => {}
    }
}

/// Lets the frames flow, with a status indication and PnP events in between, until all is quiet; in a
/// hard life with more in between, and maybe only until most of the frames are through; with a script what that says.
fn run_traffic(
    show: &dyn Fn(&'static str),
    stop: Stop,
    chaos: Option<Chaos>,
    idles: bool,
    script: Option<Script>,
    frames_total: u64,
) {
    let operating = Rc::new(Cell::new(0_u32));
    let lanes = if chaos.is_some() { LANES } else { 1 };
    let ends_early = chaos.is_some() && sched::chance(1, 2);
    let chaos = chaos.map(Rc::new);
    let begin = |operating: &Rc<Cell<u32>>| {
        operating.set(operating.get() + 1);
        let operating = Rc::clone(operating);
        move || operating.set(operating.get() - 1)
    };
    control::start(frames_total, begin(&operating));
    for adapter in 0..adapter::count() {
        traffic::start_neighbours(adapter);
        traffic::start_traffic(adapter, lanes);
        if let Some(chaos) = &chaos {
            chaos::start(adapter, chaos, begin(&operating));
        }
        if ndis::is_scripted() {
            adapter::with_mut(adapter, |adapter| adapter.events_done = true);
            continue;
        }
        if ndis::has_oid_handlers() {
            operating.set(operating.get() + 1);
            let operating = Rc::clone(&operating);
            sched::spawn(&format!("asker {adapter}"), None, move || {
                ndis::ask_all_oids(adapter);
                operating.set(operating.get() - 1);
            });
        }
        let is_hard = chaos.is_some();
        sched::spawn(&format!("events {adapter}"), None, move || {
            sched::sleep_until(sched::now() + sched::random(EVENTS_NS));
            if adapter::enter_control(adapter) {
                ndis::indicate_events(adapter);
                // In a hard life that is an operation of its own.
                if ndis::is_disturbed() && !is_hard {
                    ndis::change_power(adapter, || ());
                }
                adapter::leave_control(adapter);
            }
            adapter::with_mut(adapter, |adapter| adapter.events_done = true);
        });
    }
    if let Some(script) = script {
        script::start(Rc::new(script), begin(&operating));
    }
    // Progress moves the limit: it is for what stands still.
    let progress = || adapter::frames_done() + script::progress();
    let mut done = progress();
    let mut limit_ns = sched::now() + LIMIT_NS;
    let is_quiet = || {
        operating.get() == 0
            && if ends_early {
                adapter::most_done() && adapter::all_events_done()
            } else {
                adapter::all_home() && (stop == Stop::Busy || stack::all(worker::is_idle))
            }
    };
    while sched::wait_until(sched::now() + SHOW_NS, &mut || is_quiet()) == Wait::TimedOut {
        show("traffic");
        let now_done = progress();
        if now_done != done {
            (done, limit_ns) = (now_done, sched::now() + LIMIT_NS);
        } else if ndis::is_disturbed() && adapter::all_given() && operating.get() == 0 {
            // What the filter holds until the pause does not keep a stack from pausing.
            break;
        } else if sched::now() >= limit_ns {
            return stuck();
        }
    }
    show("traffic");
    if idles && !ends_early {
        // Traffic is over in less than a millisecond: timers are longer.
        sched::sleep_until(sched::now() + IDLE_LEAST_NS + sched::random(IDLE_MORE_NS));
    }
}

/// Nothing moves any more: says what is missing, of which a packet lies with the filter that was given it last.
fn stuck() {
    stack::each(blame_packets);
    stack::each(blame_callbacks);
    let busy = stack::find(None, stack::from_top(), || !worker::is_idle());
    sched::on_behalf(busy.unwrap_or(0), blame_workers);
}

/// Says what the running image has not given back.
fn blame_packets() {
    for adapter in 0..adapter::count() {
        let away = ndis::with_next_filter(adapter);
        let [sends, receives] = adapter::with(adapter, |adapter| {
            [NblPath::Send, NblPath::Receive].map(|path| {
                let side = adapter::side(path);
                let is_away = adapter.with_neighbour[side].len() + away[side];
                adapter.outstanding[side].saturating_sub(is_away) as u64
            })
        });
        if sends > 0 {
            emit(Kind::Overdue(Overdue::Sends {
                adapter,
                waited_ns: LIMIT_NS,
            }));
        }
        if receives > 0 {
            emit(Kind::Overdue(Overdue::Receives {
                adapter,
                waited_ns: LIMIT_NS,
            }));
        }
    }
}

/// Says which of the running image's callbacks does not end.
fn blame_callbacks() {
    // A thread of the driver's may wait for work as long as it likes.
    let is_called =
        |callback: Callback| !callback.is_work_item() && callback != Callback::SystemThread;
    let running = watch::any_running(is_called).or_else(|| {
        let is_thread = |callback| worker::is_idle() && callback == Callback::SystemThread;
        watch::any_running(is_thread)
    });
    if let Some(running) = running {
        let hangs = Overdue::Callback {
            callback: running.call.callback,
            adapter: running.call.adapter,
            waited_ns: LIMIT_NS,
        };
        emit_stuck(Kind::Overdue(hangs), running);
    }
}

/// Says that the running image's work items, or nobody knows what, do not end.
fn blame_workers() {
    if worker::is_idle() {
        return emit(Kind::Overdue(Overdue::Run));
    }
    match watch::any_running(Callback::is_work_item) {
        Some(running) => emit_stuck(Kind::Overdue(Overdue::Workers), running),
        None => emit(Kind::Overdue(Overdue::Workers)),
    }
}

/// Pauses and detaches every stack. Protocols stop sending first; what is below goes on until the
/// filter is paused.
fn stop_stacks(show: &dyn Fn(&'static str)) {
    for adapter in 0..adapter::count() {
        sched::wait(&mut || !module::is_restarting(adapter));
        adapter::begin_change(adapter);
        if !stack::all(|| module::state(adapter) != State::Running) {
            adapter::close(adapter, NblPath::Send);
            if pause_in_time(adapter) && !ndis::is_scripted() {
                // Nobody waits with these for a restart.
                ndis::ask_oids(adapter, 2);
            }
        }
    }
    show("detach");
    for adapter in 0..adapter::count() {
        stack::each(|| {
            if module::state(adapter) == State::Paused {
                detach_in_time(adapter);
            }
        });
        adapter::end_change(adapter);
        traffic::stop_neighbours(adapter);
    }
}

/// Removes the filter from an adapter, and returns when its detach has begun: the driver is unloaded meanwhile.
fn remove_meanwhile(adapter: u32) {
    sched::spawn(&format!("removal {adapter}"), None, move || {
        sched::wait(&mut || !module::is_restarting(adapter));
        adapter::begin_change(adapter);
        if module::state(adapter) == State::Running {
            adapter::close(adapter, NblPath::Send);
            if pause_in_time(adapter) {
                detach_in_time(adapter);
            }
        }
        adapter::end_change(adapter);
    });
    sched::wait(&mut || {
        module::state(adapter) == State::Detached
            || watch::running(Callback::FilterDetach, Some(adapter)).is_some()
    });
}

/// Pauses an adapter's modules from the top, each within the time there is for it; tells whether they are paused.
pub(super) fn pause_in_time(adapter: u32) -> bool {
    let mut is_paused = true;
    stack::each(|| {
        if module::state(adapter) == State::Running {
            is_paused &= pause_one_in_time(adapter);
        }
    });
    is_paused
}

fn pause_one_in_time(adapter: u32) -> bool {
    let begun = sched::now();
    sched::spawn(&format!("ndis pause {adapter}"), None, move || {
        module::pause(adapter)
    });
    let paused = sched::wait_until(begun + PAUSE_NS, &mut || {
        module::state(adapter) == State::Paused
    });
    if paused == Wait::TimedOut {
        let pending = Overdue::Pause {
            adapter,
            waited_ns: PAUSE_NS,
        };
        overdue(Callback::FilterPause, adapter, PAUSE_NS, Some(pending));
    }
    paused == Wait::Satisfied
}

/// Detaches a module within the time there is for it; tells whether it is gone.
pub(super) fn detach_in_time(adapter: u32) -> bool {
    let begun = sched::now();
    sched::spawn(&format!("ndis detach {adapter}"), None, move || {
        module::detach(adapter)
    });
    let detached = sched::wait_until(begun + LIMIT_NS, &mut || {
        module::state(adapter) == State::Detached
    });
    if detached == Wait::TimedOut {
        overdue(Callback::FilterDetach, adapter, LIMIT_NS, None);
        stuck();
    }
    detached == Wait::Satisfied
}

/// Calls the unload routine and looks at what is left.
fn unload(driver_object: u64) {
    let routine = DRIVER_OBJECT::DriverUnload.read(driver_object).or_fault();
    if routine == 0 {
        // It stays loaded for ever.
        return;
    }
    // The I/O manager waits with the unload for its references. What is queued it is the driver's
    // business to wait for.
    let is_free = || worker::has_returned() && crate::irp::lets_unload();
    sched::wait_until(sched::now() + LIMIT_NS, &mut || is_free());
    driver::call(Callback::DriverUnload, None, routine, &[driver_object]);
    sched::wait_until(sched::now() + LIMIT_NS, &mut worker::has_freed_returned);
    emit_about(Kind::Left(left(false)), routine);
}

fn left(entry_failed: bool) -> Left {
    let (registrations, registration) = nt::registration::remaining();
    Left {
        entry_failed,
        registered: filter::registered().is_some(),
        timers_set: ndis::timers_set() + nt::timer::set_count() + nt::io_timer::running_count(),
        timers_allocated: timers_allocated(),
        threads: nt::ps::running(),
        first_thread: nt::ps::first_running(),
        configurations: remaining(Handle::Configuration),
        nbl_pools: remaining(Handle::Pool),
        rw_locks: remaining(Handle::RwLock),
        etw_providers: nt::etw::registered(),
        handles: nt::ob::remaining(),
        irps: crate::irp::remaining(),
        notifications: notifications(),
        remove_locks: nt::remove_lock::remaining(),
        platform: crate::fwp::remaining(),
        registrations,
        registration,
    }
}

/// Registrations of all kinds.
fn notifications() -> Remaining {
    let (told, called) = (
        nt::notification::registered(),
        nt::ex_callback::registered(),
    );
    Remaining {
        count: told.count.saturating_add(called.count),
        first: if told.count > 0 {
            told.first
        } else {
            called.first
        },
    }
}

/// Timers of both families that are objects of the system's.
fn timers_allocated() -> Remaining {
    let ndis = remaining(Handle::Timer);
    let ex = nt::ex_timer::remaining();
    Remaining {
        count: ndis.count.saturating_add(ex.count),
        first: if ndis.count > 0 { ndis.first } else { ex.first },
    }
}
