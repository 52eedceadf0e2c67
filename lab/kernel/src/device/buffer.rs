//! The buffers of a request: what its sender has, and what the I/O manager makes of that for the driver.

use lab_rules::event::Lent;

use crate::abi::constant::{
    MDL_PAGES_LOCKED, MDL_WRITE_OPERATION, METHOD_BUFFERED, METHOD_IN_DIRECT, METHOD_OUT_DIRECT,
    STATUS_ACCESS_VIOLATION,
};
use crate::driver;
use crate::nt::{mdl, mm};
use crate::rt::mem::{self, BadAddress};
use crate::rt::pool::{self, Reach};
use crate::rt::user::{self, NewBuffer, Rights};
use crate::{Request, RequestKind, Requestor, UserMemory};

/// How the driver is given what the sender has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// As copies, in a buffer of the system's.
    Buffered,
    /// The input as a copy, the other buffer as locked pages that are read.
    InDirect,
    /// The same with pages that are written.
    OutDirect,
    /// As the sender's own addresses.
    Neither,
}

impl Method {
    /// That of a control code.
    pub(super) fn of_code(code: u32) -> Self {
        match code & 3 {
            METHOD_BUFFERED => Self::Buffered,
            METHOD_IN_DIRECT => Self::InDirect,
            METHOD_OUT_DIRECT => Self::OutDirect,
            _ => Self::Neither,
        }
    }
}

/// A buffer of the sender's.
#[derive(Clone, Copy, Debug, Default)]
struct Own {
    /// 0 without one.
    address: u64,
    kind: OwnKind,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum OwnKind {
    /// None, or an address that nothing has to be done about.
    #[default]
    None,
    /// Memory of user mode.
    User,
    /// A block of the system's.
    System,
}

/// What a request is made of. What is not there is 0.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Buffers {
    /// The system's.
    pub(super) system: u64,
    pub(super) mdl: u64,
    /// What the driver is told of the sender's output buffer.
    pub(super) user: u64,
    /// What it is told of the input buffer, where it is not copied.
    pub(super) type3: u64,
    /// Bytes that the answer may have.
    pub(super) room: usize,
    /// Whether the answer is in the system's buffer and is copied to the sender.
    pub(super) is_copied: bool,
    /// Bytes that `IoStatus.Information` can say are there, where it says that.
    pub(super) bound: Option<u64>,
    input: Own,
    output: Own,
}

/// The bytes between the start of its page and an address that nothing may be at.
const OFF: u64 = 1;

impl Buffers {
    /// Makes them.
    ///
    /// # Errors
    /// The status with which the I/O manager refuses the request, for its sender's memory is not as it must be.
    pub(super) fn make(request: &Request, method: Method, process: u32) -> Result<Self, u32> {
        let room = usize::try_from(request.output_len).unwrap_or(0);
        let mut buffers = Self {
            room,
            is_copied: method == Method::Buffered,
            bound: matches!(method, Method::Buffered | Method::OutDirect)
                .then(|| request.output_len.into()),
            ..Self::default()
        };
        let sender = Sender { request, process };
        if let RequestKind::Write { .. } = request.kind {
            // What is written takes the place of the output buffer, and nothing is copied back.
            (buffers.room, buffers.is_copied, buffers.bound) = (0, false, None);
            let length = request.input.len();
            buffers.output = sender.own(&request.input, length, request.input_memory);
        } else {
            buffers.output = sender.own(&request.output, room, request.output_memory);
        }
        buffers.user = buffers.output.address;
        if method == Method::Neither {
            if request.code().is_some() {
                let length = request.input.len();
                buffers.input = sender.own(&request.input, length, request.input_memory);
                buffers.type3 = buffers.input.address;
            }
            return Ok(buffers);
        }
        let made = buffers.make_for_system(request, method);
        if made.is_err() {
            buffers.release_own();
        }
        made.map(|()| buffers)
    }

    /// What the I/O manager makes, which looks at the sender's buffers.
    fn make_for_system(&mut self, request: &Request, method: Method) -> Result<(), u32> {
        let is_user = request.requestor == Requestor::User;
        if is_user && !request.input.is_empty() {
            refusal(request.input_memory, false)?;
        }
        if is_user && self.room > 0 {
            refusal(request.output_memory, method != Method::InDirect)?;
        }
        let is_write = matches!(request.kind, RequestKind::Write { .. });
        let system_len = match method {
            Method::Buffered => request.input.len().max(self.room),
            _ if is_write => 0,
            _ => request.input.len(),
        };
        if system_len > 0 {
            // Nobody fills what is behind the input.
            self.system = driver::rubbish(Lent::SystemBuffer, system_len);
            if !request.input.is_empty() {
                driver::write(self.system, &request.input);
            }
        }
        let direct_len = if is_write {
            request.input.len()
        } else {
            self.room
        };
        if method != Method::Buffered && direct_len > 0 {
            let length = u32::try_from(direct_len).unwrap_or(u32::MAX);
            self.mdl = self.make_mdl(length, method == Method::OutDirect);
        }
        Ok(())
    }

