//! Calls, suspension, time, determinism.

use super::*;
use crate::rt::{layout, mem, sched::Reason};

fn finished(outcome: &Outcome) {
    assert!(matches!(outcome.end, End::Finished), "{:?}", outcome.end);
}

#[test]
fn imports_get_all_arguments_and_variables_are_bound() {
    let Some(outcome) = run(1, |find, results| {
        let entry = call_driver(find("DriverEntry"), &[]);
        results.borrow_mut().push(entry);
        let cookie = call_driver(find("Cookie"), &[]);
        results.borrow_mut().push(cookie);
    }) else {
        return;
    };
    finished(&outcome);
    assert_eq!(outcome.results[0], 21 + 1000);
    let cookie = outcome.results[1];
    assert!(cookie != 0x2B99_2DDF_A232 && cookie != 0 && cookie >> 48 == 0);
    assert_eq!(outcome.stats.imports, 1);
}

#[test]
fn callbacks_nest_and_the_stack_is_seen_through_them() {
    let Some(outcome) = run(1, |find, results| {
        let result = call_driver(find("Factorial"), &[10]);
        results.borrow_mut().push(result);
    }) else {
        return;
    };
    finished(&outcome);
    assert_eq!(outcome.results, [3_628_800]);
    // At each call back, the stack has one more activation, each below an import of the one above.
    assert_eq!(outcome.notes, (1..10).collect::<Vec<_>>());
}

#[test]
fn frames_of_any_size_are_walked() {
    let Some(outcome) = run(1, |find, results| {
        let result = call_driver(find("Dynamic"), &[100]);
        results.borrow_mut().push(result);
        // Depths 2 to 5: Dynamic, and above it Around as often as it has called itself by then.
        let result = call_driver(find("Around"), &[8]);
        results.borrow_mut().push(result);
    }) else {
        return;
    };
    finished(&outcome);
    assert_eq!(outcome.results, [1, 2 + 3 + 4 + 5]);
}

#[test]
fn suspended_code_keeps_its_registers() {
    let alone = run(1, |find, results| {
        for seed in [3, 4, 5] {
            let result = call_driver(find("Mix"), &[seed]);
            results.borrow_mut().push(result);
        }
    });
    let Some(alone) = alone else { return };
    let together = run(2, |find, results| {
        let mix = find("Mix");
        for (index, seed) in [3, 4, 5].into_iter().enumerate() {
            results.borrow_mut().push(0);
            let results = Rc::clone(results);
            sched::spawn("mix", None, move || {
                let result = call_driver(mix, &[seed]);
                results.borrow_mut()[index] = result;
            });
        }
        let results = Rc::clone(results);
        sched::wait(&mut || results.borrow().iter().all(|result| *result != 0));
    })
    .expect("clang is there");
    finished(&together);
    assert_eq!(alone.results, together.results);
    assert!(
        together
            .notes
            .windows(2)
            .filter(|pair| pair[0] != pair[1])
            .count()
            > 3
    );
}

/// Two threads count without a lock.
fn race(seed: u64) -> Option<(u64, Vec<u64>, u64, u64)> {
    let outcome = run(seed, |find, results| {
        let count = find("Count");
        let done = Rc::new(RefCell::new(0));
        for _ in 0..2 {
            let done = Rc::clone(&done);
            sched::spawn("count", None, move || {
                call_driver(count, &[100]);
                *done.borrow_mut() += 1;
            });
        }
        sched::wait(&mut || *done.borrow() == 2);
        let counter = call_driver(find("Counter"), &[]);
        results.borrow_mut().push(counter);
    })?;
    finished(&outcome);
    Some((
        outcome.results[0],
        outcome.notes,
        outcome.now_ns,
        outcome.switches,
    ))
}

#[test]
fn a_seed_repeats_and_seeds_differ() {
    let Some(first) = race(7) else { return };
    assert_eq!(first, race(7).expect("clang is there"));
    let results: Vec<_> = (0..20)
        .map(|seed| race(seed).expect("clang is there"))
        .collect();
    let mut schedules: Vec<_> = results.iter().map(|result| &result.1).collect();
    schedules.sort();
    schedules.dedup();
    assert!(
        schedules.len() >= 15,
        "{} schedules in 20 seeds",
        schedules.len()
    );
    assert!(
        results.iter().any(|result| result.0 < 200),
        "some seed must lose an update"
    );
    assert!(results.iter().all(|result| result.0 >= 100 / 2));
}

