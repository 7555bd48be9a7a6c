//! Workbooks become drafts: all or nothing, into new private files, with every finding told.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::{Desk, Ran, clearhouse};

/// A published template, or nothing, said aloud, where the shared data is missing outside of CI.
fn workbook(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/htcds").join(name);
    if path.is_file() {
        return Some(path);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "shared data is missing: {name}");
    eprintln!("skipped: shared data is missing: {name}");
    None
}

fn import(file: &Path, more: &[&OsStr]) -> Ran {
    let args = ["import".as_ref(), "htcds".as_ref(), file.as_os_str()];
    clearhouse(args.into_iter().chain(more.iter().copied()))
}

#[test]
fn a_workbook_becomes_private_drafts_that_say_what_is_open() {
    let Some(file) = workbook("cases-single-select.xlsx") else { return };
    let desk = Desk::new();
    let out = desk.path("drafts");
    let dry = import(&file, &["--dry-run".as_ref(), "--json".as_ref()]).exits(0).json();
    assert_eq!((dry["rows"].as_array().map(Vec::len), dry["written"].as_array().map(Vec::len)), (Some(3), Some(0)));
    assert!(dry["findings"].as_array().unwrap().iter().any(|f| f["column"] == "F" && f["problem"] == false));
    let columns = dry["columns"].as_array().unwrap();
    assert!(columns.iter().any(|c| c["column"] == "D" && c["field"] == "prs_FirstName"));
    assert!(!dry.to_string().contains("Ileana"), "a report holds no word of a case");

    let done = import(&file, &["--json".as_ref(), "--out".as_ref(), out.as_ref()]).exits(0).json();
    assert_eq!(done["written"].as_array().map(Vec::len), Some(3));
    let draft = |row: u32| {
        let path = out.join(format!("row-{row}.json"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        serde_json::from_slice::<serde_json::Value>(&fs::read(path).unwrap()).unwrap()
    };
    let (woman, boy) = (draft(3), draft(4));
    assert_eq!((woman["schema"].as_str(), woman["notice"]["age_status"].as_str()), (Some("ch.draft/1"), Some("Adult")));
    assert!(woman["notice"]["alternatives_explained"].is_null());
    assert_eq!(boy["notice"]["age_status"], "Child");
    assert!(boy["notice"].as_object().unwrap().contains_key("guardian_status"));
    let parts = woman["profile"]["parts"].as_array().unwrap();
    assert!(parts.iter().all(|p| !p.to_string().contains("prs_MobilePhone")));

    // The same again makes no second draft.
    import(&file, &["--out".as_ref(), out.as_ref()]).exits(5);
    assert_eq!(fs::read_dir(&out).unwrap().count(), 3);

    // A draft is taken once it is filled in, and says until then what is missing.
    desk.network();
    let node = desk.node("node", "MD", "Origin", "127.0.0.1:17040");
    let path = out.join("row-3.json");
    let send = |form: &str| {
        let args = [form, "send", "T-AAAA", "--node"].map(OsStr::new);
        clearhouse(args.into_iter().chain([node.as_os_str(), "--from".as_ref(), path.as_os_str()]))
    };
    let open = send("notice").exits(2).err;
    assert!(open.contains("window_from") && open.contains("worker.label") && !open.contains("Ileana"), "{open}");
    // Nobody is signed in: the profile's part was read and fits.
    send("profile").exits(7);
}

#[test]
fn what_was_not_taken_holds_the_file_back_unless_rows_are_named() {
    let Some(file) = workbook("cases-plain.xlsx") else { return };
    let desk = Desk::new();
    let out = desk.path("drafts");
    // Read by hidden names, the templates put towns into the column of countries.
    let ran = import(&file, &["--by-name".as_ref(), "--out".as_ref(), out.as_ref()]).exits(3);
    assert!(ran.out.contains("NOT TAKEN") && ran.out.contains("O3") && ran.err.contains("Nothing was written"));
    assert!(!out.exists());
    let row = ["--row".as_ref(), "4".as_ref()];
    let named = [&["--by-name".as_ref(), "--out".as_ref(), out.as_ref()][..], &row].concat();
    import(&file, &named).exits(3);
    let names: Vec<_> = fs::read_dir(&out).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["row-4.json"]);
    let text = fs::read_to_string(out.join("row-4.json")).unwrap();
    assert!(text.contains("O4") && !text.contains("O3"), "only what is about this row");
    import(&file, &["--dry-run".as_ref(), "--row".as_ref(), "99".as_ref()]).exits(4);
}

#[test]
fn one_draft_that_cannot_be_made_leaves_none() {
    let Some(file) = workbook("cases-single-select.xlsx") else { return };
    let desk = Desk::new();
    let out = desk.path("drafts");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("row-5.json"), "mine").unwrap();
    import(&file, &["--out".as_ref(), out.as_ref()]).exits(5);
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(out.join("row-5.json")).unwrap(), "mine");
}

