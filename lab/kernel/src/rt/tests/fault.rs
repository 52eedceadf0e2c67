//! What goes wrong in driver code, and how it is reported.

use super::*;
use crate::rt::{
    fault::{Access, Fault, FaultKind, Place},
    layout,
    pool::FreeError,
    processor,
    sched::{HangKind, Reason},
};

/// Calls `name` with `argument`, expects a fault, and gives it with its frames as text.
fn fault(name: &'static str, argument: u64) -> Option<(Fault, Vec<String>)> {
    run_with(
        1,
        move |find, _| {
            call_driver(find(name), &[argument]);
        },
        |outcome| {
            let End::Stopped(Reason::Fault(fault)) = outcome.end else {
                panic!("{name}: {:?}", outcome.end)
            };
            let frames = trace::frames(fault.stack);
            let functions = frames
                .iter()
                .filter_map(|frame| frame.function.clone())
                .collect();
            (fault, functions)
        },
    )
}

#[test]
fn an_overrun_names_the_block_and_who_allocated_it() {
    let size = 48;
    let Some(frames) = run_with(
        1,
        move |find, _| {
            call_driver(find("Overrun"), &[size]);
        },
        |outcome| {
            let End::Stopped(Reason::Fault(fault)) = outcome.end else {
                panic!("{:?}", outcome.end)
            };
            assert_eq!(
                (fault.kind, fault.access),
                (FaultKind::Memory, Access::Write)
            );
            let Place::BeyondBlock { block, distance: 0 } = fault.place else {
                panic!("{:?}", fault.place)
            };
            assert_eq!(
                (block.size as u64, block.address + size),
                (size, fault.address)
            );
            let allocated = trace::frames(block.allocated);
            assert_eq!(allocated[0].function.as_deref(), Some("Overrun"));
            trace::frames(fault.stack)
        },
    ) else {
        return;
    };
    assert_eq!(frames[0].function.as_deref(), Some("Overrun"));
    assert!(
        frames[0]
            .file
            .as_deref()
            .is_some_and(|file| file.ends_with("image.c"))
    );
    let source = include_str!("image.c");
    let line = source
        .lines()
        .position(|line| line.contains("i <= size"))
        .expect("it is there");
    assert_eq!(frames[0].line, Some(line as u32 + 1));
}

#[test]
fn damage_within_a_page_is_found_when_the_block_is_freed() {
    for (name, size, expected) in [("SmallOverrun", 10, 10), ("Underrun", 64, -1)] {
        let Some(outcome) = run(1, move |find, _| {
            call_driver(find(name), &[size]);
        }) else {
            return;
        };
        assert!(matches!(outcome.end, End::Stopped(Reason::Rule)));
        let Some(FreeError::Damaged { offset, .. }) = outcome.free_error else {
            panic!("{:?}", outcome.free_error)
        };
        assert_eq!(offset, expected, "{name}");
    }
}

#[test]
fn an_underrun_is_a_fault_where_blocks_begin_at_a_guard() {
    SIDE.set(pool::Side::Start);
    let found = fault("Underrun", 64);
    SIDE.set(pool::Side::End);
    let Some((fault, functions)) = found else {
        return;
    };
    assert!(
        matches!(fault.place, Place::BeforeBlock { distance: 1, .. }),
        "{fault:?}"
    );
    assert_eq!((fault.access, &*functions[0]), (Access::Write, "Underrun"));
}

#[test]
fn a_wild_jump_without_fs_is_the_drivers() {
    if !processor::fsgsbase() {
        return;
    }
    for target in [0, layout::POOL, 0x7000_0000_0000] {
        let Some((fault, _)) = fault("JumpWithoutFs", target) else {
            return;
        };
        assert_eq!((fault.access, fault.rip), (Access::Execute, target));
    }
}

#[test]
fn the_labs_fs_is_out_of_reach() {
    if !processor::fsgsbase() {
        return;
    }
    for offset in [0, 0x28, 0_u64.wrapping_sub(64)] {
        let Some((fault, functions)) = fault("WriteThroughFs", offset) else {
            return;
        };
        let address = layout::FS.wrapping_add(offset);
        assert_eq!((fault.access, fault.address), (Access::Write, address));
        assert_eq!(functions, ["WriteThroughFs"]);
    }
}

#[test]
fn a_jump_into_a_stub_is_the_drivers() {
    for number in [IMPORTS.len() as u64, 1 << 20, u64::from(u32::MAX)] {
        let Some((fault, functions)) = fault("CallIntoStub", number) else {
            return;
        };
        assert_eq!(fault.access, Access::Execute);
        assert_eq!(functions, ["CallIntoStub"]);
    }
}

