//! Having a case erased, and calling that off, through the local door.

use clearhouse_casework::case::erase::ErasureRule;
use clearhouse_casework::consent::DataClass;
use clearhouse_casework::office::cases::case_code;
use clearhouse_casework::office::erasing::Order;
use clearhouse_casework::roles::Actor;
use clearhouse_store::Store;
use serde_json::json;

use super::acts::stop;
use super::{Answer, Handle, failure, show};

impl<S: Store + 'static> Handle<S> {
    /// Decides that a case, or classes of its profile, is erased; answers with what that waits for.
    pub(super) async fn case_erase(
        &self,
        actor: Actor,
        case: String,
        rule: String,
        classes: Vec<String>,
        although_open: bool,
    ) -> Answer {
        let rule = ErasureRule::parse(&rule).ok_or_else(|| {
            let all: Vec<&str> = ErasureRule::ALL.iter().map(|rule| rule.code()).collect();
            failure("CH-U0109", format!("Not done, nothing erased: the reason is one of {}.", all.join(", ")))
        })?;
        let known: Option<Vec<DataClass>> = classes.iter().map(|class| DataClass::from_code(class)).collect();
        let classes = known.ok_or_else(|| {
            failure("CH-U0106", "Not done, nothing erased: a data class is not one of the published codes.")
        })?;
        let (training, order) = (self.training, Order { rule, classes, although_open });
        let found = self.act(case, move |world, case, now| {
            let step = world.office.erase(case.id(), &actor, &order, now).map_err(stop)?;
            Ok((step, case.id()))
        });
        let id = found.await?;
        let shown = self.owner.look(move |world| {
            let case = world.office.cases().and_then(|cases| cases.case(id));
            case.map_or_else(
                || json!({"schema": "ch.done/1", "done": "erased"}),
                |case| show::erasing(world, case, training),
            )
        });
        shown.await.map_err(super::not_taken)
    }

    /// Calls an erasure off that is not final yet.
    pub(super) async fn case_keep(&self, actor: Actor, case: String) -> Answer {
        let training = self.training;
        self.act(case, move |world, case, now| {
            let step = world.office.keep(case.id(), &actor, now).map_err(stop)?;
            let code = case_code(case.conversation(), training);
            Ok((step, json!({"schema": "ch.done/1", "done": format!("{code} stays; nothing of it was erased")})))
        })
        .await
    }
}
