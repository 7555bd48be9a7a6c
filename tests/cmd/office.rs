//! Two offices and one return, typed at two keyboards: every command a caseworker needs, with the sample forms.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Desk, HANGS, Ran, Running, free_address, pause};

/// One office: a running node and people signed in at it.
struct Office<'a> {
    desk: &'a Desk,
    node: Running,
    name: &'static str,
}

impl<'a> Office<'a> {
    fn open(desk: &'a Desk, name: &'static str, country: &str, role: &str) -> Self {
        let folder = desk.node(name, country, role, &free_address());
        desk.accredit(&folder);
        Self { desk, node: Running::start(desk, &folder), name }
    }

    fn pass(&self, login: &str) -> String {
        let path = self.desk.path(&format!("{}-{login}.pass", self.name));
        if !path.exists() {
            self.desk.secret(path.file_name().unwrap().to_str().unwrap(), &format!("the pass phrase of {login}\n"));
        }
        path.to_str().unwrap().to_owned()
    }

    /// A person, invited by the administrator and signed in.
    fn employ(&self, login: &str, name: &str, role: &str) {
        let invited = self.as_root(&["user", "invite", login, "--name", name, "--role", role, "--json"]);
        let code = invited.exits(0).json()["code"].as_str().unwrap().to_owned();
        let file = format!("{}-{login}.code", self.name);
        let code = self.desk.secret(&file, &format!("{code}\n"));
        let (code, pass) = (code.to_str().unwrap(), self.pass(login));
        self.node.run(["user", "accept", login, "--code-file", code, "--passphrase-file", &pass]).exits(0);
        self.node.run(["user", "sign-in", login, "--passphrase-file", &pass]).exits(0);
    }

    /// The administrator signs in for each command by her pass phrase alone.
    fn as_root(&self, args: &[&str]) -> Ran {
        let pass = self.desk.path("root.pass");
        let more = ["--as", "root", "--passphrase-file", pass.to_str().unwrap()];
        self.node.run(args.iter().copied().chain(more))
    }

    fn import(&self, records: &str) {
        let path = self.desk.path(records);
        let reply = self.as_root(&["directory", "import", path.to_str().unwrap(), "--json"]).exits(0).json();
        assert_eq!(reply["refused"].as_array().map(Vec::len), Some(0), "{reply}");
    }

    fn run(&self, login: &str, args: &[&str]) -> Ran {
        self.node.run(args.iter().copied().chain(["--as", login]))
    }

    fn form(&self, name: &str) -> String {
        let path = self.desk.path(&format!("{name}.toml"));
        if !path.exists() {
            fs::write(&path, super::clearhouse(["config", "default", "--form", name]).exits(0).out).unwrap();
        }
        path.to_str().unwrap().to_owned()
    }

    /// Waits until a message of this kind is in the inbox.
    fn awaits(&self, login: &str, kind: &str) {
        let began = Instant::now();
        loop {
            let inbox = self.run(login, &["inbox", "--json"]).exits(0).json();
            if inbox["messages"]
                .as_array()
                .unwrap()
                .iter()
                .any(|m| m["kind"].as_str().is_some_and(|k| k.contains(kind)))
            {
                return;
            }
            assert!(began.elapsed() < HANGS, "{kind} did not come: {inbox}");
            pause(Duration::from_millis(100));
        }
    }

    /// Opens the newest message and says what it says.
    fn reads(&self, login: &str, case: &str, kind: &str) -> String {
        self.awaits(login, kind);
        self.run(login, &["inbox", "open", case]).exits(0).out
    }
}

