//! How the C library gives memory back in a node, which runs for months.
//!
//! glibc takes a large block straight from the system and gives it back whole. But the first such block that is freed
//! moves the bound up to its own size, at most 32 MiB, and from then on blocks of that size are cut out of its arenas,
//! which keep what they had. Each compaction opens an index whose tables are 6 MiB of zeros that are hardly written to:
//! past the moved bound they are zeroed by hand and stay in memory, the old ones and the new. A bound that was set does
//! not move. Only the environment sets it without unsafe code, and it is read before `main`: so a node starts itself
//! once more, as the same process. Refuses to do so where anybody has set a bound, and goes on where it cannot.

use std::env;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// What `mallopt(3)` calls `M_MMAP_THRESHOLD`, `M_TRIM_THRESHOLD` and `M_ARENA_MAX`. The first two in bytes; two arenas, for
/// each keeps what it once needed, and threads come and go.
const BOUNDS: [(&str, &str); 3] =
    [("MALLOC_MMAP_THRESHOLD_", "262144"), ("MALLOC_TRIM_THRESHOLD_", "1048576"), ("MALLOC_ARENA_MAX", "2")];

/// Sets the bounds, by starting this program anew in this process. To be called before anything else was done; comes back
/// when they are set, when somebody set any of them, or when they cannot be.
pub(crate) fn set() {
    let glibc = cfg!(all(target_os = "linux", target_env = "gnu"));
    if !glibc || BOUNDS.iter().any(|(name, _)| env::var_os(name).is_some()) {
        return;
    }
    let mut words = env::args_os();
    let (Ok(program), Some(called)) = (env::current_exe(), words.next()) else { return };
    // It only comes back when it failed: then the node has the bounds of the system, and more memory.
    let _ = Command::new(program).arg0(called).args(words).envs(BOUNDS).exec();
}