#[test]
fn what_user_mode_cannot_run_is_emulated() {
    let Some(outcome) = run(1, |find, results| {
        for (name, argument) in [
            ("Irql", 2),
            ("Processor", 0),
            ("Timestamp", 0),
            ("Debug", 0),
            ("Ticks", 0),
            ("Identify", 0),
        ] {
            let result = call_driver(find(name), &[argument]);
            let result = if name == "Processor" {
                result - u64::from(sched::processor())
            } else {
                result
            };
            results.borrow_mut().push(result);
        }
    }) else {
        return;
    };
    finished(&outcome);
    let [irql, processor, timestamp, debug, ticks, _] = outcome.results[..] else {
        panic!()
    };
    assert_eq!(irql, 2);
    let region = processor - layout::PROCESSORS;
    assert!(region == 0 || region == 0x10000, "{region:#x}");
    assert_eq!(timestamp, 3 * sched::IMPORT_NS);
    assert_eq!(debug, 5);
    assert_eq!(ticks, 0xFA0_0000);
    assert_eq!(outcome.stats.nondeterministic.len(), 1);
    assert_eq!(outcome.stats.nondeterministic[0].1, "cpuid");
}

#[test]
fn a_loop_that_spins_by_itself_gives_way() {
    let Some(outcome) = run(5, |find, results| {
        let count = find("Count");
        sched::spawn("count", None, move || {
            call_driver(count, &[10]);
        });
        sched::raise(sched::DISPATCH_LEVEL);
        let counter = call_driver(find("SpinUntil"), &[10]);
        results.borrow_mut().push(counter);
        // Nobody else can run: what it spins for comes with time.
        let due_ns = sched::now() + 1_000_000_000;
        sched::queue_dpc_at(due_ns, "timer", 1 - sched::processor(), move || {
            call_driver(count, &[1]);
        });
        let counter = call_driver(find("SpinUntil"), &[11]);
        results.borrow_mut().push(counter);
    }) else {
        return;
    };
    finished(&outcome);
    assert_eq!(outcome.results, [10, 11]);
}

#[test]
fn a_dpc_runs_before_threads_and_when_the_level_allows() {
    let Some(outcome) = run(3, |find, results| {
        let level = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&level);
        sched::spawn("bound", Some(0), || {});
        let old = sched::raise(sched::DISPATCH_LEVEL);
        sched::queue_dpc("dpc", sched::processor(), move || {
            assert_eq!(sched::thread_name(sched::current()).as_deref(), Some("dpc"));
            seen.borrow_mut().push(u64::from(sched::irql()));
        });
        call_driver(find("Counter"), &[]);
        for _ in 0..10 {
            sched::point();
        }
        results.borrow_mut().push(level.borrow().len() as u64);
        sched::lower(old);
        results.borrow_mut().extend(level.borrow().iter());
        let due_ns = sched::now() + 5_000;
        let late = Rc::clone(results);
        sched::queue_dpc_at(due_ns, "timer", 1, move || {
            late.borrow_mut().push(sched::now())
        });
        let cancelled = sched::queue_dpc_at(due_ns, "never", 1, || panic!("it was cancelled"));
        assert!(sched::cancel_dpc(cancelled));
        sched::sleep_until(due_ns + 1);
        results.borrow_mut().push(due_ns);
    }) else {
        return;
    };
    finished(&outcome);
    let [before, in_dpc, fired, due] = outcome.results[..] else {
        panic!("{:?}", outcome.results)
    };
    assert_eq!((before, in_dpc), (0, 2));
    assert_eq!(fired, due);
}

#[test]
fn waits_time_out_in_virtual_time() {
    let Some(outcome) = run(3, |_, results| {
        let begin = sched::now();
        let outcome = sched::wait_until(begin + 1_000_000_000, &mut || false);
        assert_eq!(outcome, sched::Wait::TimedOut);
        results.borrow_mut().push(sched::now() - begin);
    }) else {
        return;
    };
    finished(&outcome);
    assert_eq!(outcome.results, [1_000_000_000]);
}