#[test]
fn a_return_is_carried_by_commands_and_sample_forms_alone() {
    let desk = Desk::new();
    desk.network();
    let here = Office::open(&desk, "porto", "IT", "Destination");
    let there = Office::open(&desk, "nova", "MD", "Origin");
    for office in [&here, &there] {
        office.import("porto.record");
        office.import("nova.record");
    }
    here.employ("chiara", "Chiara B.", "Caseworker");
    there.employ("ana", "Ana P.", "Caseworker");
    there.employ("ion", "Ion M.", "Manager");
    let users = there.as_root(&["user", "list"]).exits(0).out;
    assert!(users.contains("ana") && users.contains("Manager"), "{users}");

    let opened = here.run("chiara", &["case", "open", "--to", "nova"]).exits(0);
    let case = opened.out.trim().to_owned();
    assert!(case.starts_with("T-"), "{case}");
    let nowhere = here.run("chiara", &["case", "open", "--to", "nobody"]).exits(4);
    assert!(nowhere.err.contains("next: clearhouse directory list"), "{}", nowhere.err);

    // Without consent nothing leaves, and the sentence says for whom and for what.
    let notice = ["notice", "send", &case, "--from", &here.form("notice")];
    let refused = here.run("chiara", &notice).exits(5);
    assert!(refused.err.contains("ShareNotice") && refused.err.contains("nova"), "{}", refused.err);
    assert!(refused.err.contains("code: CH-C0301") && refused.err.contains("next: clearhouse consent record"));
    let consent = |purpose: &str, classes: &str| {
        let sample = fs::read_to_string(here.form("consent")).unwrap();
        let classes_line = sample.lines().find(|l| l.starts_with("data_classes")).unwrap();
        let text = sample.replace("\"ShareProfile\"", &format!("\"{purpose}\""));
        let path = desk.path(&format!("{purpose}.toml"));
        fs::write(&path, text.replace(classes_line, &format!("data_classes = [{classes}]"))).unwrap();
        here.run("chiara", &["consent", "record", &case, "--from", path.to_str().unwrap()]).exits(0);
    };
    consent("ShareNotice", "");
    consent("ShareProfile", "'Identity', 'Contact', 'Needs', 'Documents'");
    consent("ShareTravel", "'Travel'");
    let sent = here.run("chiara", &notice).exits(0);
    assert!(sent.out.contains("Sent is not read"), "{}", sent.out);

    let read = there.reads("ana", &case, "notice");
    assert!(read.contains("Chiara B.") && read.contains("24--26") && read.contains("Shelter"), "{read}");
    there.run("ana", &["notice", "acknowledge", &case, "--from", &there.form("acknowledge")]).exits(0);
    // An answer is a manager's; the sample is one with a condition, so it is settled by a second one.
    there.run("ana", &["notice", "answer", &case, "--from", &there.form("answer")]).exits(5);
    there.run("ion", &["notice", "answer", &case, "--from", &there.form("answer")]).exits(0);
    let settled = settled_answer(&desk, &there);
    there.run("ion", &["notice", "answer", &case, "--from", settled.to_str().unwrap()]).exits(0);
    here.reads("chiara", &case, "ack");
    here.awaits("chiara", "answer");
    until(&here, &case, |shown| !shown["facts"]["accepted"].is_null());

    let passport: Vec<u8> = (0..700_000u32).flat_map(u32::to_le_bytes).take(1_200_000).collect();
    let file = desk.path("passport.pdf");
    fs::write(&file, &passport).unwrap();
    let attach = format!("Documents={}", file.to_str().unwrap());
    let profile = here.form("profile");
    here.run("chiara", &["profile", "send", &case, "--from", &profile, "--attach", "Gossip=x"]).exits(2);
    here.run("chiara", &["profile", "send", &case, "--from", &profile, "--attach", &attach]).exits(0);
    there.awaits("ana", "profile");
    there.run("ion", &["case", "show", &case]).exits(0);
    let text = there.run("ana", &["profile", "show", &case]).exits(0).out;
    assert!(text.contains("Ileana") && text.contains("passport.pdf"), "{text}");
    let shown = there.run("ana", &["profile", "show", &case, "--json"]).exits(0).json();
    let parts = shown["parts"].as_array().unwrap();
    let documents = parts.iter().find(|p| p["data_class"] == "Documents").unwrap();
    let (message, handle) =
        (documents["message"].as_str().unwrap(), documents["attachments"][0]["handle"].as_str().unwrap());
    let saved = desk.path("saved.pdf");
    let out = saved.to_str().unwrap();
    let save = ["profile", "attachment", &case, "--message", message, "--handle", handle, "--out", out];
    there.run("ana", &save).exits(0);
    assert!(fs::read(&saved).unwrap() == passport, "the attachment is the file that was sent");
    assert_eq!(fs::metadata(&saved).unwrap().permissions().mode() & 0o777, 0o600);
    there.run("ana", &save).exits(5);

    here.run("chiara", &["arrival", "depart", &case, "--from", departure(&desk).to_str().unwrap()]).exits(0);
    there.reads("ana", &case, "departure");
    there.run("ana", &["arrival", "confirm", &case, "--from", arrival(&desk).to_str().unwrap()]).exits(0);
    until(&here, &case, |shown| !shown["facts"]["met"].is_null());
    let shown = here.run("chiara", &["case", "show", &case]).exits(0).out;
    assert!(shown.lines().any(|l| l.trim_start().starts_with("met ") && l.contains("Ana P.")), "{shown}");
    assert!(here.run("chiara", &["case", "list"]).exits(0).out.contains(&case));
    assert!(here.run("chiara", &["consent", "show", &case]).exits(0).out.contains("ShareProfile"));

    // Her word ends it, at once and on both sides.
    here.run("chiara", &["consent", "withdraw", &case, "ShareProfile"]).exits(0);
    there.awaits("ana", "withdrawal");
    let gone = there.run("ana", &["profile", "show", &case]);
    assert!(!gone.out.contains("Ileana"), "{}", gone.out);
    here.run("chiara", &["outbox"]).exits(0);
    here.run("chiara", &["outbox", "retry"]).exits(0);
    here.run("chiara", &["case", "recall", &case, &"00".repeat(16)]).exits(5);

    the_log_is_taken_away_and_checked(&desk, &here);
    evidence_is_chosen_and_checked(&desk, &here, &there, &case);
    here.run("chiara", &["lock"]).exits(0);
    here.run("chiara", &["case", "list"]).exits(7);
    here.node.run(["unlock", "--as", "chiara", "--passphrase-file", &here.pass("chiara")]).exits(0);
    here.run("chiara", &["case", "list"]).exits(0);
    here.run("chiara", &["user", "sign-out"]).exits(0);
    assert!(here.run("chiara", &["case", "list"]).exits(7).err.contains("clearhouse user sign-in chiara"));
    no_session_can_be_read(&here);
}

