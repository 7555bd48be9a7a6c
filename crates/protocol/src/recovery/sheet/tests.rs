use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;

use super::super::{KEM_ENC_LEN, KeyFault, RecoveryKey, RecoverySecret, Shut};
use super::*;

fn made(seed: u64) -> (RecoverySecret, [Sheet; 3]) {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let secret = RecoverySecret::generate(&mut rng);
    let sheets = secret.sheets(&mut rng).unwrap();
    (secret, sheets)
}

fn text(sheet: &Sheet) -> String {
    sheet.text(&[("Organisation", "0123".to_owned())]).to_string()
}

fn again(sheet: &Sheet) -> Sheet {
    Sheet::read(&text(sheet)).ok().unwrap()
}

#[test]
fn any_two_sheets_give_the_seed_in_either_order() {
    for seed in 0..8 {
        let (secret, sheets) = made(seed);
        for (one, other) in [(0, 1), (1, 2), (2, 0), (1, 0), (2, 1), (0, 2)] {
            let joined = join(&[again(&sheets[one]), again(&sheets[other])]).ok().unwrap();
            assert_eq!(joined.seed(), secret.seed(), "{seed} {one} {other}");
        }
    }
}

#[test]
fn a_sheet_says_which_it_is_and_of_which_key() {
    let (secret, sheets) = made(4);
    let key = secret.key().unwrap();
    assert_eq!(key.words(), crate::words::words(key.public()));
    for (sheet, number) in sheets.iter().zip(1..) {
        assert_eq!((sheet.number(), sheet.key()), (number, key.words().as_str()));
        assert_eq!((again(sheet).number(), again(sheet).key()), (number, key.words().as_str()));
    }
}

#[test]
fn one_sheet_fits_every_seed_there_is() {
    // Whatever byte is tried at a place of the seed, there is a missing share that leads to it: from what a sheet holds
    // no value is likelier than another.
    let (_, sheets) = made(1);
    for sheet in &sheets {
        for (one, other) in sheet.shares[0].iter().zip(sheet.shares[1].iter()) {
            let reached: std::collections::BTreeSet<u8> = (0..=u8::MAX).map(|missing| one ^ other ^ missing).collect();
            assert_eq!(reached.len(), 256, "sheet {}", sheet.number);
        }
    }
    // And neither share is the seed, nor are both together.
    let (secret, sheets) = made(2);
    for sheet in &sheets {
        assert!(sheet.shares.iter().all(|share| **share != *secret.seed()));
        let both = xor(&[&sheet.shares[0], &sheet.shares[1], &[0; 32]]);
        assert!(*both != *secret.seed());
    }
}

#[test]
fn a_mistyped_word_is_named_by_its_line() {
    let (_, sheets) = made(3);
    let whole = text(&sheets[0]);
    let numbered: Vec<&str> =
        whole.lines().filter(|l| l.trim_start().starts_with(|c: char| c.is_ascii_digit())).collect();
    assert_eq!(numbered.len(), 8);
    for (line, row) in (1u8..).zip(&numbered) {
        let words: Vec<&str> = row.split_whitespace().skip(1).collect();
        for (place, old) in (1u8..).zip(&words) {
            let wrong = if *old == "babab" { "babad" } else { "babab" };
            let typed = whole.replace(row, &row.replacen(old, wrong, 1));
            assert_eq!(Sheet::read(&typed).err(), Some(SheetFault::Check(line)), "{line} {place}");
            let typed = whole.replace(row, &row.replacen(old, "eeeee", 1));
            assert_eq!(Sheet::read(&typed).err(), Some(SheetFault::Word { line, word: place }));
        }
        let typed = whole.replace(row, "");
        assert_eq!(Sheet::read(&typed).err(), Some(SheetFault::Line(line)));
        let typed = whole.replace(row, &format!("{row}\n{row}"));
        assert_eq!(Sheet::read(&typed).err(), Some(SheetFault::Line(line)));
    }
    assert!(Sheet::read(&whole.to_uppercase().replace("SHEET:", "Sheet:").replace("KEY:", "Key:")).is_ok());
    assert_eq!(Sheet::read("").err(), Some(SheetFault::NotASheet));
    assert_eq!(Sheet::read(&whole.replace("Sheet: 1", "Sheet: 4")).err(), Some(SheetFault::NotASheet));
    assert_eq!(Sheet::read(&whole.replace("Sheet: 1", "Sheet: 2")).err(), Some(SheetFault::Check(1)));
}

#[test]
fn sheets_of_different_keys_or_of_two_sharings_or_the_same_twice_are_refused() {
    let (secret, sheets) = made(4);
    let (_, others) = made(5);
    let fault = |one: &Sheet, other: &Sheet| join(&[again(one), again(other)]).err();
    assert_eq!(fault(&sheets[0], &others[1]), Some(SheetFault::Mixed));
    assert_eq!(fault(&sheets[0], &sheets[0]), Some(SheetFault::Two));
    let anew = secret.sheets(&mut ChaCha20Rng::seed_from_u64(6)).unwrap();
    assert_eq!(fault(&sheets[0], &anew[1]), Some(SheetFault::Mixed));
    assert!(join(&[again(&sheets[0])]).is_err());
}

#[test]
fn two_sheets_that_differ_in_the_share_both_hold_are_refused_in_either_order() {
    // Whichever of the two was copied wrongly: what one person typed is not taken over what the other did.
    let (_, sheets) = made(5);
    let mut wrong = again(&sheets[1]);
    wrong.shares[0][3] ^= 1;
    for pair in [[again(&sheets[0]), again(&wrong)], [again(&wrong), again(&sheets[0])]] {
        assert_eq!(join(&pair).err(), Some(SheetFault::Mixed));
    }
}

#[test]
fn what_is_sealed_opens_with_the_seed_for_the_same_purpose_alone() {
    let (secret, _) = made(7);
    let key = secret.key().unwrap();
    let mut rng = ChaCha20Rng::seed_from_u64(8);
    let sealed = key.seal(b"backup", b"keys of a node", &mut rng).unwrap();
    assert_eq!(secret.open(b"backup", &sealed).unwrap().as_slice(), b"keys of a node");
    assert_eq!(secret.open(b"other", &sealed).err(), Some(Shut));
    assert_eq!(made(9).0.open(b"backup", &sealed), Err(Shut));
    for at in [0, KEM_ENC_LEN - 1, KEM_ENC_LEN, sealed.len() - 1] {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert_eq!(secret.open(b"backup", &changed), Err(Shut), "{at}");
    }
    assert_eq!(secret.open(b"backup", &sealed[..KEM_ENC_LEN - 1]), Err(Shut));
}

#[test]
fn the_code_is_known_to_the_sheets_and_not_to_who_has_the_public_key() {
    let (secret, _) = made(10);
    let kept = secret.key().unwrap();
    let kept = RecoveryKey::kept(kept.public(), kept.mark()).ok().unwrap();
    let code = kept.code(b"a backup");
    assert!(secret.key().unwrap().holds(b"a backup", &code));
    assert!(!secret.key().unwrap().holds(b"another", &code));
    let forger = RecoveryKey::kept(kept.public(), &[0; 32]).ok().unwrap();
    assert!(!secret.key().unwrap().holds(b"a backup", &forger.code(b"a backup")));
    assert_eq!(RecoveryKey::kept(&kept.public()[1..], kept.mark()).err(), Some(KeyFault::Length));
}
