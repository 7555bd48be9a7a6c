//! Sheets that are not what a template is: shuffled, repeated, mistyped, hidden, computed.

use super::super::{CELL_TEXT_MAX, COLUMNS_MAX, ReadOptions, Reading};
use super::writer::{Book, Entry, Put, archive};
use super::{TODAY, assert_nothing_disappeared, fault, findings, has, read};
use crate::htcds::fields::{FieldFault, TEXT_MAX_CHARS};
use crate::htcds::{Import, ImportFault, Kind};

/// Reads a book and checks that no cell disappeared.
fn import(book: &Book) -> Import {
    let bytes = book.bytes();
    let import = read(&bytes).unwrap();
    assert_nothing_disappeared(&bytes, &import);
    import
}

const NAMES: [&str; 3] = ["First Name", "Gender", "Birthdate"];

#[test]
fn columns_are_found_in_any_order_with_a_title_above_and_labels_below_names() {
    let book = Book::new()
        .texts(1, &["", "Cases of this year"])
        .texts(2, &["prs_Gender", "prs_birthdate ", "", "prs_First_Name"])
        .texts(4, &["Gender", "Birthdate", "Second  name", "First Name"])
        .row(6, &[(3, Put::Text("Ana")), (0, Put::Text("masculine")), (1, Put::Day(36267)), (2, Put::Text("Null"))]);
    let import = import(&book);
    let row = &import.rows[0];
    assert_eq!(row.row_number(), 6);
    assert_eq!(
        ["prs_FirstName", "prs_Gender", "prs_Birthdate", "prs_SecondName"].map(|f| row.value(f).unwrap()),
        ["Ana", "Masculine", "1999-04-17", "Null"]
    );
    assert_eq!(findings(&import), ["*1 RowAboveTable"]);
}

#[test]
fn a_case_above_the_headings_is_a_fault() {
    let book = Book::new()
        .texts(1, &["Ana", "Feminine", "1999-04-17"])
        .texts(2, &NAMES)
        .texts(3, &["Eva", "Feminine", "1999-04-17"]);
    let import = import(&book);
    assert_eq!(import.rows.len(), 1);
    assert_eq!(findings(&import), ["*1 CaseAboveTable"]);
    assert_eq!(import.report.blocking().count(), 1);
}

#[test]
fn a_sheet_without_headings_is_refused_and_a_list_of_values_is_not_a_case_sheet() {
    assert_eq!(fault(&Book::headed(&["a", "b", "c"]).bytes()), Some(ImportFault::NoCaseSheet));
    assert_eq!(fault(&Book::headed(&["First Name", "Gender"]).bytes()), Some(ImportFault::NoCaseSheet));
    let lists = ["Gender", "Country", "Method of Recruitment", "Status", "Trafficking Status"];
    assert_eq!(fault(&Book::headed(&lists).texts(2, &["Feminine"]).bytes()), Some(ImportFault::NoCaseSheet));
    assert_eq!(fault(&Book::new().bytes()), Some(ImportFault::NoCaseSheet));
}

#[test]
fn of_two_case_sheets_the_caller_says_which() {
    let book = Book::headed(&NAMES).texts(2, &["Ana"]).another_sheet().texts(1, &NAMES).texts(2, &["Eva"]);
    assert_eq!(fault(&book.bytes()), Some(ImportFault::SeveralCaseSheets { first: 1, second: 2 }));
    let second = super::super::read(&book.bytes(), &ReadOptions { sheet: Some(2), ..ReadOptions::new(TODAY) }).unwrap();
    assert_eq!(second.rows[0].value("prs_FirstName"), Some("Eva"));
    assert!(has(&second.report, Kind::OtherSheetIgnored { sheet: 1 }));
    let none = super::super::read(&book.bytes(), &ReadOptions { sheet: Some(3), ..ReadOptions::new(TODAY) });
    assert_eq!(none.err(), Some(ImportFault::NoCaseSheet));
}

#[test]
fn two_columns_of_one_field_are_both_left_out_unless_one_is_empty() {
    let headings = ["First Name", "Gender", "Birthdate", "prs_FirstName"];
    let both = import(&Book::headed(&headings).texts(2, &["Ana", "Feminine", "", "Eva"]));
    assert_eq!(both.rows[0].value("prs_FirstName"), None);
    assert_eq!(findings(&both), ["A* RepeatedColumn", "D* RepeatedColumn"]);
    let one = import(&Book::headed(&headings).texts(2, &["", "Feminine", "", "Eva"]));
    assert_eq!(one.rows[0].value("prs_FirstName"), Some("Eva"));
    assert_eq!(one.report.findings().len(), 0);
}