/// Who may read the log, what an export proves to a stranger, and what one changed byte in it shows.
fn the_log_is_taken_away_and_checked(desk: &Desk, office: &Office<'_>) {
    assert!(office.run("chiara", &["audit", "list"]).exits(5).err.contains("CH-R0108"));
    let began = Instant::now();
    let listed = loop {
        let listed = office.as_root(&["audit", "list", "--count", "1000", "--json"]).exits(0).json();
        if listed["signed"].as_u64() > Some(20) {
            break listed;
        }
        assert!(began.elapsed() < HANGS, "{listed}");
        pause(Duration::from_millis(100));
    };
    let events: Vec<&str> = listed["entries"].as_array().unwrap().iter().filter_map(|e| e["event"].as_str()).collect();
    for event in ["sent", "receipt received", "released", "withdrawn", "sign in", "directory changed"] {
        assert!(events.contains(&event), "{event}: {events:?}");
    }
    assert!(office.as_root(&["audit", "list"]).exits(0).out.contains("under a signed head"));

    let path = |name: &str| desk.path(name).to_str().unwrap().to_owned();
    let (log, genesis) = (path("log"), path("ceremony/genesis.record"));
    office.as_root(&["audit", "export", "--out", &log]).exits(0);
    office.as_root(&["audit", "export", "--out", &log]).exits(5);
    let verify = |more: &[&str]| super::clearhouse(["audit", "verify", &log].into_iter().chain(more.iter().copied()));
    let told = verify(&["--genesis", &genesis]).exits(0).out;
    assert!(told.starts_with("Nothing was removed or changed ") && told.contains("Signed by"), "{told}");
    assert_eq!(verify(&["--json"]).exits(0).json()["vouched"], "records");
    let older = path("log/checkpoint");
    let since = verify(&["--since", &older]).exits(0).out;
    assert!(since.starts_with("Nothing was removed or changed since "), "{since}");
    super::clearhouse(["audit", "verify", &path("chiara.none")]).exits(4);

    let proof = office.as_root(&["audit", "prove", "3"]).exits(0).out;
    assert!(proof.starts_with("c2sp.org/tlog-proof@v1\nindex 3\n"), "{proof}");
    office.as_root(&["audit", "prove", "99999999"]).exits(4);

    let bundles = desk.path("log/tile/entries");
    let partial = fs::read_dir(bundles).unwrap().next().unwrap().unwrap().path();
    let bundle = fs::read_dir(partial).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&bundle).unwrap();
    bytes[35 * 5 + 9] ^= 1;
    fs::write(&bundle, bytes).unwrap();
    let found = verify(&[]).exits(8).err;
    assert!(found.contains("entry 5 is not the one that was logged"), "{found}");
}

