//! What coordinators did, in the order in which a directory log has it: who was accredited, which keys changed, who was put
//! out. Read from the log as this node followed it; nothing is asked of anybody else.

use std::collections::BTreeMap;

use clearhouse_casework::forms::show_time;
use clearhouse_node::calls::Call;
use clearhouse_protocol::directory::{Checked, Directory};
use clearhouse_protocol::ids::{KeyId, hex};
use clearhouse_protocol::keys::key_id;
use clearhouse_protocol::labels::media;
use clearhouse_protocol::signed::Verdicts;
use clearhouse_wire::v1::{NodeCert, Objection, OrgRecord, Revocation, RootPolicy, Signed};
use prost::Message;
use serde_json::{Value, json};

use super::log;
use crate::ask::{Node, bytes_of};
use crate::cli::App;
use crate::trouble::{Code, Trouble};

/// The history of one organisation, or of all.
///
/// # Errors
/// The node's failure; that no log is followed, or no such organisation is known.
pub(super) async fn history(app: &App, org: Option<String>) -> Result<Value, Trouble> {
    let node = Node::find(&app.global)?;
    let listed = node.ask(Call::DirectoryList).await?;
    let mut logs: Vec<&Value> = listed.get("logs").and_then(Value::as_array).into_iter().flatten().collect();
    logs.sort_by_key(|log| log.get("entries").and_then(Value::as_u64).unwrap_or(0));
    let of = logs.last().and_then(|log| log.get("of")).and_then(Value::as_str).ok_or_else(|| {
        let text = "This node follows no directory log: the policy names none, or none was reached yet.";
        Trouble::new(Code::NoFile, text, "clearhouse directory list")
    })?;
    let about = match org {
        None => None,
        Some(org) => {
            let shown = node.ask(Call::DirectoryShow { org }).await?;
            Some(shown.get("org").and_then(Value::as_str).unwrap_or_default().to_owned())
        }
    };
    let (entries, page) = log::read(&node, of).await?;
    if page.get("size").and_then(Value::as_u64) != Some(entries.len() as u64) {
        let text = format!("The directory log of {of} is not read to its end here: what is newest would be missing.");
        return Err(Trouble::new(Code::NoAnswer, text, "clearhouse directory refresh"));
    }
    let genesis = Signed::decode(bytes_of(&page, "genesis")?.as_slice()).ok();
    let directory = genesis.and_then(|genesis| Directory::found(&genesis, None).ok());
    let mut said = Said { directory, ..Said::default() };
    let told = (0u64..).zip(&entries).filter_map(|(index, entry)| said.read(index, entry));
    let told: Vec<Value> = told.filter(|one| about.as_ref().is_none_or(|org| one["org"] == json!(org))).collect();
    Ok(json!({"schema": "ch.directory-history/1", "log": of, "entries": told}))
}

/// What was said before, to tell what is new in a record, and whether it holds: a log shows everything its keeper enters.
#[derive(Default)]
struct Said {
    directory: Option<Directory>,
    /// Whose key a revocation ends.
    keys: BTreeMap<KeyId, Vec<u8>>,
    orgs: BTreeMap<Vec<u8>, OrgRecord>,
    certs: BTreeMap<Vec<u8>, NodeCert>,
}

impl Said {
    fn read(&mut self, index: u64, entry: &[u8]) -> Option<Value> {
        let signed = Signed::decode(entry).ok()?;
        let fault = self.fault(&signed);
        let (org, label, what, new) = match signed.payload_type.as_str() {
            media::ROOT => {
                let policy: RootPolicy = payload(&signed)?;
                (String::new(), policy.label, format!("policy {}", policy.version), String::new())
            }
            media::ORG => self.accreditation(payload(&signed)?),
            media::NODECERT => self.certificate(payload(&signed)?),
            media::REVOCATION => self.revocation(&payload(&signed)?),
            media::OBJECTION => self.objection(&payload(&signed)?),
            _ => return None,
        };
        let what = fault.as_ref().map_or(what, |fault| format!("DOES NOT HOLD ({fault})"));
        Some(json!({
            "entry": index, "org": org, "label": label, "what": what, "new": new, "holds": fault.is_none(),
        }))
    }

    /// Why a record is none, judged by those before it in the log.
    fn fault(&mut self, signed: &Signed) -> Option<String> {
        let Some(directory) = &mut self.directory else {
            return Some("the network's first policy is missing".to_owned());
        };
        match directory.check(signed, u64::MAX) {
            Ok(Some(checked)) => directory.insert(checked),
            Ok(None) => {}
            Err(fault) => {
                let Some((over, checked)) = gone_on(directory, signed) else { return Some(fault.to_string()) };
                *directory = over;
                checked.into_iter().for_each(|checked| directory.insert(checked));
            }
        }
        None
    }

    fn accreditation(&mut self, org: OrgRecord) -> (String, String, String, String) {
        let before = self.orgs.get(&org.org_id);
        let mut new = vec![format!("{} until {}", org.roles.join(" "), show_time(org.valid_until))];
        if before.is_some_and(|before| before.org_root_pk != org.org_root_pk) {
            new.push(if org.lost_key { "NEW ROOT KEY, the old one LOST" } else { "NEW ROOT KEY" }.to_owned());
        }
        if let Some(before) = before.filter(|before| before.label != org.label) {
            new.push(format!("was {}", before.label));
        }
        let told =
            (hex(&org.org_id), org.label.clone(), format!("accredited, version {}", org.version), new.join(", "));
        self.orgs.insert(org.org_id.clone(), org);
        told
    }