#[test]
fn a_driver_inherits_no_address_of_the_lab() {
    let Some(outcome) = run(1, |find, results| {
        let result = call_driver(find("Inherited"), &[]);
        results.borrow_mut().push(result);
    }) else {
        return;
    };
    assert!(matches!(outcome.end, End::Finished), "{:?}", outcome.end);
    assert_eq!(outcome.results, [0]);
    let Some((fault, functions)) = fault("WriteInherited", 0) else {
        return;
    };
    assert_eq!(
        (fault.kind, fault.place),
        (FaultKind::Memory, Place::NonCanonical)
    );
    assert_eq!(functions, ["WriteInherited"]);
}

#[test]
fn use_after_free_names_who_freed_it() {
    let Some(()) = run_with(
        1,
        |find, _| {
            call_driver(find("UseAfterFree"), &[100]);
        },
        |outcome| {
            let End::Stopped(Reason::Fault(fault)) = outcome.end else {
                panic!("{:?}", outcome.end)
            };
            let Place::FreedBlock(block) = fault.place else {
                panic!("{:?}", fault.place)
            };
            assert_eq!(fault.access, Access::Read);
            let freed = trace::frames(block.freed.expect("it was freed"));
            assert_eq!(freed[0].function.as_deref(), Some("UseAfterFree"));
        },
    ) else {
        return;
    };
}

#[test]
fn a_stack_of_24_kib_can_be_used_up() {
    let Some(fine) = run(1, |find, results| {
        let result = call_driver(find("Recurse"), &[40]);
        results.borrow_mut().push(result);
        let result = call_driver(find("BigFrame"), &[100]);
        results.borrow_mut().push(result);
    }) else {
        return;
    };
    assert!(matches!(fine.end, End::Finished), "{:?}", fine.end);
    assert!(fine.stats.stack_peak_bytes > 20_000 && fine.stats.stack_peak.is_some());
    let (overflow, frames) = fault("Recurse", 10_000).expect("clang is there");
    assert_eq!(overflow.place, Place::StackGuard);
    assert!(
        frames.iter().filter(|name| *name == "Recurse").count() > 40,
        "{frames:?}"
    );
    let (overflow, frames) = fault("BigFrameDeep", 5000).expect("clang is there");
    assert_eq!(
        overflow.place,
        Place::StackGuard,
        "found by __chkstk, not far beyond the guard"
    );
    assert_eq!(frames, ["BigFrame", "BigFrameDeep"]);
}

#[test]
fn each_refused_instruction_has_its_name() {
    let table: [(&str, u64, FaultKind); 6] = [
        ("Divide", 0, FaultKind::Divide),
        ("Illegal", 0, FaultKind::IllegalInstruction),
        ("FastFail", 3, FaultKind::FastFail(3)),
        ("Assertion", 0, FaultKind::Assertion),
        ("Breakpoint", 0, FaultKind::Breakpoint),
        ("Halt", 0, FaultKind::Privileged),
    ];
    for (name, argument, kind) in table {
        let Some((fault, frames)) = fault(name, argument) else {
            return;
        };
        assert_eq!(fault.kind, kind, "{name}");
        assert_eq!(frames, [name]);
    }
}

#[test]
fn bad_addresses_are_told_apart() {
    let table: [(&str, u64, Place, Access, u64); 4] = [
        ("NullRead", 0, Place::Null, Access::Read, 0x18),
        (
            "BadWrite",
            0,
            Place::Unmapped,
            Access::Write,
            0xFFFF_AAAA_0000_1000,
        ),
        (
            "Torn",
            0x6B6B_6B6B_6B6B_6B6B,
            Place::NonCanonical,
            Access::Write,
            0x6B6B_6B6B_6B6B_6B6B,
        ),
        (
            "WildCall",
            0x1234_5000,
            Place::Unmapped,
            Access::Execute,
            0x1234_5000,
        ),
    ];
    for (name, argument, place, access, address) in table {
        let Some((fault, frames)) = fault(name, argument) else {
            return;
        };
        assert_eq!(
            (fault.place, fault.access, fault.address),
            (place, access, address),
            "{name}"
        );
        assert_eq!(frames, [name]);
    }
    let (fault, _) = fault("WriteConst", 0).expect("clang is there");
    let Place::Image { section, .. } = &fault.place else {
        panic!("{:?}", fault.place)
    };
    assert_eq!(section, ".rdata");
}

#[test]
fn a_torn_function_pointer_is_a_jump() {
    let Some((fault, frames)) = fault("WildCall", 0xDEAD_BEEF_DEAD_BEEF) else {
        return;
    };
    assert_eq!(
        (fault.place, fault.access),
        (Place::NonCanonical, Access::Execute)
    );
    assert_eq!(
        (fault.address, frames),
        (0xDEAD_BEEF_DEAD_BEEF, vec!["WildCall".to_owned()])
    );
}

