//! Bytes on disk as a second implementation writes them (`tests/interop/at_rest.py`), opened by this one. A change of
//! any format fails here, and not at the first start after an upgrade.

use std::collections::BTreeMap;
use std::fs;

use clearhouse_protocol::ids::{CaseId, Digest, Net, NodeId, StaffId, unhex};
use clearhouse_protocol::rows::{Row, Table, Under};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use zeroize::Zeroizing;

use crate::changes::{EventLeaf, Key};
use crate::contract::StoreError;
use crate::heads::{Heads, HeadsFile};
use crate::keyfile::{DeviceSecret, KeyFile, KeyFileError, Locked, Opened, SlotSecret};
use crate::passphrase::{Credential, Passphrase};
use crate::private_file::tests::{Folder, chmod};
use crate::vault::{Batch, Vault, WrapSource};

struct Golden(BTreeMap<&'static str, Vec<u8>>);

impl Golden {
    fn read() -> Self {
        let lines = include_str!("../../../tests/vectors/at_rest.txt").lines();
        Self(lines.map(|line| line.split_once(' ').unwrap()).map(|(name, hex)| (name, unhex(hex).unwrap())).collect())
    }

    fn key(&self, name: &str) -> Key {
        self.0[name].as_slice().try_into().unwrap()
    }

    fn passphrase(&self, name: &str) -> Passphrase {
        Passphrase::new(Zeroizing::new(String::from_utf8(self.0[name].clone()).unwrap())).unwrap()
    }

    fn put(&self, folder: &Folder, name: &str) {
        fs::write(folder.file(name), &self.0[name]).unwrap();
        chmod(&folder.file(name), 0o600);
    }

    fn key_file(&self) -> (Folder, Locked, DeviceSecret) {
        let folder = Folder::new();
        ["key_file", "device", "credential", "heads_file"].iter().for_each(|name| self.put(&folder, name));
        let locked = KeyFile::open(&folder.file("key_file")).ok().unwrap();
        let device = DeviceSecret::open(&folder.file("device")).ok().unwrap();
        (folder, locked, device)
    }

    fn opened(&self) -> (Folder, Opened) {
        let (folder, locked, device) = self.key_file();
        let opened = locked.unlock(&SlotSecret::Passphrase(&self.passphrase("passphrase")), &device);
        (folder, opened.ok().unwrap())
    }
}

/// The wraps of the golden file, and none but these.
impl WrapSource for Golden {
    fn wrap(&self, row: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        let wraps = ["case", "letter"].map(|name| (format!("{name}_wrap_row"), format!("{name}_wrap")));
        let found = wraps.iter().find(|(at, _)| self.0[at.as_str()] == row);
        Ok(found.map(|(_, wrap)| self.0[wrap.as_str()].clone()))
    }
}

const UNDERS: [(&str, Under); 4] = [
    ("service", Under::Service),
    ("evidence", Under::Evidence),
    ("case", Under::Case(CaseId([0xA1; 16]), 3)),
    ("letter", Under::Letter(Digest([0xC3; 32]))),
];

#[test]
fn the_key_file_opens_by_each_of_its_slots_and_gives_its_keys() {
    let golden = Golden::read();
    let (folder, locked, device) = golden.key_file();
    let credential = Credential::from_file(&folder.file("credential")).unwrap();
    let mut opened = locked.unlock(&SlotSecret::Credential(&credential), &device).ok().unwrap();
    let keys = opened.service();
    let named = [
        ("key_node", &keys.node_seed),
        ("key_tls", &keys.tls_seed),
        ("key_log", &keys.log_seed),
        ("key_witness", &keys.witness_seed),
        ("key_mailbox", &keys.mailbox_secret),
        ("key_data", &keys.data),
        ("key_evidence", &keys.evidence),
        ("key_index", &keys.index),
        ("key_nmk", &keys.nmk),
    ];
    for (name, secret) in named {
        assert_eq!(secret.expose(), &golden.key(name), "{name}");
    }
    assert!(opened.content().is_none());
    let hers = golden.passphrase("person_passphrase");
    opened.unlock_content(&SlotSecret::Person(StaffId([1; 16]), &hers)).ok().unwrap();
    let content = opened.content().unwrap();
    assert_eq!(content.nmk.expose(), &golden.key("key_content_nmk"));
    assert_eq!(content.prekeys()[&2900].expose(), &golden.key("key_prekey_2900"));
    assert_eq!((opened.net(), opened.node(), opened.epoch()), (Net([7; 32]), NodeId([9; 16]), 5));

    let (_folder, both) = golden.opened();
    assert!(both.content().is_some());
    let stranger = locked.unlock(&SlotSecret::Passphrase(&hers), &device);
    assert!(matches!(stranger, Err(KeyFileError::WrongPassphrase)));
}

#[test]
fn every_kind_of_value_and_an_event_open() {
    let golden = Golden::read();
    let (_folder, opened) = golden.opened();
    let vault = Vault::new(opened.service(), opened.content()).ok().unwrap();
    for (name, under) in UNDERS {
        let (key, blind) = (format!("key of {name}"), golden.key(&format!("{name}_blind")));
        assert_eq!(vault.blind(Table::Fact, key.as_bytes()), blind);
        let value = &golden.0[format!("{name}_value").as_str()];
        let plain = vault.open(Table::Fact, &blind, value, &golden).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!((plain.key, plain.value.to_vec()), (key.clone().into_bytes(), format!("value of {name}").into()));

        // And what this implementation writes lies under the same key: nothing new is wrapped.
        let row = Row { table: Table::Fact, key: key.into(), value: Some(vec![1]), under, must_be_new: false };
        let batch = Batch { rows: &[row], ..Batch::default() };
        let (changes, ticket) = vault.seal(batch, &golden, &mut ChaCha20Rng::seed_from_u64(1)).ok().unwrap();
        vault.committed(ticket);
        assert_eq!(changes.puts.len(), 1);
        assert_eq!(changes.puts[0].key, blind);
    }
    let leaf = EventLeaf { index: 42, commitment: [5; 32], sealed: golden.0["event_sealed"].clone() };
    let event = vault.open_event(&leaf).ok().unwrap();
    assert_eq!((event.salt, event.opening), ([6; 32], b"an opening".to_vec()));
}

#[test]
fn the_file_of_heads_is_the_same_byte_for_byte() {
    let golden = Golden::read();
    let (folder, opened) = golden.opened();
    let whose = (opened.net(), opened.node());
    let heads = Heads { generation: 11, events: 23, head: b"a signed head".to_vec() };
    let file = HeadsFile::open(&folder.file("heads_file"), whose, opened.service()).ok().unwrap();
    assert_eq!(file.last(), &heads);
    HeadsFile::create(&folder.file("ours"), whose, opened.service(), heads).ok().unwrap();
    assert_eq!(fs::read(folder.file("ours")).unwrap(), golden.0["heads_file"]);
}
