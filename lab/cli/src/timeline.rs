//! A run as a trace that Perfetto and `chrome://tracing` open, in the JSON trace event format.
//!
//! JSON and not Perfetto's protobuf: both viewers read it, a person with `grep` and a test with any JSON
//! reader too, and it needs no library. Colours are no reason against it: Perfetto takes the colour of a
//! slice from its name, whatever the format. So each processor has a lane whose slices are its IRQL, named
//! by the level; `chrome://tracing` also colours every span by its level (`cname`).
//!
//! Three groups of lanes: the virtual processors (whose turn it is, and the level), the kernel threads and the
//! DPCs of each processor. On a thread's lane a span is a routine of the driver or an import, an instant is
//! what happened to an object, and an arrow leads from where a work item was queued, or a timer set, to its run.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use lab_kernel::timeline::{Moment, What};
use serde::Serialize;

use crate::error::Error;

/// What the whole trace is about.
#[derive(Serialize)]
pub(crate) struct About<'a> {
    /// File name of the image.
    pub(crate) image: &'a str,
    /// The seed.
    pub(crate) seed: u64,
    /// The command that repeats the run.
    pub(crate) replay: &'a str,
}

/// Makes the file, before anything is played for it.
pub(crate) fn create(path: &Path) -> Result<BufWriter<File>, Error> {
    let file = File::create(path).map_err(|error| refuse(path, &error))?;
    Ok(BufWriter::new(file))
}

/// Why there is no trace.
pub(crate) fn refuse(path: &Path, error: &io::Error) -> Error {
    Error::bad_input(format!("{}: {error}", path.display()))
}

/// Writes `moments`, which are in the order of their times.
pub(crate) fn write(about: &About<'_>, moments: &[Moment], out: impl Write) -> io::Result<()> {
    let mut trace = Trace {
        out,
        is_empty: true,
        lanes: BTreeMap::new(),
        threads: BTreeMap::new(),
        processors: BTreeMap::new(),
        arrows: BTreeMap::new(),
        last_arrow: 0,
    };
    trace.out.write_all(b"{\"traceEvents\":[")?;
    for moment in moments {
        trace.take(moment)?;
    }
    trace.close(moments.last().map_or(0, |moment| moment.time_ns))?;
    trace
        .out
        .write_all(b"\n],\n\"displayTimeUnit\":\"ns\",\n\"otherData\":")?;
    serde_json::to_writer(&mut trace.out, about)?;
    trace.out.write_all(b"}\n")?;
    trace.out.flush()
}

/// A row of the picture: a process and a thread of the format.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Lane {
    pid: u32,
    tid: u32,
}

/// Groups of lanes, as the format's processes.
const PROCESSORS: u32 = 1;
const THREADS: u32 = 2;
const DPCS: u32 = 3;
const GROUPS: [(u32, &str); 3] = [
    (PROCESSORS, "virtual processors"),
    (THREADS, "kernel threads"),
    (DPCS, "DPCs"),
];

impl Lane {
    const fn turns(processor: u32) -> Self {
        Self {
            pid: PROCESSORS,
            tid: 2 * processor + 1,
        }
    }

    const fn level(processor: u32) -> Self {
        Self {
            pid: PROCESSORS,
            tid: 2 * processor + 2,
        }
    }

    const fn thread(thread: u32) -> Self {
        Self {
            pid: THREADS,
            tid: thread,
        }
    }

    const fn dpcs(processor: u32) -> Self {
        Self {
            pid: DPCS,
            tid: processor + 1,
        }
    }
}

/// One entry of the file.
#[derive(Default, Serialize)]
struct Event<'a> {
    name: &'a str,
    ph: &'a str,
    /// Microseconds; not of metadata.
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<f64>,
    pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    tid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cat: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cname: Option<&'a str>,
    /// Of an instant: how far its line reaches.
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<&'a str>,
    /// Of an arrow: which one.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    /// Of an arrow's end: that it points to the span around it.
    #[serde(skip_serializing_if = "Option::is_none")]
    bp: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    args: Option<Arguments<'a>>,
}

#[derive(Default, Serialize)]
struct Arguments<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    irql: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    processor: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    adapter: Option<u32>,
}

/// What is known of a thread.
struct Thread {
    name: String,
    is_dpc: bool,
    /// Where its spans go: of a DPC, from its first turn on.
    lane: Option<Lane>,
    /// The arrow that ends at its next span.
    arrow: Option<u64>,
}