#[test]
fn discarded_sections_are_gone() {
    let Some(outcome) = run(1, |find, results| {
        let result = call_driver(find("Initialize"), &[]);
        results.borrow_mut().push(result);
        crate::rt::discard_init_sections();
        call_driver(find("Initialize"), &[]);
    }) else {
        return;
    };
    let End::Stopped(Reason::Fault(fault)) = outcome.end else {
        panic!("{:?}", outcome.end)
    };
    assert_eq!((outcome.results, fault.access), (vec![9], Access::Execute));
    let Place::Image { section, .. } = fault.place else {
        panic!("{:?}", fault.place)
    };
    assert_eq!(section, "INIT");
}

/// Runs what must hang, and gives the hang with the functions on the first thread's stack.
fn hang(
    body: impl FnOnce(&dyn Fn(&str) -> u64) + 'static,
) -> Option<(sched::Hang, Vec<Option<String>>)> {
    run_with(
        1,
        |find, _| body(find),
        |outcome| {
            let End::Stopped(Reason::Hang(hang)) = outcome.end else {
                panic!("{:?}", outcome.end)
            };
            let frames = trace::frames(hang.threads[0].2);
            (
                hang,
                frames.into_iter().map(|frame| frame.function).collect(),
            )
        },
    )
}

#[test]
fn what_does_not_move_is_found() {
    let Some((deadlock, frames)) = hang(|_| sched::wait(&mut || false)) else {
        return;
    };
    assert_eq!((deadlock.kind, frames), (HangKind::Deadlock, vec![]));
    assert_eq!(
        (deadlock.threads[0].0.as_str(), deadlock.threads[0].1),
        ("main", "waits")
    );

    let spin = hang(|_| {
        sched::spawn("ticker", None, || {
            loop {
                sched::sleep_until(sched::now() + 1_000_000_000);
            }
        });
        sched::raise(sched::DISPATCH_LEVEL);
        sched::wait(&mut || false);
    });
    let (spin, _) = spin.expect("clang is there");
    assert_eq!(spin.kind, HangKind::DispatchTooLong);
    let blamed = spin.thread.map(|place| spin.threads[place].0.as_str());
    assert_eq!(blamed, Some("main"));

    for (name, argument, kind) in [
        ("Forever", 0, HangKind::EndlessCalls),
        ("Loop", 0, HangKind::EndlessLoop),
        ("SpinUntil", 1, HangKind::EndlessCalls),
    ] {
        let endless = hang(move |find| {
            call_driver(find(name), &[argument]);
        });
        let (endless, frames) = endless.expect("clang is there");
        assert_eq!(endless.kind, kind, "{name}");
        assert_eq!(frames, [Some(name.to_owned())]);
    }
}

/// Set for the process that a test starts to see it end.
const FAULTING: &str = "LWF_LAB_TEST_FAULTS_ITSELF";

#[test]
fn a_fault_of_the_lab_itself_is_one_line_and_exit_code_3() {
    if image().is_none() {
        return;
    }
    if std::env::var_os(FAULTING).is_some() {
        run(1, |_, _| {
            let nowhere = std::ptr::without_provenance::<u8>(layout::POOL as usize);
            // SAFETY: none: nothing is there, which is what the test is about. The process ends.
            let _ = unsafe { nowhere.read_volatile() };
        });
    }
    let output = Command::new(std::env::current_exe().expect("the test's own program"))
        .args([
            "--exact",
            "--nocapture",
            "rt::tests::fault::a_fault_of_the_lab_itself_is_one_line_and_exit_code_3",
        ])
        .env(FAULTING, "1")
        .output()
        .expect("it starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{errors}");
    assert!(
        errors.contains("lwf-lab: fault of the lab itself: signal 11 at 0x"),
        "{errors}"
    );
}

#[test]
fn paged_memory_is_closed_at_dispatch_level_and_nowhere_else() {
    for (name, level, expected) in [("TouchPaged", 1, 5), ("Pageable", 1, 4)] {
        let Some(outcome) = run(1, move |find, results| {
            let result = call_driver(find(name), &[level]);
            results.borrow_mut().push(result);
        }) else {
            return;
        };
        assert_eq!(outcome.results, [expected], "{name}: {:?}", outcome.end);
    }
    let (Some((touch, frames)), Some((run, runs))) = (fault("TouchPaged", 2), fault("Pageable", 2))
    else {
        return;
    };
    assert!(touch.is_paged_out);
    let Place::Block(block) = touch.place else {
        panic!("{:?}", touch.place)
    };
    assert_eq!((block.kind, touch.access), (Kind::Paged, Access::Read));
    assert_eq!(frames[0], "TouchPaged");
    // The next instruction after the raise is in the section.
    assert!(run.is_paged_out);
    assert_eq!(run.access, Access::Execute);
    assert!(
        matches!(&run.place, Place::Image { section, .. } if section == "PAGE"),
        "{:?}",
        run.place
    );
    assert!(
        runs.iter().any(|function| function == "Pageable"),
        "{runs:?}"
    );
}
