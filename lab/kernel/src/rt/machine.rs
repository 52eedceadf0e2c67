//! Loading an image and running it.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    rc::Rc,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    call::{self, Call, DataExport, Import},
    fault::{Fault, Place},
    image::{Images, LoadedImage},
    import::Registry,
    journal, layout,
    mapping::{Access, Mapping},
    paged, pool,
    processor::{PROCESSORS_MOST, Processors},
    random::Random,
    sched,
    signal::Handlers,
    stack::{STACK_WARNING_BYTES, Stacks},
    thunk,
    trace::{self, StackId},
    user,
};

/// An image to load.
pub(crate) struct ImageConfig {
    /// The validated image.
    pub(crate) image: Rc<lab_pe::Image>,
    /// Its file name, for errors.
    pub(crate) name: String,
    /// Where its symbols are, if anywhere.
    pub(crate) pdb: Option<PathBuf>,
}

/// What a machine is made of.
pub(crate) struct Config {
    /// The images of a stack, in the order of their numbers, which is not that of the stack.
    pub(crate) images: Vec<ImageConfig>,
    /// Decides every choice.
    pub(crate) seed: u64,
    /// Virtual processors, 1 to 16.
    pub(crate) processors: u32,
    /// Functions offered to the image.
    pub(crate) imports: &'static [&'static [Import]],
    /// Variables offered to the image.
    pub(crate) data: &'static [&'static [DataExport]],
    /// Called around every import.
    pub(crate) hooks: Hooks,
    /// Virtual time after which the run counts as hung, in ns.
    pub(crate) time_limit_ns: u64,
    /// The end of the driver's pool blocks that lies at a guard page.
    pub(crate) pool_side: pool::Side,
    /// Whether a journal is kept of what ran where.
    pub(crate) keeps_journal: bool,
}

/// Called around every import, on the calling coroutine. May call [`sched::stop`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hooks {
    /// Before the import's body.
    pub(crate) before: fn(&Call<'_>),
    /// In place of the body, if it gives a result.
    pub(crate) instead: fn(&Call<'_>) -> Option<u64>,
    /// After it, with what it returns.
    pub(crate) after: fn(&Call<'_>, u64),
    /// An exception has ended all but so many of the imports that the running thread was in.
    pub(crate) cut: fn(usize),
}

/// Why an image was not loaded. One clear line each.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// It imports what the lab does not have.
    #[error("{image} imports what the lab does not know: {}", names.join(", "))]
    MissingImports {
        /// The image.
        image: String,
        /// `module!name`, sorted, all of them.
        names: Vec<String>,
    },
    /// It is too large for a stack.
    #[error(
        "{image}: an image of a stack may have {} bytes in memory at most",
        layout::IMAGE_STRIDE
    )]
    TooLarge {
        /// The image.
        image: String,
    },
    /// The number of processors is out of range.
    #[error("{0} processors are out of range: 1 to {PROCESSORS_MOST}")]
    Processors(u32),
    /// The lab cannot have its fixed addresses, signals or stacks.
    #[error("cannot {step}: {error}")]
    Host {
        /// What failed.
        step: &'static str,
        /// Why.
        error: io::Error,
    },
}

impl LoadError {
    pub(super) fn host(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Host { step, error }
    }
}

/// How a run ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The first thread's body returned.
    Finished,
    /// Someone stopped it.
    Stopped(Reason),
}

/// Why a run was stopped.
#[derive(Debug)]
pub(crate) enum Reason {
    /// Driver code did what the processor refuses.
    Fault(Fault),
    /// Nothing moves, or something moves for ever.
    Hang(sched::Hang),
    /// A rule was broken; which one, the caller knows.
    Rule,
    /// The lab itself failed.
    Internal(String),
}

impl Reason {
    /// The lab panicked.
    pub(super) fn internal(panic: &(dyn Any + Send)) -> Self {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or(panic.downcast_ref::<&str>().copied())
            .unwrap_or("a panic without a message");
        Self::Internal(text.to_owned())
    }
}