#[test]
fn a_column_that_cannot_be_named_is_a_fault_of_the_whole_column() {
    let book = Book::headed(&["First Name", "Gender", "Birthdate", "Shoe size", "Longitude", ""])
        .texts(2, &["Ana", "Feminine", "1999-04-17", "38", "18.6", "stray"]);
    let import = import(&book);
    assert_eq!(findings(&import), ["D* UnknownColumn", "E* AmbiguousLabel", "F* ColumnWithoutHeading"]);
    assert_eq!(import.report.blocking().count(), 3);
    assert_eq!(import.report.findings()[0].detail(), Some("Shoe size"));
}

#[test]
fn a_known_name_under_an_unknown_label_is_followed_only_when_asked() {
    let book = Book::new()
        .texts(1, &["prs_FirstName", "prs_Gender", "prs_MailingStreet"])
        .texts(2, &["First Name", "Gender", "Mother's phone"])
        .texts(3, &["Ana", "Feminine", "+38765000000"]);
    let by_label = import(&book);
    assert_eq!(by_label.rows[0].value("prs_MailingStreet"), None);
    assert_eq!(by_label.report.blocking().count(), 1);
    let options = ReadOptions { reading: Reading::ByName, ..ReadOptions::new(TODAY) };
    let by_name = super::super::read(&book.bytes(), &options).unwrap();
    assert_eq!(by_name.rows[0].value("prs_MailingStreet"), Some("+38765000000"));
    assert_eq!(by_name.report.blocking().count(), 0);
}

#[test]
fn translated_labels_under_hidden_names_are_headings_and_not_a_person_called_name() {
    let names =
        [(0, Put::Text("prs_FirstName")), (1, Put::Text("prs_SecondName")), (2, Put::Text("prs_MailingStreet"))];
    let book = Book::new()
        .row_with(1, "hidden=\"1\"", &names)
        .texts(2, &["Ime", "Prezime", "Adresa"])
        .texts(3, &["Ana", "Kovač", "Glavna 1"]);
    let by_label = import(&book);
    assert_eq!((by_label.rows.len(), by_label.report.blocking().count()), (0, 3));
    let options = ReadOptions { reading: Reading::ByName, ..ReadOptions::new(TODAY) };
    let by_name = super::super::read(&book.bytes(), &options).unwrap();
    assert_eq!((by_name.rows.len(), by_name.rows[0].value("prs_SecondName")), (1, Some("Kovač")));
}

#[test]
fn the_form_that_labels_the_title_second_name_does_not_mix_the_two() {
    let book = Book::new()
        .texts(1, &["prs_First_Name", "prs_Second_Name", "prs_Title", "vic_Methods_of_Control"])
        .texts(2, &["First Name", "Second Name", "Second Name", "Methods of Control"])
        .texts(3, &["Ana", "Kovač", "nurse", "DebtBondage FalsePromises"]);
    let import = import(&book);
    assert_eq!(import.rows[0].value("prs_SecondName"), None);
    assert!(has(&import.report, Kind::RepeatedColumn));
    assert_eq!(import.rows[0].values()["vic_MethodsOfControl"].values(), ["DebtBondage", "FalsePromises"]);
}

#[test]
fn formulas_and_errors_are_reported_and_never_taken() {
    let formulas = ["HYPERLINK(\"http://x\",\"Ana\")", "1+1", "cmd|' /C calc'!A0"];
    for formula in formulas {
        let book =
            Book::headed(&NAMES).row(2, &[(0, Put::Formula(formula, "Ana")), (1, Put::Error), (2, Put::Day(36267))]);
        let import = import(&book);
        assert_eq!(findings(&import), ["A2 Formula", "B2 ErrorCell"]);
        assert_eq!(import.rows[0].values().len(), 1);
    }
    let shared = "<row r=\"2\"><c r=\"A2\" t=\"str\"><f t=\"shared\" ref=\"A2:A9\" si=\"4294967295\">B2</f><v>Ana</v></c>\
                  <c r=\"B2\" t=\"str\"><f t=\"shared\" si=\"4294967295\"/><v>Feminine</v></c></row>";
    assert_eq!(findings(&import(&Book::headed(&NAMES).raw(shared))), ["A2 Formula", "B2 Formula"]);
}