/// What is known of a processor.
#[derive(Default)]
struct Processor {
    /// Whose turn it is, and since when.
    turn: Option<(u32, u64)>,
    /// Its level, and since when.
    level: Option<(u8, u64)>,
}

struct Trace<W> {
    out: W,
    is_empty: bool,
    /// Lanes that have a name, with the names of their open spans.
    lanes: BTreeMap<Lane, Vec<String>>,
    threads: BTreeMap<u32, Thread>,
    processors: BTreeMap<u32, Processor>,
    /// Arrows that began, by their object.
    arrows: BTreeMap<u64, u64>,
    last_arrow: u64,
}

fn microseconds(ns: u64) -> f64 {
    ns as f64 / 1000.0
}

fn level_name(irql: u8) -> &'static str {
    match irql {
        0 => "PASSIVE_LEVEL",
        1 => "APC_LEVEL",
        2 => "DISPATCH_LEVEL",
        _ => "above DISPATCH_LEVEL",
    }
}

/// A colour of `chrome://tracing`.
fn level_colour(irql: u8) -> &'static str {
    match irql {
        0 => "good",
        1 => "yellow",
        2 => "bad",
        _ => "terrible",
    }
}

impl<W: Write> Trace<W> {
    fn put(&mut self, event: &Event<'_>) -> io::Result<()> {
        self.out
            .write_all(if self.is_empty { b"\n" } else { b",\n" })?;
        self.is_empty = false;
        Ok(serde_json::to_writer(&mut self.out, event)?)
    }

    fn take(&mut self, moment: &Moment) -> io::Result<()> {
        match &moment.what {
            What::Born { name, is_dpc } => {
                let lane = (!is_dpc).then(|| Lane::thread(moment.thread));
                let thread = Thread {
                    name: name.clone(),
                    is_dpc: *is_dpc,
                    lane,
                    arrow: None,
                };
                self.threads.insert(moment.thread, thread);
                lane.map_or(Ok(()), |lane| self.name(lane, name))
            }
            What::Runs => self.run(moment),
            What::Rests => self.rest(moment.processor, moment.time_ns),
            What::Ends => {
                self.set_level(moment.processor, 0, moment.time_ns)?;
                match self.lane(moment.thread) {
                    Some(lane) => self.end_all(lane, moment.time_ns),
                    None => Ok(()),
                }
            }
            What::Level => self.set_level(moment.processor, moment.irql, moment.time_ns),
            What::Calls { name, adapter } => {
                self.begin(moment, name, *adapter)?;
                let arrow = self.threads.get_mut(&moment.thread);
                match arrow.and_then(|thread| thread.arrow.take()) {
                    Some(id) => self.arrow(moment, "f", id),
                    None => Ok(()),
                }
            }
            What::Returns => match self.lane(moment.thread) {
                Some(lane) => self.end(lane, moment.time_ns),
                None => Ok(()),
            },
            What::Mark(text) => self.mark(moment, text, "t"),
            What::Broken(rule) => self.mark(moment, &format!("RULE BROKEN: {rule}"), "g"),
            What::Queued(object) => {
                self.last_arrow += 1;
                let id = self.last_arrow;
                self.arrows.insert(*object, id);
                self.arrow(moment, "s", id)
            }
            What::Taken(object) => {
                let arrow = self.arrows.remove(object);
                if let Some(thread) = self.threads.get_mut(&moment.thread) {
                    thread.arrow = arrow;
                }
                Ok(())
            }
        }
    }

    fn lane(&self, thread: u32) -> Option<Lane> {
        self.threads.get(&thread)?.lane
    }

    /// Gives a lane its name, the first time.
    fn name(&mut self, lane: Lane, name: &str) -> io::Result<()> {
        if self.lanes.contains_key(&lane) {
            return Ok(());
        }
        let (pid, group) = GROUPS
            .into_iter()
            .find(|(pid, _)| *pid == lane.pid)
            .unwrap_or((lane.pid, ""));
        if !self.lanes.keys().any(|known| known.pid == pid) {
            self.metadata("process_name", pid, None, group)?;
        }
        self.lanes.insert(lane, Vec::new());
        self.metadata("thread_name", pid, Some(lane.tid), name)
    }

    fn metadata(&mut self, kind: &str, pid: u32, tid: Option<u32>, name: &str) -> io::Result<()> {
        self.put(&Event {
            name: kind,
            ph: "M",
            pid,
            tid,
            args: Some(Arguments {
                name: Some(name),
                ..Arguments::default()
            }),
            ..Event::default()
        })
    }