/// What was counted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stats {
    /// Import calls.
    pub(crate) imports: u64,
    /// Deepest use of a driver stack seen at an import, in bytes.
    pub(crate) stack_peak_bytes: u64,
    /// Where it was deepest, if that is [`STACK_WARNING_BYTES`] or more.
    pub(crate) stack_peak: Option<StackId>,
    /// Instructions in the image whose results a seed does not decide: offset in the image, mnemonic.
    pub(crate) nondeterministic: Vec<(u32, &'static str)>,
}

/// A loaded image with its processors, pool and threads.
///
/// # Invariants
/// At most one exists, and the thread that made it is the only one that uses it (it is not `Send`).
pub(crate) struct Machine {
    processors: Processors,
    entries: Vec<u64>,
    _threads: Mapping,
    _handlers: Handlers,
    _only: MutexGuard<'static, ()>,
}

/// The parts that lookups from anywhere need.
struct Loaded {
    images: Images,
    registry: Registry,
    /// Which bytes may be called through pointers: control-flow guard looks here.
    _guard: Option<Box<[u64]>>,
}

static ONLY: Mutex<()> = Mutex::new(());

/// Waits until nobody else uses the fixed addresses and the signals.
pub(super) fn only() -> MutexGuard<'static, ()> {
    // A poisoned lock guards nothing: the machine that panicked is gone.
    ONLY.lock().unwrap_or_else(PoisonError::into_inner)
}

thread_local! {
    static LOADED: RefCell<Option<Loaded>> = const { RefCell::new(None) };
    static IMPORTS: Cell<u64> = const { Cell::new(0) };
    static STACK_PEAK: Cell<(u64, Option<StackId>)> = const { Cell::new((0, None)) };
}

impl Machine {
    /// Maps and binds the image. Waits until no other machine exists in the process.
    ///
    /// # Errors
    /// [`LoadError`].
    pub(crate) fn load(config: Config) -> Result<Self, LoadError> {
        if !(1..=PROCESSORS_MOST).contains(&config.processors) {
            return Err(LoadError::Processors(config.processors));
        }
        let only = only();
        keep_heap();
        let handlers = Handlers::install().map_err(LoadError::host("handle signals"))?;
        let mut random = Random::new(config.seed);
        let registry = Registry::new(config.imports, config.data)
            .map_err(LoadError::host("map the import stubs"))?;
        let images = load_images(config.images, &registry, &mut random)?;
        let processors =
            Processors::new(config.processors).map_err(LoadError::host("map the processors"))?;
        let threads = thread_objects().map_err(LoadError::host("map the thread objects"))?;
        let stacks = Stacks::new().map_err(LoadError::host("map the driver stacks"))?;
        // Not from the generator: what a seed decides stays as it is.
        let poison_key = Random::new(!config.seed).next();
        pool::open(poison_key, config.pool_side).map_err(LoadError::host("map the pool"))?;
        trace::reset();
        journal::reset(config.keeps_journal);
        call::publish(&registry.functions, config.hooks);
        sched::reset(
            random.next(),
            config.processors,
            config.time_limit_ns,
            stacks,
        );
        IMPORTS.set(0);
        STACK_PEAK.set((0, None));
        let entry = |image: &LoadedImage| image.base + u64::from(image.plan.entry_rva);
        let entries = images.0.iter().map(entry).collect();
        let has_paged = images.0.iter().any(LoadedImage::has_paged);
        let (guard, guard_bytes) = images.guard().unzip();
        thunk::set_guard(guard.as_deref(), guard_bytes.unwrap_or(0));
        LOADED.replace(Some(Loaded {
            images,
            registry,
            _guard: guard,
        }));
        paged::reset();
        user::reset();
        if has_paged {
            paged::begin();
        }
        Ok(Self {
            processors,
            entries,
            _threads: threads,
            _handlers: handlers,
            _only: only,
        })
    }

    /// Addresses of the images' entry points.
    pub(crate) fn entries(&self) -> Vec<u64> {
        self.entries.clone()
    }