    fn certificate(&mut self, cert: NodeCert) -> (String, String, String, String) {
        let before = self.certs.get(&cert.node_id);
        let mut new = vec![format!("node {}", hex(&cert.node_id))];
        if before.is_some_and(|before| before.sign_pk != cert.sign_pk) {
            new.push("NEW SIGNING KEY".to_owned());
        }
        if before.is_some_and(|before| before.log_vkey != cert.log_vkey) {
            new.push("NEW LOG".to_owned());
        }
        let what = format!("certified a node, version {}", cert.version);
        let told = (hex(&cert.org_id), self.label(&cert.org_id), what, new.join(", "));
        if let Ok(key) = cert.sign_pk.as_slice().try_into() {
            self.keys.insert(key_id(key), cert.org_id.clone());
        }
        self.certs.insert(cert.node_id.clone(), cert);
        told
    }

    fn revocation(&self, ended: &Revocation) -> (String, String, String, String) {
        let of_node = self.certs.get(&ended.subject).map(|cert| cert.org_id.clone());
        let of_key = || self.keys.get(&KeyId(ended.subject.as_slice().try_into().ok()?)).cloned();
        let org = of_node.or_else(of_key).unwrap_or_else(|| ended.subject.clone());
        let what = format!("REVOKED: {}", ended.reason);
        let new = format!("{} since {}", hex(&ended.subject), show_time(ended.effective));
        (hex(&org), self.label(&org), what, new)
    }

    fn objection(&self, said: &Objection) -> (String, String, String, String) {
        let what = format!("OBJECTS to a new root key, version {}", said.version);
        (hex(&said.org_id), self.label(&said.org_id), what, String::new())
    }

    fn label(&self, org: &[u8]) -> String {
        self.orgs.get(org).map(|org| org.label.clone()).unwrap_or_default()
    }
}

/// Whether a record holds behind one with another root key that waited. A log does not say when: that its keeper went on there
/// shows that the wait was over.
fn gone_on(directory: &Directory, signed: &Signed) -> Option<(Directory, Option<Checked>)> {
    let org = match signed.payload_type.as_str() {
        media::ORG => payload::<OrgRecord>(signed)?.org_id,
        media::NODECERT => payload::<NodeCert>(signed)?.org_id,
        _ => return None,
    };
    let mut over = directory.clone();
    let announced = over.announced(org.as_slice().try_into().ok()?).next()?.clone();
    let taken = over.check_kept(&announced, &Verdicts::default()).ok()??;
    over.insert(taken);
    let checked = over.check(signed, u64::MAX).ok()?;
    Some((over, checked))
}

/// What it claims; whether it holds is asked apart.
fn payload<T: Message + Default>(signed: &Signed) -> Option<T> {
    T::decode(signed.payload.as_slice()).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clearhouse_protocol::ceremony::{next_cert, next_org, object};
    use clearhouse_protocol::fixture::{NOW, Region};
    use clearhouse_protocol::keys::SigningKey;
    use clearhouse_protocol::signed::add_signature;

    use super::*;

    #[test]
    fn what_stands_behind_a_lost_root_key_is_told_as_it_was_and_nothing_of_others_passes_for_it() {
        let region = Region::new(1, 2);
        let (key, m) = (SigningKey::from_seed(&[7; 32]), &region.members[0]);
        let signed = |mut record: Signed| {
            region.coordinators.iter().for_each(|key| add_signature(&mut record, key));
            record
        };
        let change = |record: &mut OrgRecord| (record.org_root_pk, record.lost_key) = (key.public().to_vec(), true);
        let lost = signed(next_org(region.directory.newest_org(m.org).unwrap(), NOW, change).unwrap());
        let next = signed(next_org(&lost, NOW, |record| record.label = "Casa Nova".into()).unwrap());
        let held = region.directory.newest_cert(m.node).unwrap();
        let cert = |by: &SigningKey| next_cert(held, NOW, by).unwrap();
        let tell = |more: Vec<Signed>| -> Vec<(String, bool)> {
            let mut said = Said { directory: Directory::found(&region.genesis, None).ok(), ..Said::default() };
            let all = region.records.iter().chain(&more);
            let told: Vec<Value> = all.filter_map(|record| said.read(0, &record.encode_to_vec())).collect();
            let new = &told[told.len() - more.len()..];
            new.iter().map(|one| (one["new"].as_str().unwrap().to_owned(), one["holds"] == true)).collect()
        };
        let told = tell(vec![lost.clone(), cert(&SigningKey::from_seed(&[8; 32])), cert(&key), next]);
        assert!(told[0].0.contains("NEW ROOT KEY, the old one LOST"), "{told:?}");
        assert_eq!(told.iter().map(|(_, holds)| *holds).collect::<Vec<_>>(), [true, false, true, true]);
        let told = tell(vec![lost.clone(), object(&lost, &m.root, NOW).unwrap()]);
        assert!(told[1].1);
    }
}
