//! A private folder of a name that nobody knows beforehand, so that neither what a killed run left nor what somebody put
//! there stops a later one. Refuses to use what stands there already, a link included.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use clearhouse_node::clock::chance;
use rand_core::Rng;

/// Names that are tried. Two in a row that are taken are no accident.
const TRIES_MAX: usize = 8;
/// Hexadecimal digits of chance in a name: few, because the path of a socket below it is short.
const DIGITS: usize = 10;

/// Makes `parent/name-` and [`DIGITS`] by chance, of mode 0700.
///
/// # Errors
/// The system's; [`io::ErrorKind::AlreadyExists`] when [`TRIES_MAX`] names were taken.
pub(crate) fn make(parent: &Path, name: &str) -> io::Result<PathBuf> {
    make_by(parent, name, &mut chance())
}

/// Whether `found` is a name that [`make`] gives for `name`.
pub(crate) fn is_named(found: &str, name: &str) -> bool {
    let digits = found.strip_prefix(name).and_then(|rest| rest.strip_prefix('-')).unwrap_or_default();
    digits.len() == DIGITS && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn make_by(parent: &Path, name: &str, rng: &mut impl Rng) -> io::Result<PathBuf> {
    let mut made = Err(io::ErrorKind::AlreadyExists.into());
    for _ in 0..TRIES_MAX {
        let digits = rng.next_u64() >> (64 - 4 * DIGITS);
        let path = parent.join(format!("{name}-{digits:0width$x}", width = DIGITS));
        made = DirBuilder::new().mode(0o700).create(&path).map(|()| path);
        if !matches!(&made, Err(e) if e.kind() == io::ErrorKind::AlreadyExists) {
            break;
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;

    /// Chance that tries the names of one seed in order.
    fn seeded() -> ChaCha20Rng {
        ChaCha20Rng::seed_from_u64(7)
    }

    #[test]
    fn a_folder_is_private_and_known_by_its_name() {
        let parent = tempfile::tempdir().unwrap();
        let (one, other) = (make(parent.path(), "try-1").unwrap(), make(parent.path(), "try-1").unwrap());
        assert_ne!(one, other);
        assert_eq!(one.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert!(is_named(one.file_name().unwrap().to_str().unwrap(), "try-1"));
        for stranger in
            ["try-1", "try-1-", "try-1-012345678", "try-1-0123456789a", "try-1-012345678G", "try-10123456789"]
        {
            assert!(!is_named(stranger, "try-1"), "{stranger}");
        }
        assert!(!is_named("try-11-0123456789", "try-1") && !is_named("try-1-0123456789", "try-11"));
    }

    #[test]
    fn a_name_that_is_taken_is_left_alone_and_another_is_tried_but_not_for_ever() {
        let parent = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        // What would be made with this chance: all of it is taken before, the last by a link that leads somewhere else.
        let mut names = seeded();
        let taken: Vec<_> = (0..TRIES_MAX).map(|_| make_by(elsewhere.path(), "try", &mut names).unwrap()).collect();
        let here = |path: &PathBuf| parent.path().join(path.file_name().unwrap());
        for path in &taken[..TRIES_MAX - 1] {
            fs::create_dir(here(path)).unwrap();
        }
        let last = make_by(parent.path(), "try", &mut seeded()).unwrap();
        assert_eq!(last, here(&taken[TRIES_MAX - 1]));
        fs::remove_dir(&last).unwrap();
        symlink(elsewhere.path(), &last).unwrap();
        let refused = make_by(parent.path(), "try", &mut seeded()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert!(make(&parent.path().join("none"), "try").is_err());
    }
}
