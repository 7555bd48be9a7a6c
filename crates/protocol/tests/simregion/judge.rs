//! What must hold after every round in every honest replica, whatever anybody said.

use std::collections::{BTreeMap, BTreeSet};

use clearhouse_protocol::directory::Directory;
use clearhouse_protocol::ids::NodeId;
use clearhouse_protocol::pae::sha256;

use crate::world::{COUNTRIES, World};

impl World {
    /// After a round: what happened is acted on, and by whom; and nothing is believed that is not so.
    pub(crate) fn judge(&mut self) -> Result<(), String> {
        self.see_events()?;
        let honest = self.honest();
        let targets = self.common.forgery.iter().map(|forgery| forgery.target);
        let watched: BTreeSet<usize> = self.events.iter().map(|event| event.place).chain(targets).collect();
        for place in &honest {
            let directory = &self.replicas[*place].directory;
            for subject in &watched {
                self.believes_only_what_is_so(directory, *subject).map_err(|what| format!("node {place}: {what}"))?;
            }
            self.no_word_is_of_tomorrow(directory).map_err(|what| format!("node {place}: {what}"))?;
            self.fakes_are_nobody(directory).map_err(|what| format!("node {place}: {what}"))?;
        }
        self.logs_have_one_history(&honest)
    }

    /// At the end: everybody acts on everything, and all hold the same.
    pub(crate) fn end(&mut self) -> Result<(), String> {
        let honest = self.honest();
        for place in &honest {
            for event in &self.events {
                if event.seen[*place].is_none() {
                    return Err(format!(
                        "node {place} has not acted on the {:?} of {} in round {}",
                        event.what, event.place, event.round
                    ));
                }
            }
            for subject in 0..self.replicas.len() {
                let directory = &self.replicas[*place].directory;
                self.believes_only_what_is_so(directory, subject).map_err(|what| format!("node {place}: {what}"))?;
            }
        }
        let mut said: BTreeMap<(Vec<u8>, [u8; 32]), usize> = BTreeMap::new();
        for place in &honest {
            let told = self.replicas[*place].told();
            *said.entry((told.digests().to_vec(), told.common())).or_default() += 1;
        }
        if said.len() == 1 {
            return Ok(());
        }
        let views: Vec<usize> = said.into_values().collect();
        Err(format!("honest replicas have {} views of the directory at the end: {views:?}", views.len()))
    }

    fn see_events(&mut self) -> Result<(), String> {
        let round = self.round;
        let mut events = std::mem::take(&mut self.events);
        let mut result = Ok(());
        for event in &mut events {
            let known = event.complete.is_some_and(|complete| complete < round);
            let mut late = false;
            for place in self.honest() {
                if !self.replicas[place].awake {
                    continue;
                }
                let acts = event.is_acted_on(&self.replicas[place].directory, &self.common, &self.truth);
                if event.seen[place].is_some() && !acts {
                    result = Err(format!("node {place} went back behind the {:?} of {}", event.what, event.place));
                }
                let all_the_time = self.slept[place].is_none_or(|slept| slept < event.round)
                    && (place < self.scale.orgs || place == event.place);
                if acts && event.seen[place].is_none() {
                    event.seen[place] = Some(round);
                    if all_the_time && place != event.place {
                        self.figures.rounds.entry(event.what).or_default().push(round - event.round + 1);
                    }
                    self.figures.sleepers += u64::from(known && self.woke[place] == Some(round));
                }
                if known && !acts && self.woke[place] == Some(round) {
                    result = Err(format!(
                        "sleeper {place} did not learn of the {:?} of {} in its first session",
                        event.what, event.place
                    ));
                }
                late |= all_the_time && !acts;
            }
            if !late && event.complete.is_none() {
                event.complete = Some(round);
            }
        }
        self.events = events;
        result
    }

    /// Of one node a directory may believe what is true of it, or was.
    fn believes_only_what_is_so(&self, directory: &Directory, subject: usize) -> Result<(), String> {
        let member = self.common.member(subject);
        let now = self.common.now;
        if let Ok(key) = directory.signing_key(member.org, member.node, now) {
            if !self.truth.keys[subject].contains(&key.public()) {
                return Err(format!("believes a key of {subject} that it never had"));
            }
            if !self.born[subject] {
                return Err(format!("believes in {subject}, which nobody admitted"));
            }
        }
        for ended in [member.org.0, member.node.0] {
            if directory.is_revoked(&ended, now) && !self.truth.revoked[subject] {
                return Err(format!("holds {subject} to be revoked, and it is not"));
            }
        }
        if let Some(said) = directory.descriptor(member.node)
            && self.truth.descriptors.get(&(member.node, said.serial)) != Some(said)
        {
            return Err(format!("holds a descriptor of {subject} that it never signed"));
        }
        if directory.is_contested() || directory.policy().version != 2 {
            return Err("follows a policy that nobody made".to_owned());
        }
        if directory.is_suspended(member.node) && self.is_honest(subject) {
            return Err(format!("holds the log of {subject} to have two histories, and it has one"));
        }
        Ok(())
    }

    /// How new a log is says a coordinator that is honest, and none of those has a clock that is ahead.
    fn no_word_is_of_tomorrow(&self, directory: &Directory) -> Result<(), String> {
        for coordinator in 0..COUNTRIES.len() {
            let head = directory.newest_head(self.common.member(coordinator).node);
            if head.is_some_and(|head| head.fresh() > self.common.now) {
                return Err(format!("believes a time of log {coordinator} that has not come"));
            }
        }
        Ok(())
    }

    /// Whom liars made up is not there; whom others were made to accredit in secret is nobody until everybody is shown.
    fn fakes_are_nobody(&self, directory: &Directory) -> Result<(), String> {
        let Some(forgery) = &self.common.forgery else { return Ok(()) };
        let (fake, _) = &forgery.fake;
        if directory.org(fake.org).is_some() || directory.cert(fake.node).is_some() {
            return Err("holds an organisation that two liars made up".to_owned());
        }
        let (secret, records) = &forgery.stealth;
        let shown = |record: &clearhouse_wire::v1::Signed| self.common.public.contains(&sha256(&record.payload));
        if directory.accredited(secret.org).is_some() && !shown(&records[0])
            || directory.signing_key(secret.org, secret.node, self.common.now).is_ok() && !shown(&records[1])
        {
            return Err("acts on an accreditation that nobody else was shown".to_owned());
        }
        Ok(())
    }

    /// What any two followed of a log is one history.
    fn logs_have_one_history(&self, honest: &[usize]) -> Result<(), String> {
        let logs: Vec<NodeId> = self.common.region.directory.directory_logs().map(|(node, _)| node).collect();
        for log in logs {
            let size = |place: &usize| self.replicas[*place].directory.followed(log);
            let Some(longest) = honest.iter().max_by_key(|place| size(place)) else { continue };
            let whole = self.replicas[*longest].directory.entered(log, 0, usize::MAX);
            for place in honest {
                let followed = size(place);
                let last = self.replicas[*place].directory.entered(log, followed.saturating_sub(1), 1);
                let there = usize::try_from(followed).unwrap().checked_sub(1).and_then(|last| whole.get(last));
                // Entries differ with their places in a log, so the last one stands for all before it.
                if last.first() != there {
                    return Err(format!("nodes {place} and {longest} follow two histories of one log"));
                }
            }
        }
        Ok(())
    }
}