    fn run(&mut self, moment: &Moment) -> io::Result<()> {
        let Moment {
            time_ns,
            processor,
            thread,
            irql,
            ..
        } = *moment;
        self.name(Lane::turns(processor), &format!("CPU {processor}"))?;
        self.name(Lane::level(processor), &format!("CPU {processor} IRQL"))?;
        self.set_level(processor, irql, time_ns)?;
        self.processors.entry(processor).or_default().turn = Some((thread, time_ns));
        let dpc = self.threads.get_mut(&thread);
        if let Some(dpc) = dpc.filter(|thread| thread.is_dpc && thread.lane.is_none()) {
            let lane = Lane::dpcs(processor);
            dpc.lane = Some(lane);
            let name = dpc.name.clone();
            self.name(lane, &format!("DPCs of CPU {processor}"))?;
            return self.begin(moment, &name, None);
        }
        Ok(())
    }

    /// The turn on a processor is over; one in which no time passed is not shown.
    fn rest(&mut self, processor: u32, now_ns: u64) -> io::Result<()> {
        let turn = self.processors.get_mut(&processor);
        match turn.and_then(|processor| processor.turn.take()) {
            Some((thread, since_ns)) if since_ns < now_ns => {
                let name = self.threads.get(&thread).map(|thread| thread.name.clone());
                let lane = Lane::turns(processor);
                self.span(lane, &name.unwrap_or_default(), None, since_ns, now_ns)
            }
            _ => Ok(()),
        }
    }

    fn set_level(&mut self, processor: u32, irql: u8, now_ns: u64) -> io::Result<()> {
        let level = &mut self.processors.entry(processor).or_default().level;
        match level.filter(|(old, _)| *old == irql) {
            Some(_) => Ok(()),
            None => {
                let old = level.replace((irql, now_ns));
                self.end_level(processor, old, now_ns)
            }
        }
    }

    fn end_level(
        &mut self,
        processor: u32,
        level: Option<(u8, u64)>,
        now_ns: u64,
    ) -> io::Result<()> {
        match level {
            Some((irql, since_ns)) if since_ns < now_ns => {
                let lane = Lane::level(processor);
                self.span(lane, level_name(irql), Some(irql), since_ns, now_ns)
            }
            _ => Ok(()),
        }
    }

    /// A span that is known as a whole.
    fn span(
        &mut self,
        lane: Lane,
        name: &str,
        irql: Option<u8>,
        since_ns: u64,
        until_ns: u64,
    ) -> io::Result<()> {
        self.put(&Event {
            name,
            ph: "X",
            ts: Some(microseconds(since_ns)),
            dur: Some(microseconds(until_ns - since_ns)),
            pid: lane.pid,
            tid: Some(lane.tid),
            cat: Some("processor"),
            cname: irql.map(level_colour),
            ..Event::default()
        })
    }

    fn begin(&mut self, moment: &Moment, name: &str, adapter: Option<u32>) -> io::Result<()> {
        let Some(lane) = self.lane(moment.thread) else {
            return Ok(());
        };
        self.lanes.entry(lane).or_default().push(name.to_owned());
        self.put(&Event {
            name,
            ph: "B",
            ts: Some(microseconds(moment.time_ns)),
            pid: lane.pid,
            tid: Some(lane.tid),
            cat: Some(level_name(moment.irql)),
            cname: Some(level_colour(moment.irql)),
            args: Some(Arguments {
                irql: Some(moment.irql),
                processor: Some(moment.processor),
                adapter,
                ..Arguments::default()
            }),
            ..Event::default()
        })
    }

    fn end(&mut self, lane: Lane, now_ns: u64) -> io::Result<()> {
        let Some(name) = self.lanes.get_mut(&lane).and_then(Vec::pop) else {
            return Ok(());
        };
        self.put(&Event {
            name: &name,
            ph: "E",
            ts: Some(microseconds(now_ns)),
            pid: lane.pid,
            tid: Some(lane.tid),
            ..Event::default()
        })
    }

    fn end_all(&mut self, lane: Lane, now_ns: u64) -> io::Result<()> {
        while self.lanes.get(&lane).is_some_and(|open| !open.is_empty()) {
            self.end(lane, now_ns)?;
        }
        Ok(())
    }

