//! What a person does with a case through the local door. Each call: find the case, build the form, let the office
//! decide, answer with what a caseworker needs to know next.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clearhouse_casework::case::Case;
use clearhouse_casework::consent::DataClass;
use clearhouse_casework::forms::{
    AcknowledgeForm, AnswerForm, ArrivalForm, ConsentForm, DepartureForm, FormFault, NoticeForm, PartForm, ProfileForm,
};
use clearhouse_casework::office::cases::{Document, case_code, document_key};
use clearhouse_casework::office::desk::{Attached, Stop, withdrawal_of};
use clearhouse_casework::office::{Now, Step};
use clearhouse_casework::refusal::{Moment, Refusal};
use clearhouse_casework::roles::Actor;
use clearhouse_protocol::envelope::Attachment;
use clearhouse_protocol::ids::{ConsentId, MsgId, hex, unhex};
use clearhouse_protocol::limits::ATTACHMENTS_MAX_BYTES;
use clearhouse_protocol::rows::Table;
use clearhouse_store::Store;
use clearhouse_wire::v1 as wire;
use clearhouse_wire::v1::case_body::What;
use prost::Message as _;
use rand_core::Rng as _;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::state::CLOCK_NEXT;
use super::{Answer, Handle, STAGED_MAX, failure, lock, not_taken, records, show, stopped};
use crate::calls::{AttachmentForm, PIECE_MAX};
use crate::clock::{Chance, chance};
use crate::control::ControlFailure;
use crate::owner::World;

/// Why an act on a case failed inside the owner.
pub(super) enum Failed {
    Stop(Stop, String),
    Form(FormFault),
    Told(ControlFailure),
}

