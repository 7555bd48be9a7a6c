//! Argon2id: what a guess at a pass phrase costs. Refuses costs below the floor and above the ceiling.
//!
//! RFC 9106; the numbers are those of protocol section 7.10.

use argon2::{Algorithm, Argon2, AssociatedData, Block, ParamsBuilder, Version};
use zeroize::{Zeroize as _, Zeroizing};

use crate::passphrase::Passphrase;

/// Length of an Argon2id salt.
pub(crate) const SALT_LEN: usize = 16;

/// Argon2id parameters between the floor and the ceiling.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KdfCost {
    m_kib: u32,
    t: u32,
    p: u32,
}

/// Why a cost was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CostFault {
    /// Below [`KdfCost::FLOOR`] in any of its three numbers.
    Weak,
    /// Above [`KdfCost::CEILING`] in any of its three numbers.
    Excessive,
}

impl KdfCost {
    /// What a new slot gets: 256 MiB, 3 passes, 4 lanes; about a second on an office machine.
    pub const STANDARD: Self = Self { m_kib: 256 * 1024, t: 3, p: 4 };
    /// The least that is ever accepted: 64 MiB, 3 passes, 4 lanes. For small machines and training networks.
    pub const FLOOR: Self = Self { m_kib: 64 * 1024, t: 3, p: 4 };
    /// The most that is ever tried, so that a planted file cannot exhaust the machine.
    pub const CEILING: Self = Self { m_kib: 2 * 1024 * 1024, t: 16, p: 16 };
    /// Unit tests only; not compiled into the program.
    #[cfg(test)]
    pub(crate) const TINY: Self = Self { m_kib: 32, t: 1, p: 1 };

    /// A cost of `m_kib` KiB, `t` passes and `p` lanes; `None` below the floor or above the ceiling.
    #[must_use]
    pub fn new(m_kib: u32, t: u32, p: u32) -> Option<Self> {
        Self::read(m_kib, t, p).ok()
    }

    pub(crate) fn read(m_kib: u32, t: u32, p: u32) -> Result<Self, CostFault> {
        let cost = Self { m_kib, t, p };
        #[cfg(test)]
        if cost == Self::TINY {
            return Ok(cost);
        }
        let (floor, top) = (Self::FLOOR, Self::CEILING);
        if m_kib < floor.m_kib || t < floor.t || p < floor.p {
            return Err(CostFault::Weak);
        }
        if m_kib > top.m_kib || t > top.t || p > top.p {
            return Err(CostFault::Excessive);
        }
        Ok(cost)
    }

    /// Memory in KiB.
    #[must_use]
    pub const fn m_kib(self) -> u32 {
        self.m_kib
    }

    /// Passes over the memory.
    #[must_use]
    pub const fn t(self) -> u32 {
        self.t
    }

    /// Lanes.
    #[must_use]
    pub const fn p(self) -> u32 {
        self.p
    }

    /// The three numbers as they are authenticated and kept: memory in KiB, passes, lanes, each big-endian.
    pub(crate) fn to_bytes(self) -> [u8; 12] {
        let mut out = [0; 12];
        out[..4].copy_from_slice(&self.m_kib.to_be_bytes());
        out[4..8].copy_from_slice(&self.t.to_be_bytes());
        out[8..].copy_from_slice(&self.p.to_be_bytes());
        out
    }
}

/// The memory for Argon2id is not to be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NoMemory;

/// Argon2id of a pass phrase. `whose` is its associated data: empty, or up to 32 bytes that bind the result to a name.
pub(crate) fn stretch(
    passphrase: &Passphrase,
    salt: &[u8; SALT_LEN],
    cost: KdfCost,
    whose: &[u8],
) -> Result<Zeroizing<[u8; 32]>, NoMemory> {
    let mut builder = ParamsBuilder::new();
    builder.m_cost(cost.m_kib).t_cost(cost.t).p_cost(cost.p).output_len(32);
    builder.data(AssociatedData::new(whose).map_err(|_| NoMemory)?);
    let params = builder.build().map_err(|_| NoMemory)?;
    // Our own blocks rather than the crate's: asking for them can fail without ending the process, and they are wiped.
    let mut blocks: Vec<Block> = Vec::new();
    blocks.try_reserve_exact(params.block_count()).map_err(|_| NoMemory)?;
    blocks.resize(params.block_count(), Block::new());
    let mut out = Zeroizing::new([0u8; 32]);
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let done = argon.hash_password_into_with_memory(passphrase.as_bytes(), salt, out.as_mut(), &mut blocks);
    blocks.iter_mut().for_each(Block::zeroize);
    done.map_err(|_| NoMemory)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_than_the_floor_and_more_than_the_ceiling_are_refused_in_each_number() {
        let (f, c) = (KdfCost::FLOOR, KdfCost::CEILING);
        assert_eq!(KdfCost::read(f.m_kib, f.t, f.p), Ok(f));
        assert_eq!(KdfCost::read(c.m_kib, c.t, c.p), Ok(c));
        assert_eq!(KdfCost::new(256 * 1024, 3, 4), Some(KdfCost::STANDARD));
        for (m, t, p) in [(f.m_kib - 1, f.t, f.p), (f.m_kib, f.t - 1, f.p), (f.m_kib, f.t, f.p - 1), (0, 0, 0)] {
            assert_eq!(KdfCost::read(m, t, p), Err(CostFault::Weak));
        }
        for (m, t, p) in [(c.m_kib + 1, c.t, c.p), (c.m_kib, c.t + 1, c.p), (c.m_kib, c.t, c.p + 1)] {
            assert_eq!(KdfCost::read(m, t, p), Err(CostFault::Excessive));
        }
    }

    #[test]
    fn the_published_argon2id_answer_comes_out() {
        // RFC 9106 section 5.3 uses a secret and 12 bytes of data; this is the reference implementation's own test
        // (argon2id, v=19, m=256 KiB, t=2, p=1, "password", "somesalt"), with the salt length it has there.
        let mut out = [0u8; 32];
        let params = argon2::Params::new(256, 2, 1, Some(32)).unwrap();
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(b"password", b"somesalt", &mut out)
            .unwrap();
        let hex = clearhouse_protocol::ids::hex(&out);
        assert_eq!(hex, "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe");
    }

    #[test]
    fn salt_cost_and_name_each_change_the_result() {
        let pass = Passphrase::new(Zeroizing::new("correct horse battery".to_owned())).unwrap();
        let base = stretch(&pass, &[1; 16], KdfCost::TINY, b"").unwrap();
        assert_eq!(*base, *stretch(&pass, &[1; 16], KdfCost::TINY, b"").unwrap());
        assert_ne!(*base, *stretch(&pass, &[2; 16], KdfCost::TINY, b"").unwrap());
        assert_ne!(*base, *stretch(&pass, &[1; 16], KdfCost::TINY, b"ana").unwrap());
        let other = KdfCost { t: 2, ..KdfCost::TINY };
        assert_ne!(*base, *stretch(&pass, &[1; 16], other, b"").unwrap());
    }
}
