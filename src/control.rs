//! The control device: statistics, flows and what can change, for administrators and the system.

use core::net::IpAddr;
use core::task::Poll;

use inspect::{Direction, Flow, FlowKind, TcpState};
use ndis::device::{ControlBuffer, ControlDevice, Longer, Opening, Refused};
use ndis::driver::{Driver, version_part};
use ndis::filter::Attached;
use ndis::irql::{Caller, Passive};
use ndis::text::Text;
use ndis::{Status, text, time, version};
use protocol::{
    AdapterRequest, AdapterStatistics, DriverVersion, FLOW_CURSOR_END, FlowHeader, FlowQuery,
    FlowRecord, IOCTL_DEFERLWF_QUERY_FLOWS, IOCTL_DEFERLWF_QUERY_STATISTICS,
    IOCTL_DEFERLWF_REREAD_PARAMETERS, IOCTL_DEFERLWF_SET_MODE, ModeRequest, Record, ReplyWriter,
    ShortBuffer, StatisticsHeader, UNTRACED_EVENTS, UNTRACED_MESSAGES,
};
use wpp::wpp;

use crate::event::DEFERLWF;
use crate::message::{self, Request};
use crate::mode::{self, Want};
use crate::module::Tap;
use crate::{count, tell};

/// Flows that are copied while the table is locked once, which keeps the worker waiting at `DISPATCH_LEVEL`.
const FLOWS_PER_LOCK: usize = 32;

/// The version of this package.
const VERSION: DriverVersion = DriverVersion {
    major: version_part(env!("CARGO_PKG_VERSION_MAJOR")) as u16,
    minor: version_part(env!("CARGO_PKG_VERSION_MINOR")) as u16,
    patch: version_part(env!("CARGO_PKG_VERSION_PATCH")) as u16,
};

impl ControlDevice for Tap {
    const NAME: Text = text!(protocol::DEVICE_NAME);
    const LINK: Text = text!(protocol::LINK_NAME);
    /// All access for SYSTEM and for administrators, and for nobody else.
    const SECURITY: Text = text!("D:P(A;;GA;;;SY)(A;;GA;;;BA)");

    type Device = ();

    fn open(_opening: &mut Opening<'_, Self>, _irql: &mut Passive) -> Result<(), Status> {
        Ok(())
    }

    fn control(
        driver: &Driver<Self>,
        code: u32,
        buffer: &mut ControlBuffer<'_>,
        irql: &mut Passive,
    ) -> Result<usize, Status> {
        wpp!(Verbose, Request, "{FUNC}: {code:x32}", code);
        match code {
            IOCTL_DEFERLWF_QUERY_STATISTICS => query_statistics(driver, buffer, irql),
            IOCTL_DEFERLWF_QUERY_FLOWS => query_flows(driver, buffer, irql),
            _ => Err(Status::INVALID_DEVICE_REQUEST),
        }
    }

    /// A restart may be needed for them.
    fn is_longer(code: u32) -> bool {
        matches!(
            code,
            IOCTL_DEFERLWF_SET_MODE | IOCTL_DEFERLWF_REREAD_PARAMETERS
        )
    }

    fn advance(
        driver: &Driver<Self>,
        request: &mut Longer<'_>,
        irql: &mut Passive,
    ) -> Poll<Result<usize, Status>> {
        wpp!(Verbose, Request, "{FUNC}: {code:x32}", request.code());
        // There is no answer but the status.
        advance(driver, request, irql).map(|result| result.map(|()| 0))
    }

    fn refused(refused: &Refused) {
        let &Refused {
            function,
            code,
            status,
        } = refused;
        tell::request_refused(refused);
        wpp!(
            Warning,
            Request,
            "request {function:u8}, code {code:x32}, is refused: {status:ntstatus}",
            function,
            code.unwrap_or_default(),
            status
        );
    }

    fn abandon(driver: &Driver<Self>, request: &Longer<'_>, irql: &mut impl Caller) {
        wpp!(Verbose, Request, "{FUNC}: {code:x32}", request.code());
        if let Ok((if_index, _)) = wanted(request) {
            // A module that has gone has nothing to forget.
            let _ = driver.find(
                irql,
                |tap| tap.parameters().if_index == if_index,
                |tap, irql| tap.switch.abandon(request.note, irql),
            );
        }
    }
}

/// Looks after a change of one module.
fn advance(
    driver: &Driver<Tap>,
    request: &mut Longer<'_>,
    irql: &mut Passive,
) -> Poll<Result<(), Status>> {
    let (if_index, want) = match wanted(request) {
        Ok(wanted) => wanted,
        Err(status) => return Poll::Ready(Err(status)),
    };
    let ticket = &mut request.note;
    driver
        .find(
            irql,
            |tap| tap.parameters().if_index == if_index,
            |tap, irql| mode::advance(tap, want, ticket, irql),
        )
        .unwrap_or(Poll::Ready(Err(Status::NOT_FOUND)))
}

/// The adapter that a longer request is about, and what it wants.
fn wanted(longer: &Longer<'_>) -> Result<(u32, Want), Status> {
    match longer.code() {
        IOCTL_DEFERLWF_SET_MODE => {
            let request: ModeRequest = request(&longer.buffer)?;
            Ok((request.if_index, Want::Mode(request.mode)))
        }
        IOCTL_DEFERLWF_REREAD_PARAMETERS => {
            let request: AdapterRequest = request(&longer.buffer)?;
            Ok((request.if_index, Want::Parameters))
        }
        _ => Err(Status::INVALID_DEVICE_REQUEST),
    }
}

