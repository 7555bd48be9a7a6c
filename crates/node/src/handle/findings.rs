//! Reconciliation through the local door: a person at a coordinator asks what is missing.

use clearhouse_casework::roles::Actor;
use clearhouse_protocol::reconcile::Policy;
use clearhouse_store::Store;
use serde_json::json;

use super::audit::may_read;
use super::{Answer, Handle, failure, not_taken};
use crate::findings::{record, told};
use crate::reconcile::{ReconcileError, reconcile};

impl<S: Store + 'static> Handle<S> {
    /// Reconciles, signs, records, answers.
    pub(super) async fn audit_reconcile(&self, actor: Actor) -> Answer {
        may_read(&actor)?;
        let coordinator = self.owner.look(|world| world.office.directory().is_coordinator(world.office.me().org));
        if !coordinator.await.map_err(not_taken)? {
            return Err(failure(
                "CH-N0110",
                "Logs are held against each other at a coordinator. Here is this organisation's own: `clearhouse audit list`.",
            ));
        }
        let now = self.clock.now();
        let found = reconcile(&self.owner, Policy::default(), now).await.map_err(|error| match error {
            ReconcileError::NotTaken(stopping) => not_taken(stopping),
            error @ (ReconcileError::Page { .. } | ReconcileError::Bug) => {
                failure("CH-I0103", format!("{error}. Nothing was changed. Run `clearhouse doctor`."))
            }
        })?;
        let made = self.owner.decide(move |world, then| {
            let told = told(world, &found, now);
            let (step, digest) = record(world, &told, Some(actor.role), then);
            (step, (told, digest))
        });
        let (mut told, digest) = made.await.map_err(not_taken)?;
        told["signed"] = json!(digest.to_string());
        Ok(told)
    }
}