/// One entry shown, some taken away as evidence; what a stranger is told of it whole and touched.
fn evidence_is_chosen_and_checked(desk: &Desk, here: &Office<'_>, there: &Office<'_>, case: &str) {
    let shown = here.as_root(&["audit", "show", "3"]).exits(0).out;
    assert!(shown.contains("entry") && shown.contains("under the head of"), "{shown}");
    let proof = here.as_root(&["audit", "show", "3", "--json"]).exits(0).json()["proof"].clone();
    assert!(proof == "signed" || proof == "witnessed", "{proof}");
    here.as_root(&["audit", "show", "99999999"]).exits(4);
    assert!(here.run("chiara", &["audit", "show", "3"]).exits(5).err.contains("CH-R0108"));

    let path = |name: &str| desk.path(name).to_str().unwrap().to_owned();
    let genesis = path("ceremony/genesis.record");
    let verify = |folder: &str, more: &[&str]| {
        super::clearhouse(["audit", "verify", folder].into_iter().chain(more.iter().copied()))
    };
    // Which entries make a case is content: a manager's, not an administrator's.
    let (of_case, of_message, some) = (path("of-case"), path("of-message"), path("some"));
    here.as_root(&["audit", "bundle", "--out", &of_case, "--case", case]).exits(5);
    assert!(!desk.path("of-case").exists());
    let began = Instant::now();
    while there.run("ion", &["audit", "bundle", "--out", &of_case, "--case", case]).code != Some(0) {
        // The newest of its entries may be under no head yet.
        assert!(began.elapsed() < HANGS);
        pause(Duration::from_millis(200));
    }
    let told = verify(&of_case, &["--genesis", &genesis, "--json"]).exits(0).json();
    let events: Vec<&str> = told["evidence"].as_array().unwrap().iter().filter_map(|e| e["event"].as_str()).collect();
    for event in ["deposited", "received", "receipt sent", "opened", "accepted", "arrived"] {
        assert!(events.contains(&event), "{event}: {events:?}");
    }
    assert!(!events.contains(&"sign in"), "what is not about the case stays at home: {events:?}");
    let digest = told["evidence"][0]["envelope"].as_str().unwrap();
    there.run("ion", &["audit", "bundle", "--out", &of_message, "--message", &digest[..20]]).exits(0);
    let of_one = verify(&of_message, &["--json"]).exits(0).json();
    assert!(of_one["evidence"].as_array().unwrap().iter().all(|e| e["envelope"] == digest || e["answers"] == digest));
    there.run("ion", &["audit", "bundle", "--out", &path("none"), "--message", &"0".repeat(16)]).exits(4);
    there.run("ion", &["audit", "bundle", "--out", &path("none"), "--message", "0000"]).exits(2);

    let bundle = ["audit", "bundle", "--out", &some, "--from", "2", "--to", "5"];
    assert!(here.as_root(&bundle).exits(0).out.contains("4 entries, each with its proof"));
    here.as_root(&bundle).exits(5);
    here.as_root(&["audit", "bundle", "--out", &path("none"), "--from", "5", "--to", "2"]).exits(2);
    here.as_root(&["audit", "bundle", "--out", &path("none"), "--from", "2", "--to", "99999"]).exits(2);
    let whole = verify(&some, &["--genesis", &genesis]).exits(0).out;
    assert!(whole.starts_with("4 entries stand in this log as they were logged"), "{whole}");
    verify(&some, &["--since", &path("log/checkpoint")]).exits(2);
    let policy = desk.path("policy");
    fs::write(&policy, "quorum none\n").unwrap();
    verify(&some, &["--policy", policy.to_str().unwrap()]).exits(0);
    fs::write(&policy, "quorum\n").unwrap();
    assert!(verify(&some, &["--policy", policy.to_str().unwrap()]).exits(2).err.contains("line 1"));
    for name in ["entries/3.json", "checkpoint", "MANIFEST.json"] {
        let file = desk.path(&format!("some/{name}"));
        let bytes = fs::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        assert!(verify(&some, &[]).exits(8).err.contains(&format!("{name} is missing")), "{name}");
        fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
        assert!(verify(&some, &[]).exits(8).err.contains(name), "{name}");
        fs::write(&file, bytes).unwrap();
    }
    fs::write(desk.path("some/more"), "").unwrap();
    assert!(verify(&some, &[]).exits(8).err.contains("more was added"));
}

