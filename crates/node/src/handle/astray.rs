//! What `doctor` says of files that still lie in the node's folder although they belong in a safe: with either, who steals this
//! machine, or a copy of its folder, has more than a node. Looks at names alone and opens nothing.

use std::path::Path;

use serde_json::Value;

use super::state::finding_of;
use crate::setup::files;

/// Files that leave the folder on the first evening: the code, what whoever has it can do, where it belongs.
const ASTRAY: [(&str, &str, &str, &str); 5] = [
    (
        "CH-D0222",
        files::ROOT_KEY,
        "with a stolen copy somebody else can certify nodes in this organisation's name",
        "Copy it to a USB stick, put that into a safe, and delete it here; renewals need it once a year.",
    ),
    (
        "CH-D0223",
        files::SELF_REVOCATION,
        "whoever has a copy can end this organisation for good",
        "Give it to a coordinator you trust on a USB stick, in person, and delete it here.",
    ),
    (SHEETS_CODE, files::SHEETS[0], SHEETS_DANGER, SHEETS_NEXT),
    (SHEETS_CODE, files::SHEETS[1], SHEETS_DANGER, SHEETS_NEXT),
    (SHEETS_CODE, files::SHEETS[2], SHEETS_DANGER, SHEETS_NEXT),
];
const SHEETS_CODE: &str = "CH-D0224";
const SHEETS_DANGER: &str = "two of the three open every backup of this node";
const SHEETS_NEXT: &str = "Print each, give it to another person to keep elsewhere, and delete it here.";

/// One for each file that is still there. In a training network they are notes: nobody's safety hangs on it.
pub(super) fn findings(folder: &Path, training: bool) -> Vec<Value> {
    // What cannot be looked at is not said to be gone.
    let is_there = |name: &str| folder.join(name).symlink_metadata().is_ok();
    let finding = |(code, name, danger, next): &(&str, &str, &str, &str)| {
        finding_of(code, format!("{name} is still in the node's folder: {danger}."), next, !training)
    };
    ASTRAY.iter().filter(|(_, name, ..)| is_there(name)).map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_in_a_safe_is_told_as_long_as_it_lies_here() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(findings(folder.path(), false), Vec::<Value>::new());
        std::fs::write(folder.path().join(files::ROOT_KEY), b"not read").unwrap();
        let said = findings(folder.path(), false);
        assert_eq!(said.len(), 1);
        assert!(said[0]["code"] == "CH-D0222" && said[0]["problem"] == true, "{said:?}");
        assert!(said[0]["text"].as_str().unwrap().starts_with("organisation-root.key is still"), "{said:?}");
        std::fs::write(folder.path().join(files::SELF_REVOCATION), b"not read").unwrap();
        std::fs::remove_file(folder.path().join(files::ROOT_KEY)).unwrap();
        let said = findings(folder.path(), true);
        assert_eq!(said.len(), 1);
        assert!(said[0]["code"] == "CH-D0223" && said[0]["problem"] == false, "{said:?}");
    }
}