#[test]
fn memory_is_accessed_as_the_driver_may() {
    let Some(outcome) = run(1, |find, _| {
        let code = find("DriverEntry");
        let first: u8 = mem::read(code).expect("code is readable");
        assert!(mem::write(code, 0_u8).is_err(), "but not writable");
        mem::poke(code, &[first]).expect("the kernel may");
        assert_eq!(mem::read::<u8>(code), Ok(first));
        let own = first;
        assert!(
            mem::read::<u8>(std::ptr::from_ref(&own) as u64).is_err(),
            "the lab's is not"
        );
        let tag = 0x31;
        let (kind, owner) = (Kind::NonPaged, Owner::Lab);
        let request = Request {
            tag,
            size: 10,
            align: 1,
            kind,
            zeroed: true,
            owner,
        };
        let block = pool::allocate(request).expect("room");
        assert_eq!(mem::read_bytes(block, 10), Ok(vec![0; 10]));
        let error = mem::read_bytes(block, 11).expect_err("the guard follows");
        assert_eq!(error.address, block + 10);
        mem::write_bytes(block + 2, &[1, 2, 3, 4]).expect("inside");
        mem::copy(block + 4, block + 2, 4).expect("overlapping");
        assert_eq!(
            mem::read::<u64>(block + 1),
            Ok(u64::from_le_bytes([0, 1, 2, 1, 2, 3, 4, 0]))
        );
        pool::free(block, Some(tag)).expect("its tag");
        assert!(mem::read::<u8>(block).is_err());
    }) else {
        return;
    };
    finished(&outcome);
}

#[test]
fn a_panic_in_the_lab_ends_the_run_and_nothing_else() {
    let in_thread = run(1, |_, _| panic!("on purpose"));
    let in_condition = run(1, |_, _| {
        let mut tries = 0;
        sched::wait(&mut || {
            tries += 1;
            assert!(tries < 2, "on purpose");
            false
        });
    });
    for outcome in [in_thread, in_condition].into_iter().flatten() {
        let End::Stopped(Reason::Internal(text)) = outcome.end else {
            panic!("{:?}", outcome.end)
        };
        assert_eq!(text, "on purpose");
    }
}

#[test]
fn missing_imports_are_all_named() {
    let Some((bytes, _)) = image() else { return };
    const SOME: &[Import] = &[Import {
        module: "test.sys",
        name: "Add",
        run: |_| 0,
    }];
    let result = Machine::load(Config {
        images: vec![ImageConfig {
            image: lab_pe::Image::parse(bytes).expect("sound").into(),
            name: "image.sys".into(),
            pdb: None,
        }],
        seed: 0,
        processors: 1,
        imports: &[SOME],
        data: &[],
        hooks: Hooks {
            before: |_| {},
            instead: |_| None,
            after: |_, _| {},
            cut: |_| {},
        },
        time_limit_ns: u64::MAX,
        pool_side: pool::Side::End,
        keeps_journal: false,
    });
    let error = result.err().expect("imports are missing").to_string();
    assert_eq!(
        error,
        "image.sys imports what the lab does not know: test.sys!Allocate, test.sys!AllocatePaged, test.sys!CallBack, \
         test.sys!Depth, test.sys!Free, test.sys!Note, test.sys!Variable, test.sys!Yield"
    );
}

/// Processor time of this thread, in ns.
fn cpu_ns() -> f64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is live.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

#[test]
#[ignore = "a measurement: run with --ignored --nocapture"]
fn what_imports_switches_and_pool_cost() {
    const TIMES: u64 = 1_000_000;
    run(1, |find, _| {
        let add = find("AddMany");
        let begin = cpu_ns();
        call_driver(add, &[TIMES]);
        eprintln!(
            "import of six arguments: {:.1} ns",
            (cpu_ns() - begin) / TIMES as f64
        );
        let begin = cpu_ns();
        let pairs = TIMES / 10;
        for _ in 0..pairs {
            let (kind, owner) = (Kind::NonPaged, Owner::Driver);
            let request = Request {
                tag: 1,
                size: 64,
                align: 16,
                kind,
                zeroed: true,
                owner,
            };
            let block = pool::allocate(request).expect("room");
            pool::free(block, None).expect("it is ours");
        }
        eprintln!(
            "pool block made and freed: {:.0} ns",
            (cpu_ns() - begin) / pairs as f64
        );
    });
    run(1, |_, _| {
        for _ in 0..3 {
            sched::spawn("busy", None, || {
                for _ in 0..TIMES {
                    sched::point();
                }
            });
        }
        let begin = (cpu_ns(), sched::switches());
        for _ in 0..TIMES {
            sched::point();
        }
        let switches = sched::switches() - begin.1;
        eprintln!(
            "{switches} switches: {:.1} ns",
            (cpu_ns() - begin.0) / switches as f64
        );
    });
}