/// Waits until the case looks as `seen` says.
fn until(office: &Office<'_>, case: &str, seen: impl Fn(&serde_json::Value) -> bool) {
    let began = Instant::now();
    loop {
        let shown = office.run("chiara", &["case", "show", case, "--json"]).exits(0).json();
        if seen(&shown) {
            return;
        }
        assert!(began.elapsed() < HANGS, "{shown}");
        pause(Duration::from_millis(100));
    }
}

/// The sample answer without its condition.
fn settled_answer(desk: &Desk, office: &Office<'_>) -> PathBuf {
    let sample = fs::read_to_string(office.form("answer")).unwrap();
    let kept = sample.lines().filter(|l| !l.starts_with("conditions")).map(|l| format!("{l}\n"));
    let path = desk.path("settled.toml");
    fs::write(&path, kept.collect::<String>().replace("\"AcceptedWithConditions\"", "\"Accepted\"")).unwrap();
    path
}

/// The sample departure and arrival speak of days of their own; today's journey has left these out.
fn departure(desk: &Desk) -> PathBuf {
    let soon = clearhouse_node::clock::Clock::now(&clearhouse_node::clock::SystemClock) + 3600;
    let path = desk.path("leaves.toml");
    let planned = clearhouse_casework::forms::show_time(soon);
    fs::write(&path, format!("outcome = 'Left'\nplanned_arrival = '{planned}'\n")).unwrap();
    path
}

fn arrival(desk: &Desk) -> PathBuf {
    let path = desk.path("arrives.toml");
    let text = "result = 'ArrivedMet'\nneeds_now = 'Shelter'\nmet_by = { label = 'Ana P.', role = 'Caseworker' }\n";
    fs::write(&path, text).unwrap();
    path
}

