//! The two filled templates of the standard, cell by cell.

use std::path::PathBuf;

use super::super::{ReadOptions, Reading, Severity, read};
use super::{TODAY, assert_nothing_disappeared, findings};
use crate::htcds::{CaseRow, Import, Kind, LeftOut, WhyLeftOut};

/// The filled template of this name; `None`, said aloud, where the shared data is missing outside of CI.
fn template(name: &str) -> Option<Vec<u8>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/htcds").join(name);
    match std::fs::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(_) => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "shared data is missing: {name}");
            eprintln!("skipped: shared data is missing: {name}");
            None
        }
    }
}

fn imported(name: &str) -> Option<(Vec<u8>, Import)> {
    let bytes = template(name)?;
    let import = read(&bytes, &ReadOptions::new(TODAY)).unwrap();
    Some((bytes, import))
}

/// All of a row: field, values, cell.
fn all(row: &CaseRow) -> Vec<(&'static str, String, String)> {
    row.values().iter().map(|(field, value)| (*field, value.values().join("|"), value.source().unwrap())).collect()
}

fn expected(cells: &[(&'static str, &str, &str)]) -> Vec<(&'static str, String, String)> {
    let mut cells: Vec<_> = cells.iter().map(|(f, v, c)| (*f, (*v).to_owned(), (*c).to_owned())).collect();
    cells.sort_unstable();
    cells
}

/// The adult woman: row 3 of both templates.
const ILEANA: [(&str, &str, &str); 23] = [
    ("cas_CaseOwner", "A. Hadžić", "B3"),
    ("prs_FirstName", "Ileana", "D3"),
    ("prs_SecondName", "Ciubotaru", "E3"),
    ("prs_Birthdate", "1999-04-17", "G3"),
    ("prs_Gender", "Feminine", "H3"),
    ("prs_Citizenship", "MD", "I3"),
    ("prs_MobilePhone", "+37360000101", "M3"),
    ("prs_MailingStreet", "str. Națională 14", "N3"),
    ("prs_MailingCity", "Ungheni", "O3"),
    ("prs_MailingState", "Ungheni", "P3"),
    ("prs_MailingPostalCode", "MD-3600", "Q3"),
    ("prs_MailingCountry", "MD", "R3"),
    ("vic_TraffickingStatus", "ActualVictimOfTrafficking", "S3"),
    ("vic_TraffickingStatusDecisionMakingOrg", "NGO", "T3"),
    ("vic_MethodOfRecruitment", "ThroughFriendsOrSocialEvents", "U3"),
    ("vic_LocationOfRecruitment", "Ungheni", "V3"),
    ("vic_MethodsOfControl", "WithholdsDocuments", "W3"),
    ("vic_TypeOfExploitation", "SexualExploitation", "X3"),
    ("vic_TypeOfSexExploitation", "Prostitution", "Z3"),
    ("vic_LocationOfExploitation", "Tuzla", "AA3"),
    ("cas_Status", "Active", "AB3"),
    ("cas_ReferringOrganisation", "Police, Tuzla Canton", "AC3"),
    ("cas_IncomingReferralDate", "2026-09-02", "AD3"),
];

/// The last three cells of her row.
const ILEANA_REFERRAL: [(&str, &str, &str); 3] = [
    ("cas_ReasonForIncomingReferral", "AdditionalServicesRequired", "AF3"),
    (
        "cas_IncomingReferralDetails",
        "Asked for shelter after a bar raid; wants to go home; fears the recruiter's cousin in her town.",
        "AG3",
    ),
    ("cas_ReasonForOutgoingReferral", "MigrationOrChangeOfLocation", "AJ3"),
];

/// The adult with the Cyrillic name, in the row given.
fn petra(row: u32) -> Vec<(&'static str, String, String)> {
    let mut cells = expected(&[
        ("cas_CaseOwner", "A. Hadžić", "B"),
        ("prs_FirstName", "Петра", "D"),
        ("prs_SecondName", "Стоянова", "E"),
        ("prs_Birthdate", "1988-01-30", "G"),
        ("prs_Gender", "Feminine", "H"),
        ("prs_Citizenship", "BG", "I"),
        ("prs_MailingCity", "Видин", "O"),
        ("prs_MailingCountry", "BG", "R"),
        ("vic_TraffickingStatus", "ActualVictimOfTrafficking", "S"),
        ("vic_TraffickingStatusDecisionMakingOrg", "Police", "T"),
        ("vic_MethodOfRecruitment", "ThroughAnOnlineAdvertisement", "U"),
        ("vic_MethodsOfControl", "DebtBondage", "W"),
        ("vic_TypeOfExploitation", "ForcedLabour", "X"),
        ("vic_ForcedLabourIndustry", "A_AgricultureForestryAndFishing", "Y"),
        ("vic_LocationOfExploitation", "Semberija", "AA"),
        ("cas_Status", "FollowUp", "AB"),
        ("cas_IncomingReferralDate", "2026-08-20", "AD"),
        ("cas_ReasonForIncomingReferral", "Other", "AF"),
        ("cas_ReasonForOutgoingReferral", "MigrationOrChangeOfLocation", "AJ"),
    ]);
    for cell in &mut cells {
        cell.2 += &row.to_string();
    }
    cells
}

/// What both templates make the importer say about their columns.
fn column_findings() -> Vec<String> {
    let conflict = |column: &str, by_name: &str, by_label: &str| {
        let (by_name, by_label) = (format!("prs_Mailing{by_name}"), format!("prs_Mailing{by_label}"));
        format!("{column}* NameLabelConflict {{ by_name: {by_name:?}, by_label: {by_label:?}, by_name_chosen: false }}")
    };
    vec![
        "A* NumberingColumn".to_owned(),
        conflict("N", "City", "Street"),
        conflict("O", "Country", "City"),
        // P is named and labelled State in both readings.
        conflict("Q", "Street", "PostalCode"),
        conflict("R", "PostalCode", "Country"),
        "F* ConsentBoxIgnored".to_owned(),
    ]
}

#[test]
fn the_plain_template_is_read_cell_by_cell() {
    let Some((bytes, import)) = imported("cases-plain.xlsx") else { return };
    assert_eq!(import.rows.len(), 2);
    assert_eq!(all(&import.rows[0]), expected(&[&ILEANA[..], &ILEANA_REFERRAL].concat()));
    assert_eq!(all(&import.rows[1]), petra(4));
    assert_eq!(findings(&import), column_findings());
    assert_eq!(import.report.blocking().count(), 0);
    assert_eq!(import.rows.iter().map(|r| (r.row_number(), r.data_index())).collect::<Vec<_>>(), [(3, 0), (4, 1)]);
    assert_nothing_disappeared(&bytes, &import);
}

#[test]
fn the_template_with_lists_is_read_cell_by_cell_and_its_other_sheets_are_named() {
    let Some((bytes, import)) = imported("cases-single-select.xlsx") else { return };
    assert_eq!((import.sheet, import.rows.len()), (1, 3));
    assert_eq!(all(&import.rows[0]), expected(&[&ILEANA[..], &ILEANA_REFERRAL].concat()));
    let boy = [
        ("cas_CaseOwner", "M. Kovač", "B4"),
        ("prs_FirstName", "Arben", "D4"),
        ("prs_SecondName", "Leka", "E4"),
        ("prs_Birthdate", "2013-03-11", "G4"),
        ("prs_Gender", "Masculine", "H4"),
        ("prs_Citizenship", "AL", "I4"),
        ("prs_MailingCity", "Fier", "O4"),
        ("prs_MailingCountry", "AL", "R4"),
        ("vic_TraffickingStatus", "PossibleVictimOfTrafficking", "S4"),
        ("vic_TraffickingStatusDecisionMakingOrg", "NGO", "T4"),
        ("vic_MethodOfRecruitment", "ThroughFamilyOrFamilyEvents", "U4"),
        ("vic_MethodsOfControl", "TakesEarnings", "W4"),
        ("vic_TypeOfExploitation", "ForcedBegging", "X4"),
        ("vic_LocationOfExploitation", "Podgorica", "AA4"),
        ("cas_Status", "Active", "AB4"),
        ("cas_IncomingReferralDate", "2026-10-01", "AD4"),
        ("cas_ReasonForIncomingReferral", "AdditionalServicesRequired", "AF4"),
        ("cas_IncomingReferralDetails", "Found begging; says he is 13; no papers.", "AG4"),
        ("cas_ReasonForOutgoingReferral", "MigrationOrChangeOfLocation", "AJ4"),
    ];
    assert_eq!(all(&import.rows[1]), expected(&boy));
    assert_eq!(all(&import.rows[2]), petra(5));
    let sheets = ["* OtherSheetIgnored { sheet: 2 }", "* OtherSheetIgnored { sheet: 3 }"].map(str::to_owned);
    assert_eq!(findings(&import), [&sheets[..], &column_findings()].concat());
    assert_eq!(import.report.blocking().count(), 0);
    assert_nothing_disappeared(&bytes, &import);
}

#[test]
fn the_boy_of_thirteen_is_a_child_and_the_adults_are_adults() {
    let Some((_, import)) = imported("cases-single-select.xlsx") else { return };
    let notices: Vec<_> = import.rows.iter().map(|row| row.notice_suggestions(TODAY)).collect();
    let age = |at: usize| (notices[at].age_band, notices[at].age_status, notices[at].age_basis);
    assert_eq!(import.rows[1].age_on(TODAY), Some(13));
    assert_eq!(age(0), (Some("27--29"), Some("Adult"), Some("Declared")));
    assert_eq!(age(1), (Some("9--17"), Some("Child"), Some("Declared")));
    assert_eq!(age(2), (Some("30--38"), Some("Adult"), Some("Declared")));
    assert_eq!(
        (notices[0].gender, notices[0].citizenship.clone(), notices[0].country),
        (Some("Feminine"), vec!["MD"], Some("MD"))
    );
    assert_eq!(notices[0].referral_reason, Some("MigrationOrChangeOfLocation"));
    assert_eq!(
        (notices[1].trafficking_status, notices[1].status_decided_by),
        (Some("PossibleVictimOfTrafficking"), Some("NGO"))
    );
}

#[test]
fn names_decide_when_asked_and_the_conflict_is_still_reported() {
    let Some(bytes) = template("cases-plain.xlsx") else { return };
    let import = read(&bytes, &ReadOptions { reading: Reading::ByName, ..ReadOptions::new(TODAY) }).unwrap();
    assert_eq!(import.rows[0].value("prs_MailingCity"), Some("str. Națională 14"));
    assert_eq!(import.report.conflicts().count(), 4);
    // "Ungheni" is no country: read by name, the address columns do not even fit their types.
    let faults: Vec<_> = import.report.blocking().map(|f| (f.column().unwrap(), f.row().unwrap(), f.kind())).collect();
    assert_eq!(faults, [("O".to_owned(), 3, Kind::UnknownChoice), ("O".to_owned(), 4, Kind::UnknownChoice)]);
    assert_nothing_disappeared(&bytes, &import);
}

#[test]
fn the_profile_of_the_first_row_has_its_classes_and_leaves_out_what_stays() {
    let Some((_, import)) = imported("cases-plain.xlsx") else { return };
    let draft = import.rows[0].to_profile_parts();
    let parts: Vec<(&str, Vec<&str>)> = draft
        .parts
        .iter()
        .map(|p| (p.data_class.as_str(), p.fields.iter().map(|f| f.field.as_str()).collect()))
        .collect();
    assert_eq!(
        parts,
        [
            ("Identity", vec!["prs_FirstName", "prs_SecondName", "prs_Birthdate", "prs_Gender", "prs_Citizenship"]),
            ("Contact", vec!["prs_MailingCity", "prs_MailingCountry", "prs_MailingState"]),
            ("Needs", vec!["cas_IncomingReferralDetails"]),
            ("Risk", vec!["vic_MethodsOfControl"]),
            (
                "Trafficking",
                vec![
                    "vic_TraffickingStatus",
                    "vic_TraffickingStatusDecisionMakingOrg",
                    "vic_MethodOfRecruitment",
                    "vic_TypeOfExploitation"
                ]
            ),
            ("SexualExploitationDetail", vec!["vic_TypeOfSexExploitation"]),
        ]
    );
    let out = |field, why| LeftOut { field, why };
    assert_eq!(
        draft.left_out,
        [
            out("prs_MobilePhone", WhyLeftOut::NeedsSafeContact),
            out("prs_MailingStreet", WhyLeftOut::StaysLocal),
            out("prs_MailingPostalCode", WhyLeftOut::StaysLocal),
            out("vic_LocationOfRecruitment", WhyLeftOut::StaysLocal),
            out("vic_LocationOfExploitation", WhyLeftOut::StaysLocal),
            out("cas_Status", WhyLeftOut::TravelsElsewhere),
            out("cas_CaseOwner", WhyLeftOut::TravelsElsewhere),
            out("cas_ReferringOrganisation", WhyLeftOut::TravelsElsewhere),
            out("cas_IncomingReferralDate", WhyLeftOut::TravelsElsewhere),
            out("cas_ReasonForIncomingReferral", WhyLeftOut::TravelsElsewhere),
            out("cas_ReasonForOutgoingReferral", WhyLeftOut::TravelsElsewhere),
        ]
    );
    assert!(draft.free_text.contains(&"cas_IncomingReferralDetails") && draft.free_text.contains(&"prs_FirstName"));
    let counted = draft.parts.iter().map(|p| p.fields.len()).sum::<usize>() + draft.left_out.len();
    assert_eq!(counted, import.rows[0].values().len(), "every value is in a part or left out with a reason");
}

#[test]
fn no_sentence_of_the_report_holds_a_word_of_a_case() {
    let Some((bytes, by_label)) = imported("cases-single-select.xlsx") else { return };
    let by_name = read(&bytes, &ReadOptions { reading: Reading::ByName, ..ReadOptions::new(TODAY) }).unwrap();
    assert!(by_name.report.findings().iter().any(|f| f.severity() == Severity::Fault && f.detail() == Some("Ungheni")));
    for import in [by_label, by_name] {
        let told = format!(
            "{:?} {:?}",
            import.report,
            import.report.findings().iter().map(|f| f.sentence()).collect::<Vec<_>>()
        );
        for word in
            ["Ileana", "Ciubotaru", "Петра", "Стоянова", "Arben", "Leka", "Ungheni", "Видин", "37360000101", "1999"]
        {
            assert!(!told.contains(word), "{word}");
        }
    }
}
