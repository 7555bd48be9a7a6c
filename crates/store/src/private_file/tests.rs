//! Private files against prying eyes, power cuts and each other; and the folder other tests work in.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// A folder of its own for one test, removed at its end.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("clearhouse-store-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(&self.0).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

pub(crate) const STEPS: [Step; 8] = [
    Step::WriteNew,
    Step::SyncNew,
    Step::KeepOld,
    Step::Rename,
    Step::SyncFolder,
    Step::Prove,
    Step::EraseOld,
    Step::RemoveOld,
];

fn stop_at(at: Step) -> impl FnMut(Step) -> io::Result<()> {
    move |step| if step == at { Err(io::Error::other("power cut")) } else { Ok(()) }
}

#[test]
fn a_file_others_may_read_is_refused_with_the_command_that_repairs_it() {
    let folder = Folder::new();
    let path = folder.file("it's a key");
    create(&path, b"secret").unwrap();
    for mode in [0o644, 0o640, 0o606, 0o660, 0o4600] {
        chmod(&path, mode);
        let error = read(&path, 10, Owner::Me).unwrap_err();
        assert!(matches!(error, PrivateFileError::OpenToOthers { .. }), "{mode:o}");
        let quoted = format!("'{}'", path.display().to_string().replace('\'', r"'\''"));
        assert!(error.to_string().ends_with(&format!("run: chmod 600 {quoted}")), "{error}");
    }
    for mode in [0o600, 0o400] {
        chmod(&path, mode);
        assert_eq!(read(&path, 10, Owner::Me).unwrap().as_slice(), b"secret");
    }
}

#[test]
fn a_file_of_another_user_is_refused_where_the_test_may_make_one() {
    let folder = Folder::new();
    let path = folder.file("key");
    create(&path, b"secret").unwrap();
    if std::os::unix::fs::chown(&path, Some(12345), None).is_err() {
        return; // Only root can give a file away; elsewhere this test has nothing to try.
    }
    let error = read(&path, 10, Owner::Me).unwrap_err();
    assert!(matches!(error, PrivateFileError::NotYours { owner: 12345, .. }), "{error}");
    assert!(error.to_string().contains("run: chown"));
}

#[test]
fn a_link_a_folder_and_a_file_too_long_are_refused() {
    let folder = Folder::new();
    let path = folder.file("key");
    create(&path, b"secret").unwrap();
    let link = folder.file("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(matches!(read(&link, 10, Owner::Me), Err(PrivateFileError::NotPlain { .. })));
    assert_eq!(read(&link, 10, Owner::MeOrRoot).unwrap().as_slice(), b"secret");
    assert!(matches!(read(&folder.0, 10, Owner::Me), Err(PrivateFileError::NotPlain { .. })));
    assert!(matches!(read(&path, 5, Owner::Me), Err(PrivateFileError::TooLong { max: 5, .. })));
    assert!(matches!(read(&folder.file("none"), 5, Owner::Me), Err(PrivateFileError::Missing { .. })));
}

#[test]
fn creating_never_overwrites_and_leaves_nothing_beside_it() {
    let folder = Folder::new();
    let path = folder.file("key");
    create(&path, b"first").unwrap();
    assert!(matches!(create(&path, b"second"), Err(PrivateFileError::Exists { .. })));
    assert_eq!(read(&path, 10, Owner::Me).unwrap().as_slice(), b"first");
    assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o600);
    assert_eq!(folder.names(), ["key"]);
}

#[test]
fn a_power_cut_before_any_step_leaves_the_old_file_or_the_new_and_settles_clean() {
    for at in STEPS {
        let folder = Folder::new();
        let path = folder.file("key");
        create(&path, b"old bytes").unwrap();
        replace_stepwise(&path, b"old bytes", b"new", Previous::Erase, &mut stop_at(at)).unwrap_err();
        let after = read(&path, 20, Owner::Me).unwrap();
        assert!(after.as_slice() == b"old bytes" || after.as_slice() == b"new", "{at:?}");
        settle(&path).unwrap();
        assert_eq!(*read(&path, 20, Owner::Me).unwrap(), *after, "{at:?}");
        assert_eq!(folder.names(), ["key"], "{at:?}");
        replace(&path, &after, b"newest", Previous::Erase).unwrap();
        assert_eq!(read(&path, 20, Owner::Me).unwrap().as_slice(), b"newest");
    }
}