fn no_session_can_be_read(office: &Office<'_>) {
    for entry in fs::read_dir(office.node.folder.join("sessions")).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn a_case_is_erased_by_a_managers_command_and_only_told_as_being_erased_before() {
    let desk = Desk::new();
    desk.network();
    let here = Office::open(&desk, "porto", "IT", "Destination");
    let there = desk.node("nova", "MD", "Origin", &free_address());
    desk.accredit(&there);
    here.import("porto.record");
    here.import("nova.record");
    here.employ("chiara", "Chiara B.", "Caseworker");
    here.employ("mira", "Mira M.", "Manager");
    let case = here.run("chiara", &["case", "open", "--to", "nova"]).exits(0).out.trim().to_owned();
    let stays = here.run("chiara", &["case", "open", "--to", "nova"]).exits(0).out.trim().to_owned();
    let mut consent = vec!["consent", "record", &case];
    let form = here.form("consent");
    consent.extend(["--from", &form]);
    here.run("chiara", &consent).exits(0);

    // Who may not, and what is no reason, are told what to do.
    let erase = ["case", "erase", &case, "--reason", "EnteredInError", "--yes"];
    let refused = here.run("chiara", &erase).exits(5);
    assert!(refused.err.contains("erasing are a manager's") && refused.err.contains("CH-C0102"), "{}", refused.err);
    let no_reason = here.run("mira", &["case", "erase", &case, "--reason", "Tidying", "--yes"]).exits(2);
    assert!(no_reason.err.contains("RetentionEnded") && no_reason.err.contains("CH-U0109"), "{}", no_reason.err);
    here.run("mira", &["case", "erase", &case, "--reason", "PersonAsked", "--class", "Health", "--yes"]).exits(5);
    let kept = here.run("mira", &["case", "keep", &case]).exits(5);
    assert!(kept.err.contains("CH-C0708"), "{}", kept.err);

    // Told by role and reason, in words and as one line of JSON; gone soon after.
    let told = here.run("mira", &erase).exits(0).out;
    assert!(told.contains(&format!("{case} is being erased.")) && told.contains("EnteredInError"), "{told}");
    let stays_there = format!("`clearhouse case consents {case}` shows it");
    assert!(told.contains("The history of its consents stays until 20") && told.contains(&stays_there), "{told}");
    let began = Instant::now();
    loop {
        let cases = here.run("mira", &["case", "list"]).exits(0).out;
        assert!(cases.contains(&stays), "{cases}");
        if !cases.contains(&case) {
            break;
        }
        assert!(cases.contains("being erased"), "{cases}");
        assert!(began.elapsed() < HANGS, "it does not go: {cases}");
        pause(Duration::from_millis(100));
    }
    here.run("mira", &["case", "show", &case]).exits(4);
    let log = here.as_root(&["audit", "list"]).exits(0).out;
    assert!(log.contains("erasure decided") && log.contains("case erased"), "{log}");
    assert!(here.node.run(["doctor"]).out.lines().all(|line| !line.contains("damaged")));
    // What stays, for who may see it and has the whole code from paper.
    let refused = here.run("chiara", &["case", "consents", &case]).exits(5);
    assert!(refused.err.contains("CH-R0110"), "{}", refused.err);
    let history = here.run("mira", &["case", "consents", &case.to_lowercase()]).exits(0).out;
    for word in
        ["Erased 20", "EnteredInError, decided by a Manager", "Given", "ShareProfile", "to nova", "Caseworker porto"]
    {
        assert!(history.contains(word), "{word}: {history}");
    }
    let json = here.run("mira", &["case", "consents", &case, "--json"]).exits(0).json();
    assert_eq!(json["histories"].as_array().map(Vec::len), Some(1));
    let beginning = here.run("mira", &["case", "consents", &case[..6]]).exits(4);
    assert!(beginning.err.contains("CH-N0112") && beginning.err.contains("whole code"), "{}", beginning.err);
    here.run("mira", &["case", "consents", &stays]).exits(4);
    // A second one, as a script does it.
    let json = here.run("mira", &["case", "erase", &stays, "--reason", "RetentionEnded", "--yes", "--json"]);
    let json = json.exits(0).json();
    assert_eq!(
        (&json["case"], json["history_kept_until"].is_null()),
        (&stays.into(), true),
        "nobody agreed to anything"
    );
}

#[test]
fn an_entry_is_confirmed_by_who_answers_for_it_and_shown_with_its_hours() {
    let desk = Desk::new();
    desk.network();
    let office = Office::open(&desk, "nova", "MD", "Origin");
    let attest = |more: &[&'static str]| office.as_root(&[&["directory", "attest"], more].concat());
    let early = attest(&[]).exits(5);
    assert!(early.err.contains("CH-R0112") && early.err.contains("application.record"), "{}", early.err);
    office.import("nova.record");
    office.employ("ana", "Ana P.", "Caseworker");
    let refused = office.run("ana", &["directory", "attest"]).exits(5);
    assert!(refused.err.contains("CH-R0111"), "{}", refused.err);
    for wrong in [["--duty", "mon-fri"], ["--duty", "fri=16:00-08:00"], ["--child-places", "perhaps"]] {
        attest(&wrong).exits(2);
    }
    let named = attest(&["--alternate", "Ana Popescu"]).exits(2);
    assert!(named.err.contains("one word") && named.err.contains("Nothing was changed"), "{}", named.err);
    let said =
        attest(&["--duty", "mon-tue=08:00-16:00", "--alternate", "ChildOfficer", "--child-places", "no"]).exits(0);
    assert!(said.out.contains("Mon 08:00-16:00 UTC") && said.out.contains("no places"), "{}", said.out);
    let shown = office.as_root(&["directory", "show", "nova"]).exits(0).out;
    for line in ["Tue 08:00-16:00 UTC", "ChildOfficer", "no places", "confirmed"] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    // Said again without a word more, the rest stays; and no more often than an hour has serials.
    let again = attest(&["--json"]).exits(0).json();
    assert_eq!((again["alternate"].as_str(), again["duty"].as_array().map(Vec::len)), (Some("ChildOfficer"), Some(2)));
    let codes: Vec<Option<i32>> = (0..3).map(|_| attest(&[]).code).collect();
    assert_eq!(codes.last(), Some(&Some(2)), "{codes:?}");
}