    fn mark(&mut self, moment: &Moment, text: &str, reach: &str) -> io::Result<()> {
        let Some(lane) = self.lane(moment.thread) else {
            return Ok(());
        };
        self.put(&Event {
            name: text,
            ph: "i",
            ts: Some(microseconds(moment.time_ns)),
            pid: lane.pid,
            tid: Some(lane.tid),
            cat: Some(level_name(moment.irql)),
            s: Some(reach),
            args: Some(Arguments {
                irql: Some(moment.irql),
                processor: Some(moment.processor),
                ..Arguments::default()
            }),
            ..Event::default()
        })
    }

    /// The begin or the end of an arrow, at the innermost open span of the thread.
    fn arrow(&mut self, moment: &Moment, phase: &str, id: u64) -> io::Result<()> {
        let Some(lane) = self.lane(moment.thread) else {
            return Ok(());
        };
        self.put(&Event {
            name: "queued",
            ph: phase,
            ts: Some(microseconds(moment.time_ns)),
            pid: lane.pid,
            tid: Some(lane.tid),
            cat: Some("queue"),
            id: Some(id),
            bp: (phase == "f").then_some("e"),
            ..Event::default()
        })
    }

    /// The run is over: what is open ends.
    fn close(&mut self, now_ns: u64) -> io::Result<()> {
        let lanes: Vec<Lane> = self.lanes.keys().copied().collect();
        for lane in lanes {
            self.end_all(lane, now_ns)?;
        }
        let processors: Vec<u32> = self.processors.keys().copied().collect();
        for processor in processors {
            self.rest(processor, now_ns)?;
            let level = self.processors.get(&processor).and_then(|it| it.level);
            self.end_level(processor, level, now_ns)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn moment(time_ns: u64, thread: u32, irql: u8, what: What) -> Moment {
        Moment {
            time_ns,
            processor: 1,
            thread,
            irql,
            what,
        }
    }

    fn born(name: &str, is_dpc: bool) -> What {
        let name = name.to_owned();
        What::Born { name, is_dpc }
    }

    fn calls(name: &'static str) -> What {
        What::Calls {
            name,
            adapter: Some(0),
        }
    }

    #[test]
    fn spans_close_in_order_also_when_the_run_breaks_off() {
        let moments = [
            moment(0, 1, 0, born("main", false)),
            moment(0, 1, 0, What::Runs),
            moment(10, 1, 0, calls("FilterAttach")),
            moment(20, 1, 0, calls("NdisQueueIoWorkItem")),
            moment(20, 1, 0, What::Queued(7)),
            moment(30, 1, 0, What::Returns),
            moment(30, 1, 0, What::Rests),
            moment(30, 2, 2, born("driver DPC", true)),
            moment(30, 2, 2, What::Runs),
            moment(40, 2, 2, What::Taken(7)),
            moment(40, 2, 2, calls("KDEFERRED_ROUTINE")),
            moment(50, 2, 2, What::Broken("a-rule")),
        ];
        let about = About {
            image: "a.sys",
            seed: 7,
            replay: "lwf-lab run a.sys",
        };
        let mut out = Vec::new();
        write(&about, &moments, &mut out).expect("memory takes it");
        let trace: Value = serde_json::from_slice(&out).expect("JSON");
        let events = trace["traceEvents"].as_array().expect("a list");
        let told = |event: &Value| {
            let [phase, name] = ["ph", "name"].map(|key| event[key].as_str().expect("text"));
            let at = event["ts"]
                .as_f64()
                .map_or(String::new(), |ts| format!(" {ts}"));
            let span = event["dur"]
                .as_f64()
                .map_or(String::new(), |dur| format!("+{dur}"));
            format!("{}.{} {phase} {name}{at}{span}", event["pid"], event["tid"])
        };
        let told: Vec<String> = events
            .iter()
            .filter(|event| event["ph"] != "M")
            .map(told)
            .collect();
        assert_eq!(
            told,
            [
                "2.1 B FilterAttach 0.01",
                "2.1 B NdisQueueIoWorkItem 0.02",
                "2.1 s queued 0.02",
                "2.1 E NdisQueueIoWorkItem 0.03",
                "1.3 X main 0+0.03",
                "1.4 X PASSIVE_LEVEL 0+0.03",
                "3.2 B driver DPC 0.03",
                "3.2 B KDEFERRED_ROUTINE 0.04",
                "3.2 f queued 0.04",
                "3.2 i RULE BROKEN: a-rule 0.05",
                "2.1 E FilterAttach 0.05",
                "3.2 E KDEFERRED_ROUTINE 0.05",
                "3.2 E driver DPC 0.05",
                "1.3 X driver DPC 0.03+0.02",
                "1.4 X DISPATCH_LEVEL 0.03+0.02",
            ]
        );
    }
}