impl<S: Store + 'static> Handle<S> {
    /// Runs one act on one case in the owner: resolves the code, decides, and words what went wrong.
    pub(super) async fn act<T: Send + 'static>(
        &self,
        case: String,
        act: impl FnOnce(&World<S>, &Case, &mut Now<'_, Chance>) -> Result<(Step, T), Failed> + Send + 'static,
    ) -> Result<T, ControlFailure> {
        let training = self.training;
        let decided = self.owner.decide(move |world, now| {
            let found = world
                .office
                .cases()
                .ok_or(Stop::Locked)
                .and_then(|cases| show::find_case(cases.iter(), &case, training).ok_or(Stop::NoSuch));
            let outcome = match found {
                Ok(case) => act(world, case, now).map_err(|failed| match failed {
                    Failed::Stop(stop, _) => Failed::Stop(stop, show::org_label(world, case.peer_org())),
                    Failed::Form(_) | Failed::Told(_) => failed,
                }),
                Err(stop) => Err(Failed::Stop(stop, String::new())),
            };
            match outcome {
                Ok((step, value)) => (step, Ok(value)),
                Err(failed) => (Step::default(), Err(failed)),
            }
        });
        decided.await.map_err(not_taken)?.map_err(|failed| match failed {
            Failed::Stop(stop, peer) => stopped(stop, Moment::Act, &peer),
            Failed::Form(fault) => failure("CH-U0105", format!("Not done, nothing sent: {fault}.")),
            Failed::Told(failure) => failure,
        })
    }

    /// Sends one message and answers with its id and the case's code. A clock in doubt seals nothing: who receives it could
    /// not tell whether it is of today.
    async fn send(
        &self,
        actor: Actor,
        case: String,
        build: impl FnOnce(&World<S>, &Case, u64) -> Result<(What, Option<MsgId>, Vec<Attached>), Failed> + Send + 'static,
    ) -> Answer {
        if let Some(doubt) = self.clock.doubt() {
            let text = format!("Not done, nothing sent: this computer's clock is not trusted: {doubt}. {CLOCK_NEXT}");
            return Err(failure("CH-N0211", text));
        }
        let training = self.training;
        self.act(case, move |world, case, now| {
            let (what, reply, attached) = build(world, case, now.time)?;
            let (step, sent) = world.office.send(case.id(), &actor, what, reply, &attached, now).map_err(stop)?;
            let code = case_code(case.conversation(), training);
            Ok((step, json!({"schema": "ch.sent/1", "case": code, "message": sent.to_string()})))
        })
        .await
    }

    pub(super) async fn case_open(&self, actor: Actor, to: String) -> Answer {
        let training = self.training;
        let decided = self.owner.decide(move |world, now| {
            let opened = records::org_named(world.office.directory(), &to)
                .ok_or(Stop::NoSuch)
                .and_then(|org| world.office.open_case(&actor, org, now));
            match opened {
                Ok((step, id)) => (step, Ok(id)),
                Err(stop) => (Step::default(), Err((stop, to))),
            }
        });
        let id = decided.await.map_err(not_taken)?.map_err(|(stop, to)| {
            if stop == Stop::NoSuch {
                return failure("CH-N0102", "No organisation of that name or id is in the directory.");
            }
            stopped(stop, Moment::Act, &to)
        })?;
        let code = self.owner.look(move |world| {
            world.office.cases().and_then(|c| c.case(id)).map(|c| case_code(c.conversation(), training))
        });
        Ok(json!({"schema": "ch.case-code/1", "case": code.await.map_err(not_taken)?}))
    }

    pub(super) async fn case_list(&self, actor: Actor) -> Answer {
        let (training, now) = (self.training, self.clock.now());
        self.look_at_cases(&actor, move |world| {
            let cases =
                world.office.cases().map(|c| c.iter().map(|c| show::case_line(world, c, training, now)).collect());
            Ok(json!({"schema": "ch.cases/1", "cases": cases.unwrap_or_else(Vec::<Value>::new)}))
        })
        .await
    }

    pub(super) async fn case_show(&self, actor: Actor, case: String) -> Answer {
        let (training, now) = (self.training, self.clock.now());
        self.look_at_cases(&actor, move |world| {
            let cases = world.office.cases().ok_or(Stop::Locked)?;
            let case = show::find_case(cases.iter(), &case, training).ok_or(Stop::NoSuch)?;
            Ok(show::case(world, case, training, now))
        })
        .await
    }

    pub(super) async fn consent_show(&self, actor: Actor, case: String) -> Answer {
        let (training, now) = (self.training, self.clock.now());
        self.look_at_cases(&actor, move |world| {
            let cases = world.office.cases().ok_or(Stop::Locked)?;
            let case = show::find_case(cases.iter(), &case, training).ok_or(Stop::NoSuch)?;
            not_hidden(world, case)?;
            Ok(json!({"schema": "ch.consents/1", "consents": show::consents(world, case, now)}))
        })
        .await
    }

    pub(super) async fn inbox(&self, actor: Actor) -> Answer {
        let (training, now) = (self.training, self.clock.now());
        self.look_at_cases(&actor, move |world| Ok(show::inbox(world, training, now))).await
    }

    /// Reads cases for somebody who may see them.
    async fn look_at_cases(
        &self,
        actor: &Actor,
        look: impl FnOnce(&World<S>) -> Result<Value, Stop> + Send + 'static,
    ) -> Answer {
        if !actor.role.handles_cases() {
            return Err(stopped(Stop::Refused(Refusal::NoContentRole), Moment::Act, ""));
        }
        let seen = self.owner.look(move |world| if world.office.is_open() { look(world) } else { Err(Stop::Locked) });
        seen.await.map_err(not_taken)?.map_err(|stop| stopped(stop, Moment::Act, ""))
    }

    pub(super) async fn consent_record(&self, actor: Actor, case: String, form: ConsentForm) -> Answer {
        self.act(case, move |world, case, now| {
            let receiver = case.receiver();
            let consent = form.build(receiver, world.office.deadlines(), now.time, now.rng).map_err(Failed::Form)?;
            let id = hex(&consent.id);
            let expires = consent.expires_at;
            let step = world.office.record_consent(case.id(), &actor, consent, now).map_err(stop)?;
            Ok((step, json!({"schema": "ch.consent/1", "consent": id, "expires_at": expires})))
        })
        .await
    }

    pub(super) async fn withdraw(&self, actor: Actor, case: String, consent: String, classes: Vec<String>) -> Answer {
        self.act(case, move |world, case, now| {
            let unknown = |what: &str| Failed::Told(failure("CH-U0106", format!("Not done: {what}.")));
            let classes: Option<Vec<DataClass>> = classes.iter().map(|c| DataClass::from_code(c)).collect();
            let classes = classes.ok_or_else(|| unknown("a data class is not one of the published codes"))?;
            let by_purpose = || case.ledger().consents().filter(|c| c.purpose == consent).max_by_key(|c| c.given_at);
            let id = ConsentId::from_hex(&consent)
                .or_else(|| by_purpose().and_then(|c| ConsentId::try_from(c.id.as_slice()).ok()));
            let withdrawal = id.and_then(|id| withdrawal_of(case, id, &classes, now.time)).ok_or_else(|| {
                Failed::Told(failure("CH-N0104", "No consent of that id or purpose is in this case."))
            })?;
            let (step, done) = world.office.withdraw(case.id(), &actor, withdrawal, now).map_err(stop)?;
            Ok((step, withdrawn_json(&done)))
        })
        .await
    }

    pub(super) async fn stay(&self, actor: Actor, case: String) -> Answer {
        self.act(case, move |world, case, now| {
            let (step, done) = world.office.stay(case.id(), &actor, now).map_err(stop)?;
            Ok((step, withdrawn_json(&done)))
        })
        .await
    }

    pub(super) async fn recall(&self, actor: Actor, case: String, message: String) -> Answer {
        self.act(case, move |world, case, now| {
            let id = MsgId::from_hex(&message).ok_or_else(|| Failed::Stop(Stop::NoSuch, String::new()))?;
            let step = world.office.recall(case.id(), &actor, id, now).map_err(stop)?;
            Ok((step, json!({"schema": "ch.done/1", "done": "taken back; it has not left this office"})))
        })
        .await
    }

    pub(super) async fn notice_send(&self, actor: Actor, case: String, form: NoticeForm) -> Answer {
        self.send(actor, case, move |world, case, now| {
            let zone = &world.office.me().zone;
            // A second notice answers a question about the first; whether one was asked is for the case to say.
            let supersedes = case.notice().map(clearhouse_casework::case::Letter::id);
            let notice = form.build(supersedes, world.office.deadlines(), zone, now).map_err(Failed::Form)?;
            Ok((What::ReturnNotice(notice), None, vec![]))
        })
        .await
    }

    pub(super) async fn acknowledge(&self, actor: Actor, case: String, form: AcknowledgeForm) -> Answer {
        self.send(actor, case, move |_, case, _| {
            let notice = the_notice(case)?;
            Ok((What::Acknowledgement(form.build().map_err(Failed::Form)?), Some(notice), vec![]))
        })
        .await
    }

    pub(super) async fn answer(&self, actor: Actor, case: String, form: AnswerForm) -> Answer {
        self.send(actor, case, move |_, case, _| {
            let notice = the_notice(case)?;
            Ok((What::Answer(form.build().map_err(Failed::Form)?), Some(notice), vec![]))
        })
        .await
    }

    pub(super) async fn depart(&self, actor: Actor, case: String, form: DepartureForm) -> Answer {
        self.send(actor, case, move |world, case, now| {
            let zone = &world.office.me().zone;
            let what = form.build(case.is_child(), world.office.deadlines(), zone, now).map_err(Failed::Form)?;
            Ok((What::Departure(what), None, vec![]))
        })
        .await
    }

    pub(super) async fn arrive(&self, actor: Actor, case: String, form: ArrivalForm) -> Answer {
        self.send(actor, case, move |_, case, now| {
            let departure = show::newest(case, wire::MessageType::Departure).ok_or(refused(Refusal::NotOnTheWay))?;
            Ok((What::Arrival(form.build(now).map_err(Failed::Form)?), Some(departure), vec![]))
        })
        .await
    }

    pub(super) async fn profile_send(
        &self,
        actor: Actor,
        case: String,
        form: ProfileForm,
        attachments: Vec<AttachmentForm>,
    ) -> Answer {
        let mut attached: Vec<(DataClass, Attachment, wire::AttachmentNote)> = Vec::new();
        for a in &attachments {
            let class = DataClass::from_code(&a.data_class)
                .ok_or_else(|| failure("CH-U0106", "Not sent: an attachment's data class is not a published code."))?;
            let bytes = lock(&self.staged).get(&a.handle).cloned().ok_or_else(|| {
                failure("CH-N0105", "Not sent: an attachment is not staged any more. Attach it again.")
            })?;
            let mut name_tag = [0u8; 16];
            chance().fill_bytes(&mut name_tag);
            let note = wire::AttachmentNote {
                name_tag: name_tag.to_vec(),
                name: a.name.clone(),
                media_type: a.media_type.clone(),
            };
            attached.push((class, Attachment { name_tag, bytes }, note));
        }
        let sent = self.send(actor, case, move |_, case, _| {
            let accepted = show::acceptance(case);
            let for_worker = if form.for_worker.is_empty() {
                accepted.and_then(|a| a.contact).ok_or(refused(Refusal::NotAccepted))?.label
            } else {
                form.for_worker
            };
            let mut parts: Vec<wire::ProfilePart> = form.parts.into_iter().map(PartForm::build).collect();
            for (class, _, note) in &attached {
                let code = class.code();
                match parts.iter_mut().find(|p| p.data_class == code) {
                    Some(part) => part.attachments.push(note.clone()),
                    None => parts.push(wire::ProfilePart {
                        data_class: code.to_owned(),
                        fields: vec![],
                        attachments: vec![note.clone()],
                    }),
                }
            }
            let what = What::VictimProfile(wire::VictimProfile { parts, consents: vec![], for_worker });
            Ok((what, None, attached.into_iter().map(|(class, a, _)| (class, a)).collect()))
        });
        let sent = sent.await?;
        let mut staged = lock(&self.staged);
        attachments.iter().for_each(|a| drop(staged.remove(&a.handle)));
        Ok(sent)
    }

    pub(super) fn stage(&self, actor: &Actor, handle: Option<String>, piece: &str) -> Answer {
        if !actor.role.handles_cases() {
            return Err(stopped(Stop::Refused(Refusal::NoContentRole), Moment::Act, ""));
        }
        let bytes = STANDARD.decode(piece).map(Zeroizing::new);
        let bytes = bytes.map_err(|_| failure("CH-U0107", "A piece of the attachment is not base64."))?;
        let mut staged = lock(&self.staged);
        let held: usize = staged.values().map(|v| v.len()).sum();
        let handle = handle.unwrap_or_else(|| {
            let mut id = [0u8; 16];
            chance().fill_bytes(&mut id);
            hex(&id)
        });
        let so_far = staged.get(&handle).map_or(0, |v| v.len());
        let too_much = so_far as u64 + bytes.len() as u64 > ATTACHMENTS_MAX_BYTES || held + bytes.len() > STAGED_MAX;
        if bytes.len() > PIECE_MAX || too_much {
            staged.remove(&handle);
            return Err(failure("CH-U0108", "The attachments are larger than a message carries (32 MiB in all)."));
        }
        staged.entry(handle.clone()).or_default().extend_from_slice(&bytes);
        Ok(json!({"schema": "ch.staged/1", "handle": handle, "len": so_far + bytes.len()}))
    }

    pub(super) async fn open(&self, actor: Actor, case: String, message: Option<String>) -> Answer {
        let training = self.training;
        self.act(case, move |world, case, now| {
            let id = match message {
                Some(text) => MsgId::from_hex(&text),
                None => show::newest_unread(case),
            };
            let id = id.ok_or_else(|| Failed::Stop(Stop::NoSuch, String::new()))?;
            let step = world.office.open_message(case.id(), &actor, id, now).map_err(stop)?;
            Ok((step, show::message(world, case, id, training, now.time)))
        })
        .await
    }

    pub(super) async fn profile_show(&self, actor: Actor, case: String) -> Answer {
        let training = self.training;
        self.act(case, move |world, case, now| {
            not_hidden(world, case).map_err(stop)?;
            // Every look at the profile is an opening by this person; the first was told to the sender.
            let profile = show::newest(case, wire::MessageType::VictimProfile);
            let mine = profile.and_then(|id| case.letter(id)).is_some_and(|l| l.is_out());
            let step = match profile {
                Some(id) if !mine => world.office.open_message(case.id(), &actor, id, now).map_err(stop)?,
                Some(_) => Step::default(),
                None => return Err(Failed::Stop(Stop::NoSuch, String::new())),
            };
            Ok((step, show::profile(world, case, training, now.time)))
        })
        .await
    }

    pub(super) async fn attachment(
        &self,
        actor: Actor,
        case: String,
        message: String,
        handle: String,
        offset: u64,
    ) -> Answer {
        let training = self.training;
        let now = self.clock.now();
        self.look_at_cases(&actor, move |world| {
            let cases = world.office.cases().ok_or(Stop::Locked)?;
            let case = show::find_case(cases.iter(), &case, training).ok_or(Stop::NoSuch)?;
            not_hidden(world, case)?;
            let id = MsgId::from_hex(&message).ok_or(Stop::NoSuch)?;
            let tag: [u8; 16] = unhex(&handle).and_then(|h| h.try_into().ok()).ok_or(Stop::NoSuch)?;
            let opened = case.letter(id).is_some_and(|l| l.is_out() || l.read().is_some());
            let visible = case.visible_parts(now);
            let bytes = visible.iter().filter(|p| opened && p.message == id).find_map(|part| {
                let (key, _) = document_key(case.id(), id, Document::Attachment(tag, part.class));
                world.ledger.read(Table::Document, &key).ok().flatten()
            });
            let bytes = bytes.ok_or(Stop::NoSuch)?;
            let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
            let end = (start + PIECE_MAX).min(bytes.len());
            Ok(json!({
                "schema": "ch.attachment/1", "len": bytes.len(), "piece": STANDARD.encode(&bytes[start..end]),
                "next": if end < bytes.len() { Some(end) } else { None },
            }))
        })
        .await
    }

    pub(super) async fn outbox(&self) -> Answer {
        let training = self.training;
        let rows = self.owner.look(move |world| super::outbox::outbox(world, training));
        Ok(json!({"schema": "ch.outbox/1", "messages": rows.await.map_err(not_taken)?}))
    }

    pub(super) async fn outbox_retry(&self) -> Answer {
        let decided =
            self.owner.decide(|world, now| (Step { rows: world.office.mail().hurry(now.time), ..Step::default() }, ()));
        decided.await.map_err(not_taken)?;
        self.owner.signals.outbox.notify_one();
        Ok(json!({"schema": "ch.done/1", "done": "everything under way is tried now"}))
    }

    /// Whether this handle serves a training network.
    #[must_use]
    pub fn is_training(&self) -> bool {
        self.training
    }

    /// A shared clock for callers that show times.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn crate::clock::Clock> {
        Arc::clone(&self.clock)
    }
}

