//! The state of every filter module, as the documented table has it. Monitors share it.

use std::collections::BTreeMap;

use crate::event::{Callback, Event, Kind, ModuleEvent};

/// `NDIS_STATUS_SUCCESS`.
pub(crate) const SUCCESS: u32 = 0;
/// `NDIS_STATUS_PENDING`.
pub(crate) const PENDING: u32 = 0x103;
/// `NDIS_STATUS_PAUSED`.
pub(crate) const PAUSED: u32 = 0xC023_002A;

/// The state of a module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ModuleState {
    /// No module.
    #[default]
    Detached,
    /// `FilterAttach` runs.
    Attaching,
    /// Attached, and no packet may be held.
    Paused,
    /// `FilterRestart` was called.
    Restarting,
    /// Packets flow.
    Running,
    /// `FilterPause` was called.
    Pausing,
}

/// One module.
#[derive(Clone, Copy, Debug, Default)]
struct Module {
    state: ModuleState,
    /// The transition's callback has returned NDIS_STATUS_PENDING.
    returned_pending: bool,
    /// The transition was completed by a call, before its callback returned.
    completed: bool,
}

/// A module that has just entered a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Transition {
    /// The adapter.
    pub(crate) adapter: u32,
    /// The state that it is in now.
    pub(crate) to: ModuleState,
}

/// Follows the modules through the event stream.
#[derive(Debug, Default)]
pub(crate) struct States {
    modules: BTreeMap<u32, Module>,
}

impl States {
    /// The state of an adapter's module.
    pub(crate) fn of(&self, adapter: u32) -> ModuleState {
        self.modules
            .get(&adapter)
            .map_or(ModuleState::Detached, |module| module.state)
    }

    /// Takes an event; tells the transition that it makes, if any.
    pub(crate) fn observe(&mut self, event: &Event) -> Option<Transition> {
        let (adapter, to) = match &event.kind {
            Kind::Enter(call) => {
                let to = match call.callback {
                    Callback::FilterAttach => ModuleState::Attaching,
                    Callback::FilterRestart => ModuleState::Restarting,
                    Callback::FilterPause => ModuleState::Pausing,
                    _ => return None,
                };
                (call.adapter?, to)
            }
            Kind::Leave { call, status } => {
                let adapter = call.adapter?;
                let module = self.modules.entry(adapter).or_default();
                let to = match (call.callback, *status) {
                    (Callback::FilterAttach, Some(SUCCESS)) => ModuleState::Paused,
                    (Callback::FilterAttach, _) | (Callback::FilterDetach, _) => {
                        ModuleState::Detached
                    }
                    (Callback::FilterRestart | Callback::FilterPause, Some(PENDING)) => {
                        module.returned_pending = true;
                        if !module.completed {
                            return None;
                        }
                        if call.callback == Callback::FilterPause {
                            ModuleState::Paused
                        } else {
                            ModuleState::Running
                        }
                    }
                    (Callback::FilterRestart, Some(SUCCESS)) => ModuleState::Running,
                    (Callback::FilterRestart | Callback::FilterPause, _) => ModuleState::Paused,
                    _ => return None,
                };
                (adapter, to)
            }
            Kind::Module(ModuleEvent::PauseCompleted { adapter }) => {
                let module = self.modules.entry(*adapter).or_default();
                if module.state != ModuleState::Pausing {
                    return None;
                }
                module.completed = true;
                if !module.returned_pending {
                    return None;
                }
                (*adapter, ModuleState::Paused)
            }
            Kind::Module(ModuleEvent::RestartCompleted { adapter, status }) => {
                let module = self.modules.entry(*adapter).or_default();
                if module.state != ModuleState::Restarting {
                    return None;
                }
                module.completed = true;
                if !module.returned_pending {
                    return None;
                }
                (
                    *adapter,
                    if *status == SUCCESS {
                        ModuleState::Running
                    } else {
                        ModuleState::Paused
                    },
                )
            }
            _ => return None,
        };
        self.modules.insert(
            adapter,
            Module {
                state: to,
                ..Module::default()
            },
        );
        Some(Transition { adapter, to })
    }
}

#[cfg(test)]
mod tests {
    use super::{ModuleState, PENDING, States};
    use crate::event::{Callback, Kind, ModuleEvent};
    use crate::table::{at, enter, leave};

    #[test]
    fn a_module_goes_round() {
        let mut states = States::default();
        let pause_complete = at(Kind::Module(ModuleEvent::PauseCompleted { adapter: 0 }));
        for (event, expected) in [
            (
                enter(Callback::FilterAttach, Some(0)),
                ModuleState::Attaching,
            ),
            (
                leave(Callback::FilterAttach, Some(0), Some(0)),
                ModuleState::Paused,
            ),
            (
                enter(Callback::FilterRestart, Some(0)),
                ModuleState::Restarting,
            ),
            (
                leave(Callback::FilterRestart, Some(0), Some(0)),
                ModuleState::Running,
            ),
            (enter(Callback::FilterPause, Some(0)), ModuleState::Pausing),
            (
                leave(Callback::FilterPause, Some(0), Some(PENDING)),
                ModuleState::Pausing,
            ),
            (pause_complete, ModuleState::Paused),
            (
                leave(Callback::FilterDetach, Some(0), None),
                ModuleState::Detached,
            ),
        ] {
            states.observe(&event);
            assert_eq!(states.of(0), expected);
        }
    }

    #[test]
    fn a_pause_may_be_completed_before_its_handler_returns() {
        let mut states = States::default();
        states.observe(&enter(Callback::FilterPause, Some(0)));
        assert_eq!(
            states.observe(&at(Kind::Module(ModuleEvent::PauseCompleted {
                adapter: 0
            }))),
            None
        );
        assert_eq!(states.of(0), ModuleState::Pausing);
        states.observe(&leave(Callback::FilterPause, Some(0), Some(PENDING)));
        assert_eq!(states.of(0), ModuleState::Paused);
    }
}