#[test]
fn what_is_no_workbook_is_a_mistake_of_usage() {
    let desk = Desk::new();
    for (name, bytes) in [("text.xlsx", &b"hello"[..]), ("empty.xlsx", b""), ("zip.xlsx", b"PK\x03\x04broken")] {
        fs::write(desk.path(name), bytes).unwrap();
        import(&desk.path(name), &["--dry-run".as_ref()]).exits(2);
    }
    import(&desk.path("none.xlsx"), &["--dry-run".as_ref()]).exits(4);
    import(&desk.path("text.xlsx"), &[]).exits(2);
}

// Found by fuzzing: a cell whose place is beyond all columns stops the reader below, whose words are not for a screen.
#[test]
fn a_file_that_stops_the_reader_is_refused_in_our_own_words() {
    let desk = Desk::new();
    let rows = include_bytes!("../fuzz/crashes/workbook/cell-beyond-all-columns");
    let file = desk.path("harm.xlsx");
    fs::write(&file, crate::fuzz::bodies::workbook::workbook("", "", &rows[1..])).unwrap();
    let ran = import(&file, &["--dry-run".as_ref()]).exits(2);
    let told = &ran.err;
    assert!(told.contains("the workbook cannot be read") && !told.contains("panicked"), "{told}");

    // The demo takes a workbook too.
    let words = ["demo".as_ref(), "--row".as_ref(), "1".as_ref(), "--input".as_ref(), file.as_os_str()];
    let ran = clearhouse(words).exits(1);
    assert!(ran.out.contains("CH-E0102") && ran.err.is_empty(), "{} {}", ran.out, ran.err);
}

#[test]
fn a_file_that_is_longer_than_any_workbook_is_not_read_to_its_end() {
    let desk = Desk::new();
    let (file, with) = (desk.path("long.xlsx"), desk.path("long.toml"));
    // Nothing but holes: it has no end that a test could wait for.
    for path in [&file, &with] {
        fs::File::create(path).and_then(|long| long.set_len(1 << 40)).unwrap();
    }
    let ran = import(&file, &["--dry-run".as_ref()]).exits(2);
    assert!(ran.err.contains("is longer than") && ran.out.is_empty(), "{}", ran.err);
    let demo = |more: &[&OsStr]| {
        let words = ["demo".as_ref(), "--row".as_ref(), "1".as_ref()].into_iter().chain(more.iter().copied());
        clearhouse(words).exits(1).out
    };
    let told = demo(&["--input".as_ref(), file.as_os_str()]);
    assert!(
        told.contains("CH-E0101") && told.contains("is longer than") && told.contains("Nothing was started"),
        "{told}"
    );
    let Some(book) = workbook("cases-plain.xlsx") else { return };
    let told = demo(&["--input".as_ref(), book.as_os_str(), "--with".as_ref(), with.as_os_str()]);
    assert!(
        told.contains("CH-E0104") && told.contains("is longer than") && told.contains("Nothing was started"),
        "{told}"
    );
}