#[test]
fn the_old_blocks_are_overwritten_before_they_are_given_up() {
    let folder = Folder::new();
    let path = folder.file("key");
    create(&path, b"old secret").unwrap();
    let mut spy = File::open(&path).unwrap();
    replace(&path, b"old secret", b"new", Previous::Erase).unwrap();
    let mut left = Vec::new();
    spy.read_to_end(&mut left).unwrap();
    assert_eq!(left, [0; 10]);

    // The same after a power cut, by the next start.
    let mut spy = File::open(&path).unwrap();
    replace_stepwise(&path, b"new", b"newer", Previous::Erase, &mut stop_at(Step::EraseOld)).unwrap_err();
    settle(&path).unwrap();
    left.clear();
    spy.read_to_end(&mut left).unwrap();
    assert_eq!(left, [0; 3]);
}

#[test]
fn a_file_changed_by_another_is_not_replaced() {
    let folder = Folder::new();
    let path = folder.file("key");
    create(&path, b"one").unwrap();
    for ours in [b"two".as_slice(), b"on", b"one more"] {
        let error = replace(&path, ours, b"three", Previous::Erase).unwrap_err();
        assert!(matches!(error, PrivateFileError::Changed { .. } | PrivateFileError::TooLong { .. }));
    }
    assert_eq!(read(&path, 10, Owner::Me).unwrap().as_slice(), b"one");
}

#[test]
fn settling_waits_while_another_process_replaces() {
    let folder = Folder::new();
    let path = folder.file("key");
    create(&path, b"one").unwrap();
    let mut inside = |step| {
        if step == Step::Rename {
            settle(&path).unwrap();
            assert_eq!(folder.names(), ["key", "key.new", "key.old"]);
        }
        Ok(())
    };
    replace_stepwise(&path, b"one", b"two", Previous::Erase, &mut inside).unwrap();
    assert_eq!(read(&path, 10, Owner::Me).unwrap().as_slice(), b"two");
}

#[test]
fn destroying_leaves_no_name_and_no_byte() {
    let folder = Folder::new();
    let path = folder.file("key");
    create(&path, b"secret").unwrap();
    let mut spy = File::open(&path).unwrap();
    destroy(&path).unwrap();
    destroy(&path).unwrap();
    let mut left = Vec::new();
    spy.read_to_end(&mut left).unwrap();
    assert_eq!((left, folder.names()), (vec![0; 6], vec![]));
}

#[test]
fn a_file_is_this_users_alone_or_handed_over_by_root_with_an_access_list() {
    let taken = |owner, uid, mode, me| check_rights((uid, mode), Path::new("key"), owner, me).is_ok();
    for owner in [Owner::Me, Owner::MeOrRoot] {
        assert!(taken(owner, 7, 0o600, 7) && taken(owner, 7, 0o400, 7));
        assert!(!taken(owner, 7, 0o640, 7) && !taken(owner, 7, 0o604, 7) && !taken(owner, 8, 0o600, 7));
        // Root's own, where it is root that asks: no list stands for anybody.
        assert!(taken(owner, 0, 0o600, 0) && !taken(owner, 0, 0o440, 0) && !taken(owner, 8, 0o600, 0));
    }
    assert!(taken(Owner::MeOrRoot, 0, 0o440, 7) && taken(Owner::MeOrRoot, 0, 0o400, 7));
    assert!(!taken(Owner::MeOrRoot, 0, 0o444, 7) && !taken(Owner::MeOrRoot, 0, 0o420, 7));
    assert!(!taken(Owner::Me, 0, 0o440, 7) && !taken(Owner::Me, 0, 0o600, 7));
}

#[test]
fn what_is_destroyed_is_the_name_and_never_what_a_link_leads_to() {
    let folder = Folder::new();
    let (path, link) = (folder.file("key"), folder.file("link"));
    create(&path, b"secret").unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    destroy(&link).unwrap();
    assert_eq!(folder.names(), ["key"]);
    assert_eq!(read(&path, 10, Owner::Me).unwrap().as_slice(), b"secret");
    // What cannot be removed is told.
    fs::create_dir(folder.file("folder")).unwrap();
    assert!(destroy(&folder.file("folder")).is_err());
    fs::remove_dir(folder.file("folder")).unwrap();
}

#[test]
fn what_was_read_back_is_held_against_every_byte() {
    let folder = Folder::new();
    let path = folder.file("key");
    create(&path, b"sealed bytes").unwrap();
    assert!(prove(&path, b"sealed bytes").is_ok());
    for other in [&b"sealed bytez"[..], b"sealed byte", b"sealed bytes."] {
        assert!(matches!(prove(&path, other), Err(PrivateFileError::NotProven { .. })));
    }
}