    fn make_mdl(&self, length: u32, is_written: bool) -> u64 {
        let address = self.output.address;
        let block = driver::lend(Lent::Irp, mdl::size(address, length.into()));
        let operation = if is_written { MDL_WRITE_OPERATION } else { 0 };
        let flags = MDL_PAGES_LOCKED | operation;
        if mdl::initialize(block, address, length, flags).is_ok() {
            user::note_probe(address);
        }
        block
    }

    /// The bytes that the sender sees in its buffer.
    ///
    /// # Errors
    /// Where the system's memory cannot be read.
    pub(super) fn answer(&self, count: usize) -> Result<Vec<u8>, BadAddress> {
        let count = count.min(self.room);
        match (self.is_copied, self.output.kind) {
            _ if count == 0 => Ok(Vec::new()),
            (true, _) => mem::read_bytes(self.system, count),
            (false, OwnKind::User) => Ok(user::content(self.output.address, count)),
            (false, OwnKind::System) => mem::read_bytes(self.output.address, count),
            (false, OwnKind::None) => Ok(Vec::new()),
        }
    }

    /// The driver has completed the request: nothing of it is the driver's any more.
    ///
    /// # Errors
    /// Where an MDL has become unreadable.
    pub(super) fn end(&self) -> Result<(), BadAddress> {
        if self.mdl != 0 {
            mm::end(self.mdl)?;
        }
        self.restrict(Reach::None);
        for own in [self.input, self.output] {
            if own.kind == OwnKind::User {
                user::end(own.address);
            }
        }
        Ok(())
    }

    /// Undoes that for the lab, which has a look at them.
    pub(super) fn reopen(&self) {
        self.restrict(Reach::Whole);
    }

    fn restrict(&self, reach: Reach) {
        let own = [self.input, self.output].into_iter();
        let own = own.filter(|own| own.kind == OwnKind::System);
        let blocks = own.map(|own| own.address).chain([self.system, self.mdl]);
        let blocks: Vec<u64> = blocks.filter(|block| *block != 0).collect();
        pool::restrict(&blocks, reach);
    }

    /// Gives everything back.
    ///
    /// # Errors
    /// Where an MDL has become unreadable.
    pub(super) fn release(&self) -> Result<(), BadAddress> {
        if self.mdl != 0 {
            mm::unmap(self.mdl)?;
            driver::release(self.mdl);
        }
        if self.system != 0 {
            driver::release(self.system);
        }
        self.release_own();
        Ok(())
    }

    fn release_own(&self) {
        for own in [self.input, self.output] {
            match own.kind {
                OwnKind::None => {}
                OwnKind::User => user::release(own.address),
                OwnKind::System => {
                    pool::restrict(&[own.address], Reach::Whole);
                    driver::release(own.address);
                }
            }
        }
    }
}

/// What the I/O manager says to memory of the sender's that it is to read, or to write.
fn refusal(memory: UserMemory, is_written: bool) -> Result<(), u32> {
    match memory {
        UserMemory::Valid | UserMemory::Vanishing | UserMemory::Misaligned => Ok(()),
        UserMemory::ReadOnly if !is_written => Ok(()),
        UserMemory::ReadOnly | UserMemory::Unmapped | UserMemory::System => {
            Err(STATUS_ACCESS_VIOLATION.cast_unsigned())
        }
    }
}

/// Who sends a request.
struct Sender<'a> {
    request: &'a Request,
    process: u32,
}

impl Sender<'_> {
    /// A buffer of the sender's, with what it holds at first.
    fn own(&self, content: &[u8], length: usize, memory: UserMemory) -> Own {
        if length == 0 {
            return Own::default();
        }
        let content = &content[..content.len().min(length)];
        if self.request.requestor == Requestor::Kernel || memory == UserMemory::System {
            let is_bait = self.request.requestor == Requestor::User;
            let lent = if is_bait {
                Lent::Bait
            } else {
                Lent::SystemBuffer
            };
            let address = driver::lend(lent, length);
            if !content.is_empty() {
                driver::write(address, content);
            }
            if is_bait {
                pool::restrict(&[address], Reach::None);
            }
            let kind = OwnKind::System;
            return Own { address, kind };
        }
        let address = user::allocate(&NewBuffer {
            process: self.process,
            content,
            length: length as u64,
            beyond: if memory == UserMemory::Misaligned {
                OFF
            } else {
                0
            },
            rights: match memory {
                UserMemory::Unmapped => Rights::None,
                UserMemory::ReadOnly => Rights::Read,
                _ => Rights::Write,
            },
            is_fleeting: memory == UserMemory::Vanishing,
        });
        let kind = OwnKind::User;
        Own { address, kind }
    }
}