#[test]
fn cells_that_break_a_rule_are_named_one_by_one_and_the_rest_is_taken() {
    let long = "Ж".repeat(TEXT_MAX_CHARS + 1);
    let longer = "x".repeat(CELL_TEXT_MAX + 1);
    let headings = ["First Name", "Gender", "Birthdate", "Age when Trafficked", "Email", "Second Name", "Middle Name"];
    let book = Book::headed(&headings)
        .row(
            2,
            &[(0, Put::Text(&long)), (1, Put::Text("female")), (2, Put::Text("03/04/1999")), (3, Put::Number("-1"))],
        )
        .row(
            3,
            &[(0, Put::Text(&longer)), (1, Put::Number("1")), (2, Put::Text("0001-01-01")), (3, Put::Number("200"))],
        )
        .row(
            4,
            &[
                (0, Put::Text("A_x0000_na")),
                (1, Put::Flag(true)),
                (2, Put::Number("1999")),
                (4, Put::Text("ana at home")),
            ],
        )
        .row(
            5,
            &[
                (0, Put::Text("A\u{202e}na")),
                (1, Put::Text("Not asked")),
                (2, Put::IsoDay("2013-03-11T00:00:00")),
                (5, Put::Number("NaN")),
                (6, Put::Text("NaN")),
            ],
        );
    let import = import(&book);
    let too_long = format!("{:?}", Kind::Refused(FieldFault::TooLong { max: TEXT_MAX_CHARS }));
    let range = format!("{:?}", Kind::Refused(FieldFault::OutOfRange { min: 0, max: 120 }));
    assert_eq!(
        findings(&import),
        [
            format!("A2 {too_long}"),
            "B2 UnknownChoice".to_owned(),
            "C2 AmbiguousDate".to_owned(),
            format!("D2 {range}"),
            format!("A3 {too_long}"),
            "B3 WrongCellType".to_owned(),
            "C3 Refused(YearOutOfRange)".to_owned(),
            format!("D3 {range}"),
            "A4 Refused(ForbiddenCharacter)".to_owned(),
            "B4 WrongCellType".to_owned(),
            "C4 YearOnly".to_owned(),
            "E4 Refused(NotAnEmail)".to_owned(),
            "A5 Refused(ForbiddenCharacter)".to_owned(),
            "F5 WrongCellType".to_owned(),
        ]
    );
    let last = &import.rows[3];
    assert_eq!((last.value("prs_Birthdate"), last.value("prs_MiddleName")), (Some("2013-03-11"), Some("NaN")));
    assert_eq!(last.values()["prs_Gender"].null_reason(), Some("NotAsked"));
    let part = &last.to_profile_parts().parts[0];
    let gender = part.fields.iter().find(|f| f.field == "prs_Gender").unwrap();
    assert!(gender.values.is_empty() && gender.null_reason == "NotAsked");
}

#[test]
fn hidden_rows_and_columns_are_taken_and_named() {
    let book =
        Book::headed(&NAMES).row_with(2, "hidden=\"1\"", &[(0, Put::Text("Ana"))]).row(3, &[(0, Put::Text("Eva"))]);
    let import = import(&book);
    assert_eq!(findings(&import), ["*2 HiddenRow"]);
    assert_eq!((import.rows.len(), import.report.blocking().count()), (2, 0));
}

#[test]
fn a_person_typed_twice_is_named_and_taken_twice() {
    let headings = ["First Name", "Second Name", "Birthdate"];
    let import = import(
        &Book::headed(&headings)
            .texts(2, &["Ana", "Kovač", "1999-04-17"])
            .texts(3, &["Ana", "Kovač", "1999-04-18"])
            .row(4, &[(0, Put::Text("Ana")), (1, Put::Text("Kovač")), (2, Put::Day(36267))])
            .texts(5, &["Ana", "Kovač"])
            .texts(6, &["Ana", "Kovač"]),
    );
    assert_eq!(findings(&import), ["*4 LikeEarlierRow { row: 2 }"]);
    assert_eq!((import.rows.len(), import.report.blocking().count()), (5, 0));
}

#[test]
fn a_column_hidden_in_the_file_is_named() {
    let mut parts = Book::headed(&NAMES).texts(2, &["Ana", "Feminine"]).parts();
    let sheet = parts.last_mut().unwrap();
    sheet.1 = sheet.1.replace("<sheetData>", "<cols><col min=\"2\" max=\"2\" hidden=\"1\"/></cols><sheetData>");
    let entries: Vec<_> = parts.iter().map(|(name, text)| Entry::stored(name, text.as_bytes())).collect();
    assert_eq!(findings(&read(&archive(&entries)).unwrap()), ["B* HiddenColumn"]);
}

#[test]
fn dates_of_the_other_calendar_and_shared_texts_are_read() {
    let book = Book::headed(&NAMES)
        .dated_from_1904()
        .shared("Feminine")
        .shared("Ana")
        .row(2, &[(0, Put::Shared(1)), (1, Put::Shared(0)), (2, Put::Day(34805))]);
    let row = &import(&book).rows[0];
    assert_eq!(NAMES.len(), row.values().len());
    assert_eq!((row.value("prs_FirstName"), row.value("prs_Birthdate")), (Some("Ana"), Some("1999-04-17")));
}