/// Of a case that is being erased nothing is shown.
fn not_hidden<S: Store>(world: &World<S>, case: &Case) -> Result<(), Stop> {
    if world.office.is_hidden(case.id()) { Err(Refusal::BeingErased.into()) } else { Ok(()) }
}

/// The notice an answer is about; without one there is nothing to answer.
fn the_notice(case: &Case) -> Result<MsgId, Failed> {
    case.notice().map(clearhouse_casework::case::Letter::id).ok_or(refused(Refusal::NothingToAcknowledge))
}

fn refused(refusal: Refusal) -> Failed {
    stop(Stop::Refused(refusal))
}

pub(super) fn stop(stop: Stop) -> Failed {
    Failed::Stop(stop, String::new())
}

fn withdrawn_json(done: &clearhouse_casework::office::desk::Withdrawn) -> Value {
    json!({
        "schema": "ch.withdrawn/1",
        "recalled": done.recalled.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "told": done.told.map(|id| id.to_string()),
        "must_tell": done.must_tell,
        "next": if done.must_tell {
            "The other organisation holds something and cannot be written to now: phone their named contact today."
        } else {
            ""
        },
    })
}

/// Reads a stored profile part.
pub(super) fn read_part(bytes: &[u8]) -> Option<PartForm> {
    wire::ProfilePart::decode(bytes).ok().map(|part| PartForm::of(&part))
}
