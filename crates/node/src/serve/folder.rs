//! What a node finds in its folder at a start: who it is, its keys, its store, its log. Makes nothing that is missing; a
//! folder that lost something is an error with what to put back.

use std::path::Path;

use clearhouse_casework::deadlines::Zone;
use clearhouse_casework::office::Me;
use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::ids::{MailboxId, Net, NodeId, OrgId};
use clearhouse_protocol::keys::SigningKey;
use clearhouse_protocol::relay::rented;
use clearhouse_store::heads::HeadsFile;
use clearhouse_store::keyfile::{DeviceSecret, KeyFile, KeyFileError, Opened, ServiceKeys, SlotSecret};
use clearhouse_store::passphrase::{Credential, Passphrase, PassphraseError};
use clearhouse_store::{DurableStore, Finding, OpenError, Store};
use clearhouse_wire::v1 as wire;
use prost::Message as _;
use zeroize::Zeroizing;

use super::ServeError;
use crate::config::{Config, Unattended};
use crate::ground;
use crate::log::Keeper;
use crate::setup::{Identity as NodeIdentity, files};

/// Takes up the node's log. A node that has lost what it signed last, or whose store is older, must not sign again.
pub(super) fn open_log(data: &Path, me: &Me, keys: &ServiceKeys, store: &impl Store) -> Result<Keeper, ServeError> {
    let path = data.join(files::HEADS);
    let failed = |why: String| ServeError::File { path: path.clone(), why };
    let heads = HeadsFile::open(&path, (me.net, me.node), keys).map_err(|e| failed(e.to_string()))?;
    let origin = clearhouse_protocol::audit::origin(me.net, me.org, me.node, me.generation);
    let key = SigningKey::from_seed(keys.log_seed.expose());
    Keeper::open(heads, &data.join(files::LOG), origin, key, store).map_err(|e| failed(e.to_string()))
}

pub(super) fn read_identity(config: &Config) -> Result<(NodeIdentity, wire::Signed), ServeError> {
    let read = |name: &str| {
        let path = config.data.join(name);
        let from = if name == files::GENESIS { "a coordinator or your backup" } else { "your backup" };
        let why = |e: std::io::Error| ServeError::File {
            path: path.clone(),
            why: format!("cannot be read ({}). Put it back from {from}", e.kind()),
        };
        std::fs::read(&path).map_err(why)
    };
    let damaged = |name: &str, why: &str| ServeError::File { path: config.data.join(name), why: why.to_owned() };
    let identity = String::from_utf8(read(files::IDENTITY)?)
        .map_err(|_| damaged(files::IDENTITY, "is not text. Put it back from your backup"))?;
    let identity = toml::from_str(&identity)
        .map_err(|_| damaged(files::IDENTITY, "is not what `init` wrote. Put it back from your backup"))?;
    let genesis = wire::Signed::decode(read(files::GENESIS)?.as_slice())
        .map_err(|_| damaged(files::GENESIS, "is not a genesis record. Put it back from a coordinator"))?;
    Ok((identity, genesis))
}

/// Has the folders synced whose files are acknowledged. A disk that cannot is told at once, and not with the first letter.
pub(super) fn can_sync(config: &Config) -> Result<(), ServeError> {
    let store = config.data.join(files::STORE);
    for folder in [Some(store.as_path()), config.key_file.parent()].into_iter().flatten().filter(|f| f.is_dir()) {
        ground::sync(folder).map_err(|e| ServeError::File {
            path: folder.to_owned(),
            why: format!(
                "this disk does not say when it has written something ({}), so nothing could be acknowledged. Use a local \
                 disk with ext4 or xfs",
                e.kind()
            ),
        })?;
    }
    Ok(())
}

/// Opens the store that `init` made. Never makes one: where there is none, it was lost.
pub(super) fn open_store(data: &Path) -> Result<(DurableStore, Vec<Finding>), ServeError> {
    let folder = data.join(files::STORE);
    if !data.join(files::STORE_MADE).exists() {
        return Err(ServeError::NoStore(folder));
    }
    DurableStore::open(&folder).map_err(|error| match error {
        OpenError::InUse(folder) => ServeError::AlreadyRuns(folder),
        error @ (OpenError::Newer { .. }
        | OpenError::NotAStore(_)
        | OpenError::JournalBehind { .. }
        | OpenError::Damaged { .. }
        | OpenError::Full
        | OpenError::Io { .. }) => ServeError::Store(error.to_string()),
    })
}

pub(super) fn me(identity: &NodeIdentity, relays: &[NodeId]) -> Result<Me, ServeError> {
    let wrong = || ServeError::File {
        path: files::IDENTITY.into(),
        why: "an identifier in it is not what `init` wrote. Put it back from your backup".into(),
    };
    let zone = if identity.zone == "UTC" { Some(Zone::utc()) } else { None };
    let net = Net::from_hex(&identity.net).ok_or_else(wrong)?;
    let node = NodeId::from_hex(&identity.node).ok_or_else(wrong)?;
    let own = MailboxId::from_hex(&identity.mailbox).ok_or_else(wrong)?;
    Ok(Me {
        net,
        org: OrgId::from_hex(&identity.org).ok_or_else(wrong)?,
        node,
        mailboxes: std::iter::once(own).chain(relays.iter().map(|keeper| rented(net, node, *keeper))).collect(),
        generation: 1,
        zone: zone.ok_or_else(|| ServeError::File {
            path: files::IDENTITY.into(),
            why: "only the zone UTC is known in this version".into(),
        })?,
    })
}

/// Refuses an identity of which a line is not what `init` wrote. Network and node are held by the key file; whose node it
/// is, and which mailbox it has, by the node's own id and entry. With another mailbox every letter would be turned away.
pub(super) fn fits(data: &Path, me: &Me, directory: &Directory) -> Result<(), ServeError> {
    let wrong = |what: &str| ServeError::File {
        path: data.join(files::IDENTITY),
        why: format!("the {what} in it is not this node's. Put it back from your backup"),
    };
    if !me.node.is_of(me.net, me.org) {
        return Err(wrong("organisation"));
    }
    let listed = directory.descriptor(me.node).into_iter().flat_map(|entry| &entry.mailboxes);
    let mut here = listed.filter(|mailbox| mailbox.node_id == me.node.as_bytes());
    let own = me.mailboxes.first();
    match here.all(|mailbox| own.is_some_and(|own| mailbox.id == own.as_bytes())) {
        true => Ok(()),
        false => Err(wrong("mailbox")),
    }
}

pub(super) fn open_keys(
    config: &Config,
    me: &Me,
    ask: impl FnOnce() -> Result<Option<Zeroizing<String>>, PassphraseError>,
) -> Result<Opened, ServeError> {
    let locked = KeyFile::open(&config.key_file)?;
    locked.expect(me.net, me.node)?;
    let device = DeviceSecret::open(&config.device_secret)?;
    let opened = match &config.unattended {
        Unattended::Passphrase(file) => {
            locked.unlock(&SlotSecret::Passphrase(&Passphrase::from_file(file)?), &device)?
        }
        Unattended::Credential(file) => {
            locked.unlock(&SlotSecret::Credential(&Credential::from_file(file)?), &device)?
        }
        Unattended::No => {
            let given = ask()?.ok_or(KeyFileError::WrongPassphrase)?;
            locked.unlock(&SlotSecret::Passphrase(&Passphrase::new(given)?), &device)?
        }
    };
    Ok(opened)
}