#[test]
fn a_million_empty_rows_cost_nothing_and_a_cell_in_the_last_corner_no_memory() {
    let empty: String = (3..1_000_000).map(|row| format!("<row r=\"{row}\"/>")).collect();
    let book = Book::headed(&NAMES).texts(2, &["Ana"]).raw(&empty);
    assert_eq!(read(&book.bytes()).unwrap().rows.len(), 1);
    let far = Book::headed(&NAMES).row(1_048_576, &[(0, Put::Text("Ana"))]);
    assert_eq!(import(&far).rows[0].row_number(), 1_048_576);
    let corner = Book::headed(&NAMES).row(1_048_576, &[(16_383, Put::Text("x"))]);
    assert_eq!(fault(&corner.bytes()), Some(ImportFault::TooManyColumns));
    let edge = Book::headed(&NAMES).row(2, &[(COLUMNS_MAX - 1, Put::Text("x"))]);
    assert_eq!(findings(&import(&edge)), ["IV* ColumnWithoutHeading"]);
    let beyond = Book::headed(&NAMES).raw("<row r=\"99999999999\"><c r=\"A99999999999\"><v>1</v></c></row>");
    assert_eq!(fault(&beyond.bytes()), Some(ImportFault::Unreadable));
}

#[test]
fn one_case_too_many_is_refused_and_so_is_a_cell_that_stands_twice() {
    let fill = |count: usize| {
        let rows: String =
            (2..count + 2).map(|r| format!("<row r=\"{r}\"><c r=\"A{r}\" t=\"s\"><v>0</v></c></row>")).collect();
        Book::headed(&NAMES).shared("Ana").raw(&rows).bytes()
    };
    assert_eq!(read(&fill(10_000)).unwrap().rows.len(), 10_000);
    assert_eq!(fault(&fill(10_001)), Some(ImportFault::TooManyRows));
    let twice = Book::headed(&NAMES).texts(2, &["Ana"]).texts(2, &["Eva"]);
    assert_eq!(fault(&twice.bytes()), Some(ImportFault::Unreadable));
}

#[test]
fn one_long_text_named_by_every_cell_is_refused_before_it_fills_the_memory() {
    let long = "x".repeat(CELL_TEXT_MAX);
    let rows: String = (2..9000).map(|r| format!("<row r=\"{r}\"><c r=\"A{r}\" t=\"s\"><v>0</v></c></row>")).collect();
    assert_eq!(fault(&Book::headed(&NAMES).shared(&long).raw(&rows).bytes()), Some(ImportFault::TooManyCells));
}

#[test]
fn a_sheet_of_nothing_but_faults_ends_at_the_limit_of_findings() {
    let headings = [
        "prs_Gender",
        "prs_FirstName",
        "prs_Birthdate",
        "cas_Status",
        "prs_Email",
        "prs_MobilePhone",
        "prs_Citizenship",
        "prs_PrimaryLanguage",
        "vic_TypeOfExploitation",
        "vic_MethodsOfControl",
        "prs_MaritalStatus",
    ];
    let row = |r: usize| {
        let cells: String = (0..headings.len()).map(|_| "<c t=\"s\"><v>0</v></c>").collect();
        format!("<row r=\"{r}\">{cells}</row>")
    };
    let rows: String = (2..10_000).map(row).collect();
    let bytes = Book::headed(&headings).shared("\u{202e}?").raw(&rows).bytes();
    assert_eq!(fault(&bytes), Some(ImportFault::TooManyFindings));
}

#[test]
fn a_consent_tick_and_a_withdrawn_field_are_said_to_be_what_they_are() {
    let headings = ["First Name", "Consent", "Birthdate", "Vulnerabilities", "Agreement to Manage Personal Data"];
    let import =
        import(&Book::headed(&headings).texts(2, &["Ana", "Yes", "1999-04-17", "Poverty; Abuse - physical", "Yes"]));
    assert_eq!(findings(&import), ["B* ConsentBoxIgnored", "D* DeprecatedField", "E* ConsentBoxIgnored"]);
    let row = &import.rows[0];
    assert!(row.value("con_Consent").is_none() && row.value("vic_AgreementToManagePersonalData").is_none());
    assert_eq!(row.values()["vic_Vulnerabilities"].values(), ["Poverty", "AbusePhysical"]);
    let draft = row.to_profile_parts();
    assert!(draft.parts.iter().flat_map(|p| &p.fields).all(|f| f.field != "vic_Vulnerabilities"));
}