/// The record that the input starts with.
fn request<R: Record>(buffer: &ControlBuffer<'_>) -> Result<R, Status> {
    R::decode(buffer.input()).map_err(|_| Status::INVALID_PARAMETER)
}

fn query_statistics(
    driver: &Driver<Tap>,
    buffer: &mut ControlBuffer<'_>,
    irql: &mut Passive,
) -> Result<usize, Status> {
    if !buffer.input().is_empty() {
        return Err(Status::INVALID_PARAMETER);
    }
    let mut reply =
        ReplyWriter::<StatisticsHeader, AdapterStatistics>::new(buffer.output()).map_err(short)?;
    // Module list and departed sums at one moment: no module is in both, or in neither.
    let header = driver.census(irql, |census| {
        let mut adapter_count: u32 = 0;
        for tap in census.modules() {
            adapter_count = adapter_count.saturating_add(1);
            // One that does not fit is counted all the same: the caller asks again, with more room.
            let _ = reply.push(&count::statistics(&tap));
        }
        StatisticsHeader {
            untraced: untraced(),
            refused_events: DEFERLWF.refused(),
            refused_messages: message::WPP.refused(),
            adapter_count,
            driver: VERSION,
            ndis_minor: u16::from(version::registered_minor()),
            departed_count: census.departed_count(),
            departed: *census.departed(),
        }
    });
    reply.finish(&header).map_err(short)
}

/// What there is no registration for.
fn untraced() -> u16 {
    let events = if DEFERLWF.is_registered() {
        0
    } else {
        UNTRACED_EVENTS
    };
    let messages = if message::WPP.is_registered() {
        0
    } else {
        UNTRACED_MESSAGES
    };
    events | messages
}

fn query_flows(
    driver: &Driver<Tap>,
    buffer: &mut ControlBuffer<'_>,
    irql: &mut Passive,
) -> Result<usize, Status> {
    let query: FlowQuery = request(buffer)?;
    let reply = ReplyWriter::<FlowHeader, FlowRecord>::new(buffer.output()).map_err(short)?;
    driver
        .find(
            irql,
            |tap| tap.parameters().if_index == query.if_index,
            |tap, irql| write_flows(tap, &query, reply, irql),
        )
        .unwrap_or(Err(Status::NOT_FOUND))
}

/// Writes the flows from the query's cursor on that fit.
fn write_flows(
    tap: &Attached<'_, Tap>,
    query: &FlowQuery,
    mut reply: ReplyWriter<'_, FlowHeader, FlowRecord>,
    irql: &mut Passive,
) -> Result<usize, Status> {
    let mut header = FlowHeader {
        reserved: 0,
        if_index: query.if_index,
        flow_count: 0,
        next_cursor: query.cursor,
        now_ns: time::now_ns(),
    };
    let mut page = Page::More;
    while page == Page::More {
        page = tap.flows.with(irql, |flows, _| {
            header.flow_count = flows.active();
            let mut copied: usize = 0;
            for (next_cursor, flow) in flows.flows(header.next_cursor) {
                if copied == FLOWS_PER_LOCK {
                    return Page::More;
                }
                if !reply.push(&record(flow)) {
                    return Page::Full;
                }
                header.next_cursor = next_cursor;
                copied = copied.saturating_add(1);
            }
            Page::End
        });
    }
    if page == Page::End {
        header.next_cursor = FLOW_CURSOR_END;
    }
    reply.finish(&header).map_err(short)
}

/// Why the table was unlocked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Page {
    /// To let the worker in.
    More,
    /// The reply has no more room.
    Full,
    /// There are no more flows.
    End,
}

fn record(flow: &Flow) -> FlowRecord {
    let (a, b) = (flow.a(), flow.b());
    let tcp = flow.tcp.unwrap_or_default();
    FlowRecord {
        kind: match flow.key.kind {
            FlowKind::Address => protocol::FlowKind::Address,
            FlowKind::Port => protocol::FlowKind::Port,
        },
        ip_version: if a.address.is_ipv4() { 4 } else { 6 },
        protocol: flow.key.protocol,
        tcp_state: flow
            .tcp
            .map_or(protocol::TcpState::None, |tcp| tcp_state(tcp.state())),
        tcp_flags_a: tcp.flags_a.bits(),
        tcp_flags_b: tcp.flags_b.bits(),
        a_is_local: u8::from(flow.first_direction == Direction::Send),
        reserved: 0,
        port_a: a.port,
        port_b: b.port,
        address_a: address(a.address),
        address_b: address(b.address),
        packets_ab: flow.ab.packets,
        packets_ba: flow.ba.packets,
        bytes_ab: flow.ab.bytes,
        bytes_ba: flow.ba.bytes,
        first_ns: flow.first_ns,
        last_ns: flow.last_ns,
        handshake_ns: tcp.handshake_ns.unwrap_or_default(),
    }
}

const fn tcp_state(state: TcpState) -> protocol::TcpState {
    match state {
        TcpState::SynSent => protocol::TcpState::SynSent,
        TcpState::SynReceived => protocol::TcpState::SynReceived,
        TcpState::Established => protocol::TcpState::Established,
        TcpState::Closing => protocol::TcpState::Closing,
        TcpState::Closed => protocol::TcpState::Closed,
        TcpState::Reset => protocol::TcpState::Reset,
    }
}

/// The 16 bytes that stand for an address in a record.
fn address(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
        IpAddr::V6(address) => address.octets(),
    }
}

const fn short(_: ShortBuffer) -> Status {
    Status::BUFFER_TOO_SMALL
}