    /// Runs `main` as the first kernel thread, at PASSIVE_LEVEL, and everything it starts.
    pub(crate) fn run(&mut self, main: impl FnOnce() + 'static) -> End {
        let run = || sched::run(&self.processors, Box::new(main));
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(None) => End::Finished,
            Ok(Some(reason)) => End::Stopped(reason),
            // A condition of a wait, or the scheduler itself: the run is over in any case.
            Err(panic) => End::Stopped(Reason::internal(&*panic)),
        }
    }

    /// What was counted so far.
    pub(crate) fn stats(&self) -> Stats {
        let (stack_peak_bytes, stack_peak) = STACK_PEAK.get();
        Stats {
            imports: IMPORTS.get(),
            stack_peak_bytes,
            stack_peak,
            nondeterministic: with_images(|images| {
                let first = images.0.first();
                first.map(|image| image.findings.nondeterministic.clone())
            })
            .flatten()
            .unwrap_or_default(),
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        sched::close();
        pool::close();
        user::reset();
        thunk::set_guard(None, 0);
        LOADED.take();
    }
}

/// Lets the heap keep what a run has freed: the next run of the process needs as much.
fn keep_heap() {
    const KEPT_BYTES: libc::c_int = 256 << 20;
    // SAFETY: the call changes when memory goes back to Linux, and nothing else.
    unsafe { libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_BYTES) };
    // SAFETY: as above.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, KEPT_BYTES) };
}

/// Room for the objects of all threads, which a driver only points to.
fn thread_objects() -> io::Result<Mapping> {
    const BYTES: u64 = layout::STACKS - layout::THREADS;
    Mapping::private(layout::THREADS, BYTES as usize, Access::ReadWrite)
}

/// Maps images, each at the place of its number.
fn load_images(
    images: Vec<ImageConfig>,
    registry: &Registry,
    random: &mut Random,
) -> Result<Images, LoadError> {
    let is_alone = images.len() == 1;
    let mut loaded = Vec::new();
    for (number, image) in (0..).zip(images) {
        if !is_alone && image.image.size_bytes() as u64 > layout::IMAGE_STRIDE {
            return Err(LoadError::TooLarge { image: image.name });
        }
        let base = layout::IMAGE + number * layout::IMAGE_STRIDE;
        loaded.push(LoadedImage::load(image, base, registry, random)?);
    }
    Ok(Images(loaded))
}

/// Looks into the loaded images.
pub(super) fn with_images<R>(body: impl FnOnce(&Images) -> R) -> Option<R> {
    LOADED.with_borrow(|loaded| loaded.as_ref().map(|loaded| body(&loaded.images)))
}

/// Looks into the image that an address is in.
pub(super) fn with_image_at<R>(address: u64, body: impl FnOnce(&LoadedImage) -> R) -> Option<R> {
    with_images(|images| images.at(address).map(body)).flatten()
}

/// Looks into the registry.
pub(super) fn with_registry<R>(body: impl FnOnce(&Registry) -> R) -> Option<R> {
    LOADED.with_borrow(|loaded| loaded.as_ref().map(|loaded| body(&loaded.registry)))
}

/// Takes away the sections of the running image that Windows frees after `DriverEntry` (`INIT`, `.reloc`): touching
/// them is a fault from now on.
pub(crate) fn discard_init_sections() {
    with_images(|images| {
        images
            .0
            .get(usize::from(sched::image()))
            .map(LoadedImage::discard)
    });
}

/// What an address in the image is.
pub(super) fn image_place(address: u64) -> Option<Place> {
    with_image_at(address, |image| {
        let offset = image.rva(address)?;
        let section = image
            .plan
            .section_at(offset)
            .map(|section| section.name.clone());
        Some(Place::Image {
            section: section.unwrap_or_default(),
            offset,
        })
    })
    .flatten()
}

/// Counts an import.
pub(super) fn note_import() {
    IMPORTS.set(IMPORTS.get() + 1);
}

/// An import was called with this much of the driver stack in use: gives it back where it is a KiB that was not in use
/// before.
pub(super) fn note_stack(used_bytes: u64) -> Option<u64> {
    let (peak_bytes, _) = STACK_PEAK.get();
    if used_bytes <= peak_bytes {
        return None;
    }
    let stack = (used_bytes >= STACK_WARNING_BYTES).then(trace::capture);
    STACK_PEAK.set((used_bytes, stack));
    (used_bytes >> 10 > peak_bytes >> 10).then_some(used_bytes)
}
