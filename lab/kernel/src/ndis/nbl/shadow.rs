//! What a structure looked like when it was handed to the filter.

use lab_rules::event::Alteration;

use crate::abi::ndis::{NET_BUFFER, NET_BUFFER_LIST, NET_BUFFER_LIST_CONTEXT};
use crate::abi::nt::MDL;
use crate::rt::mem::{self, BadAddress};

/// Pieces of memory with their content.
#[derive(Default)]
pub(super) struct Shadow {
    /// Address and bytes of each.
    pieces: Vec<(u64, usize, Alteration)>,
    /// What was in them, one after the other.
    content: Vec<u8>,
}

impl Shadow {
    fn keep(
        &mut self,
        address: u64,
        length: usize,
        alteration: Alteration,
    ) -> Result<(), BadAddress> {
        let old = self.content.len();
        self.content.resize(old + length, 0);
        let read = mem::read_into(address, &mut self.content[old..]);
        match read {
            Ok(()) => self.pieces.push((address, length, alteration)),
            Err(_) => self.content.truncate(old),
        }
        read
    }

    /// Keeps what is not the filter's of a NET_BUFFER_LIST.
    pub(super) fn keep_nbl(&mut self, nbl: u64) -> Result<(), BadAddress> {
        use NET_BUFFER_LIST as N;
        self.keep(N::FirstNetBuffer.of(nbl), 8, Alteration::Buffers)?;
        self.keep(N::Context.of(nbl), 8, Alteration::Context)?;
        self.keep(N::SourceHandle.of(nbl), 8, Alteration::SourceHandle)?;
        self.keep(N::ParentNetBufferList.of(nbl), 8, Alteration::Parent)?;
        self.keep(N::NdisPoolHandle.of(nbl), 8, Alteration::Reserved)?;
        self.keep(N::NdisReserved.of(nbl), 16, Alteration::Reserved)?;
        self.keep(N::ProtocolReserved.of(nbl), 32, Alteration::Reserved)?;
        self.keep(N::MiniportReserved.of(nbl), 16, Alteration::Reserved)?;
        for slot in 0..N::NetBufferListInfo_COUNT {
            let index = u8::try_from(slot).unwrap_or(u8::MAX);
            self.keep(
                N::NetBufferListInfo.of(nbl) + 8 * slot,
                8,
                Alteration::OutOfBand(index),
            )?;
        }
        Ok(())
    }

    /// The same of its owner's context.
    pub(super) fn keep_context(&mut self, area: u64) -> Result<(), BadAddress> {
        let offset = NET_BUFFER_LIST_CONTEXT::Offset.of(area);
        self.keep(offset, 2, Alteration::Context)
    }

    /// The same of a NET_BUFFER.
    pub(super) fn keep_nb(&mut self, nb: u64) -> Result<(), BadAddress> {
        use NET_BUFFER as N;
        self.keep(N::Next.of(nb), 8, Alteration::Buffers)?;
        self.keep(N::CurrentMdl.of(nb), 12, Alteration::Offset)?;
        self.keep(N::DataLength.of(nb), 8, Alteration::Geometry)?;
        self.keep(N::MdlChain.of(nb), 8, Alteration::Chain)?;
        self.keep(N::DataOffset.of(nb), 4, Alteration::Offset)?;
        self.keep(N::NdisReserved.of(nb), 16, Alteration::Reserved)?;
        self.keep(N::ProtocolReserved.of(nb), 48, Alteration::Reserved)?;
        self.keep(N::MiniportReserved.of(nb), 32, Alteration::Reserved)
    }

    /// The same of an MDL; mapping it is allowed.
    pub(super) fn keep_mdl(&mut self, mdl: u64) -> Result<(), BadAddress> {
        self.keep(MDL::Next.of(mdl), 8, Alteration::Chain)?;
        self.keep(MDL::StartVa.of(mdl), 16, Alteration::Mdl)
    }

    /// Keeps the bytes of a frame that the flags declare read-only.
    pub(super) fn keep_data(&mut self, address: u64, length: usize) -> Result<(), BadAddress> {
        self.keep(address, length, Alteration::Data)
    }

    /// The same pieces as they are now.
    pub(super) fn renewed(&self) -> Self {
        let mut now = Self::default();
        for (address, length, alteration) in &self.pieces {
            // What cannot be read any more is for the comparison with what it was.
            let _ = now.keep(*address, *length, *alteration);
        }
        now
    }

    /// Keeps what is in a piece now.
    pub(super) fn renew(&mut self, address: u64) {
        let mut start = 0;
        for (piece, length, _) in &self.pieces {
            if *piece == address {
                let content = &mut self.content[start..start + length];
                // What cannot be read any more is found when it comes home.
                let _ = mem::read_into(address, content);
            }
            start += length;
        }
    }

    /// Lets others write to a piece.
    pub(super) fn forget(&mut self, address: u64) {
        let mut start = 0;
        let content = &mut self.content;
        self.pieces.retain(|(piece, length, _)| {
            let is_kept = *piece != address;
            if is_kept {
                start += length;
            } else {
                content.drain(start..start + length);
            }
            is_kept
        });
    }

    /// The first piece that is no longer what it was.
    pub(super) fn first_difference(&self) -> Option<Alteration> {
        let mut content = self.content.as_slice();
        let mut now = Vec::new();
        self.pieces
            .iter()
            .find_map(|(address, length, alteration)| {
                let (old, rest) = content.split_at(*length);
                content = rest;
                now.resize(*length, 0);
                let is_same = mem::read_into(*address, &mut now).is_ok() && now == old;
                (!is_same).then_some(*alteration)
            })
    }
}
