//! The codes on which decisions in a case depend, as closed enums: a new value does not compile until it is thought
//! about. Codes that are only carried stay in [`crate::htcds::codes`]; both name the same values, and a test holds it.
//! Refuses nothing by itself: a code outside its list simply does not parse.

/// Declares a closed enum of wire codes with `ALL`, `code` and `parse`.
macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$line:meta])* $variant:ident = $code:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum $name {
            $($(#[$line])* $variant),+
        }

        impl $name {
            /// Every value, in the order of the list.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word on the wire.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }

            /// Reads the word; `None` for anything but an exact code.
            #[must_use]
            pub fn parse(code: &str) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}
pub(crate) use codes;

codes!(
    /// xpr_AgeStatus. Everything but `Adult` walks the child path.
    AgeStatus {
        /// Of age, and nobody doubts it.
        Adult = "Adult",
        /// Under 18.
        Child = "Child",
        /// Taken for a child until shown otherwise.
        PresumedChild = "PresumedChild",
        /// Says or is said to be of age, and somebody doubts it.
        AgeDisputed = "AgeDisputed",
    }
);
codes!(
    /// xpr_AgeBasis.
    AgeBasis {
        /// A document nobody doubts.
        Document = "Document",
        /// A document somebody doubts.
        DocumentDoubted = "DocumentDoubted",
        /// The person's own word.
        Declared = "Declared",
        /// An age assessment.
        Assessed = "Assessed",
    }
);
codes!(
    /// CTDC `ageBroad`.
    AgeBand {
        /// Up to 8.
        To8 = "0--8",
        /// 9 to 17.
        To17 = "9--17",
        /// 18 to 20.
        To20 = "18--20",
        /// 21 to 23.
        To23 = "21--23",
        /// 24 to 26.
        To26 = "24--26",
        /// 27 to 29.
        To29 = "27--29",
        /// 30 to 38.
        To38 = "30--38",
        /// 39 to 47.
        To47 = "39--47",
        /// 48 and more.
        From48 = "48+",
    }
);
codes!(
    /// xrk_Level.
    RiskLevel {
        /// Needs a manager's hand before anything is sent.
        High = "High",
        /// Between.
        Medium = "Medium",
        /// Nothing known.
        Low = "Low",
    }
);
codes!(
    /// xrn_Urgency.
    Urgency {
        /// Shorter clocks: two hours to acknowledge, twelve to answer.
        Emergency24h = "Emergency24h",
        /// Soon.
        Priority72h = "Priority72h",
        /// The ordinary clocks.
        Routine = "Routine",
    }
);
codes!(
    /// xch_GuardianStatus.
    GuardianStatus {
        /// There is a guardian.
        Appointed = "Appointed",
        /// One has been asked for.
        Pending = "Pending",
        /// The authority refused to appoint one.
        Refused = "Refused",
    }
);
codes!(
    /// xch_BestInterests.
    BestInterests {
        /// Return is in the child's interest.
        ReturnInInterest = "ReturnInInterest",
        /// It is not.
        NotInInterest = "NotInInterest",
        /// Not decided.
        Pending = "Pending",
    }
);
codes!(
    /// xrs_Answer.
    AnswerKind {
        /// Yes.
        Accepted = "Accepted",
        /// Yes, if.
        AcceptedWithConditions = "AcceptedWithConditions",
        /// Not before these fields are clearer.
        InfoRequested = "InfoRequested",
        /// No.
        Declined = "Declined",
    }
);
codes!(
    /// Outcome of a departure (M09).
    Outcome {
        /// She is on her way.
        Left = "Left",
        /// She is not; the reason is not asked for.
        DidNotLeave = "DidNotLeave",
        /// She stays: a good end.
        ChoseNotToTravel = "ChoseNotToTravel",
    }
);
codes!(
    /// xar_Result.
    ArrivalResult {
        /// Came and was met.
        ArrivedMet = "ArrivedMet",
        /// Came and nobody was there.
        ArrivedNotMet = "ArrivedNotMet",
        /// Did not come.
        NotArrived = "NotArrived",
        /// Went elsewhere.
        Diverted = "Diverted",
        /// Was turned back.
        ReturnedByBorder = "ReturnedByBorder",
        /// Stays: a good end.
        ChoseNotToTravel = "ChoseNotToTravel",
    }
);

/// Fields of a notice that "information requested" may name.
pub const NOTICE_FIELDS: &[&str] = &[
    "age_band",
    "age_status",
    "age_basis",
    "gender",
    "citizenship",
    "languages",
    "dependant_bands",
    "window_from_day",
    "window_to_day",
    "country",
    "region",
    "services",
    "risk_level",
    "urgency",
    "voluntary",
    "alternatives_explained",
    "reflection_ends_day",
    "wishes_to_go_earlier",
    "trafficking_status",
    "status_decided_by",
    "referral_reason",
    "worker",
    "alternate",
    "guardian_status",
    "best_interests",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::htcds::codes::List;

    #[test]
    fn enums_and_published_lists_name_the_same_codes() {
        fn same<T: Copy>(all: &[T], code: impl Fn(T) -> &'static str, list: List) {
            let ours: Vec<_> = all.iter().map(|&v| code(v)).collect();
            let listed: Vec<_> = list.codes().iter().map(|c| c.code).collect();
            assert_eq!(ours, listed, "{list:?}");
        }
        same(AgeStatus::ALL, AgeStatus::code, List::AgeStatus);
        same(AgeBasis::ALL, AgeBasis::code, List::AgeBasis);
        same(AgeBand::ALL, AgeBand::code, List::AgeBand);
        same(RiskLevel::ALL, RiskLevel::code, List::RiskLevel);
        same(Urgency::ALL, Urgency::code, List::Urgency);
        same(GuardianStatus::ALL, GuardianStatus::code, List::GuardianStatus);
        same(BestInterests::ALL, BestInterests::code, List::BestInterests);
        same(AnswerKind::ALL, AnswerKind::code, List::Answer);
        same(Outcome::ALL, Outcome::code, List::DepartureOutcome);
        same(ArrivalResult::ALL, ArrivalResult::code, List::ArrivalResult);
        same(crate::consent::Purpose::ALL, crate::consent::Purpose::code, List::ConsentPurpose);
        let case_roles = &crate::roles::Role::ALL[..3];
        same(case_roles, crate::roles::Role::code, List::ActorRole);
    }
}
