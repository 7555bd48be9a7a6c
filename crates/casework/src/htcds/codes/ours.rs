//! The lists the exchange needs beside HTCDS: domain.md a.12 and the values named in `proto/clearhouse/v1/content.proto`.
//!
//! Same naming style as the standard. A plain HTCDS export leaves all of them out. Refuses free text: what is not in a
//! list has no place in a message but a field made for text.

use super::{Code, code, own};

pub(super) const NULL_REASON: &[Code] = &[
    own("NotAsked", "Not asked"),
    own("Unknown", "Unknown"),
    own("Refused", "Refused"),
    own("WithheldByPerson", "Withheld by person"),
    own("NotApplicable", "Not applicable"),
];

pub(super) const AGE_BAND: &[Code] = &[
    own("0--8", "0 to 8"),
    own("9--17", "9 to 17"),
    own("18--20", "18 to 20"),
    own("21--23", "21 to 23"),
    own("24--26", "24 to 26"),
    own("27--29", "27 to 29"),
    own("30--38", "30 to 38"),
    own("39--47", "39 to 47"),
    own("48+", "48 and over"),
];

pub(super) const AGE_STATUS: &[Code] = &[
    own("Adult", "Adult"),
    own("Child", "Child"),
    own("PresumedChild", "Presumed child"),
    own("AgeDisputed", "Age disputed"),
];

pub(super) const AGE_BASIS: &[Code] = &[
    own("Document", "Document"),
    own("DocumentDoubted", "Document, doubted"),
    own("Declared", "Declared"),
    own("Assessed", "Assessed"),
];

pub(super) const MIGRANT_TYPE: &[Code] = &[
    own("FamilyMigrant", "Family migrant"),
    own("VisitorTourist", "Visitor/tourist"),
    own("LabourMigrant", "Labour migrant"),
    own("StudentMigrant", "Student migrant"),
    own("IrregularMigrant", "Irregular migrant"),
];

pub(super) const PROTECTION_STATUS: &[Code] = &[
    own("AsylumSeeker", "Asylum seeker"),
    own("Refugee", "Refugee"),
    own("ComplementaryProtection", "Recipient of complementary protection"),
    own("StatelessPerson", "Stateless person"),
    own("EnvironmentalMigrant", "Environmental migrant"),
    own("VulnerableMigrant", "Vulnerable migrant"),
    own("StrandedMigrant", "Stranded migrant"),
    own("ForcedMigrant", "Forced migrant"),
    own("Deportee", "Deportee"),
    own("ExCombatant", "Ex-combatant"),
    own("InternallyDisplaced", "Internally displaced"),
    own("SeparatedOrUnaccompaniedChild", "Separated or unaccompanied child"),
    own("Returnee", "Returnee"),
];

pub(super) const SAFE_CHANNEL: &[Code] = &[
    own("None", "None"),
    own("Phone", "Phone"),
    own("Text", "Text message"),
    own("Email", "E-mail"),
    own("ViaNGO", "Through the organisation"),
    own("ViaTrustedPerson", "Through a trusted person"),
];

pub(super) const CONSENT_PURPOSE: &[Code] = &[
    own("Interview", "Interview"),
    own("PrepareReturn", "Prepare return"),
    own("Enquiry", "Enquiry"),
    own("ShareNotice", "Share the return notice"),
    own("ShareProfile", "Share the profile"),
    own("ShareHealth", "Share health information"),
    own("ShareTravel", "Share travel details"),
    own("Feedback", "Feedback"),
    own("ContactFamily", "Contact family"),
    own("Testimony", "Testimony"),
    own("Reporting", "Reporting"),
];

pub(super) const CONSENT_GIVEN_BY: &[Code] =
    &[own("Person", "Person"), own("Guardian", "Guardian"), own("PersonWithGuardian", "Person with guardian")];

pub(super) const CHILD_VIEW: &[Code] =
    &[own("Agrees", "Agrees"), own("Objects", "Objects"), own("TooYoung", "Too young"), own("NotAsked", "Not asked")];

pub(super) const CONSENT_FORM: &[Code] =
    &[own("Written", "Written"), own("OralWitnessed", "Oral, witnessed"), own("Recorded", "Recorded")];

pub(super) const WITHHOLD_FROM: &[Code] = &[
    own("family", "Family"),
    own("authorities", "Authorities"),
    own("other_organizations", "Other organisations"),
    own("others", "Others"),
];

pub(super) const WITHHOLD_REASON: &[Code] = &[
    own("fear", "Fear of harm"),
    own("communicate_information", "Wants to tell it in person"),
    own("others", "Other reason"),
];

pub(super) const CONSENT_STATUS: &[Code] = &[
    own("Active", "Active"),
    own("Expired", "Expired"),
    own("Withdrawn", "Withdrawn"),
    own("Superseded", "Superseded"),
];

pub(super) const DATA_CLASS: &[Code] = &[
    own("Identity", "Identity"),
    own("Contact", "Contact"),
    own("Needs", "Needs"),
    own("Risk", "Risk"),
    own("Health", "Health"),
    own("Trafficking", "Trafficking"),
    own("SexualExploitationDetail", "Sexual exploitation detail"),
    own("Family", "Family"),
    own("Documents", "Documents"),
    own("Travel", "Travel"),
    own("Legal", "Legal"),
    own("Outcome", "Outcome"),
];

pub(super) const RISK_LEVEL: &[Code] = &[own("High", "High"), own("Medium", "Medium"), own("Low", "Low")];

pub(super) const RISK_SOURCE: &[Code] = &[
    own("Trafficker", "Trafficker"),
    own("Family", "Family"),
    own("Community", "Community"),
    own("Authorities", "Authorities"),
    own("Debt", "Debt"),
    own("Testimony", "Testimony"),
    own("Health", "Health"),
    own("SelfHarm", "Self-harm"),
    own("ImagesOnline", "Images online"),
];

pub(super) const YES_NO_UNKNOWN: &[Code] = &[own("Yes", "Yes"), own("No", "No"), own("Unknown", "Unknown")];

pub(super) const SERVICE: &[Code] = &[
    code("Education", "Education"),
    code("Financial", "Financial"),
    code("Health", "Health"),
    code("LabourExploitationRehabilitation", "Labour Exploitation Rehabilitation"),
    code("Legal", "Legal"),
    code("Livelihood", "Livelihood"),
    code("RightsBasedTraining", "Rights-based Training"),
    code("SexualExploitationRehabilitation", "Sexual Exploitation Rehabilitation"),
    code("SocialCare", "Social Care"),
    own("Shelter", "Shelter"),
    own("Transport", "Transport"),
    own("Interpreter", "Interpreter"),
    own("MedicalEscort", "Medical escort"),
    own("DocumentHelp", "Help with documents"),
    own("FamilyMediation", "Family mediation"),
    own("Childcare", "Childcare"),
];

pub(super) const URGENCY: &[Code] =
    &[own("Emergency24h", "Emergency, 24 hours"), own("Priority72h", "Priority, 72 hours"), own("Routine", "Routine")];

pub(super) const VOLUNTARY: &[Code] = &[own("Voluntary", "Voluntary"), own("ForcedByDecision", "Forced by decision")];

pub(super) const ANSWER: &[Code] = &[
    own("Accepted", "Accepted"),
    own("AcceptedWithConditions", "Accepted with conditions"),
    own("InfoRequested", "Information requested"),
    own("Declined", "Declined"),
];

pub(super) const DECLINE_REASON: &[Code] = &[
    own("NoCapacity", "No capacity"),
    own("NoService", "Service not offered"),
    own("UnsafeHere", "Unsafe here"),
    own("OutsideRegion", "Outside our region"),
    own("NotForChildren", "Not for children"),
    own("ConflictOfInterest", "Conflict of interest"),
    own("Other", "Other"),
];

pub(super) const PAID_BY: &[Code] =
    &[own("Sender", "Sender"), own("Receiver", "Receiver"), own("ThirdParty", "Third party")];

pub(super) const GUARDIAN_STATUS: &[Code] =
    &[own("Appointed", "Appointed"), own("Pending", "Pending"), own("Refused", "Refused")];

pub(super) const BEST_INTERESTS: &[Code] = &[
    own("ReturnInInterest", "Return is in the child's interest"),
    own("NotInInterest", "Return is not in the child's interest"),
    own("Pending", "Pending"),
];

pub(super) const FAMILY_ASSESSMENT: &[Code] = &[
    own("Positive", "Positive"),
    own("Conditional", "Conditional"),
    own("Negative", "Negative"),
    own("NotDone", "Not done"),
];

pub(super) const DEPARTURE_OUTCOME: &[Code] =
    &[own("Left", "Left"), own("DidNotLeave", "Did not leave"), own("ChoseNotToTravel", "Chose not to travel")];

pub(super) const ARRIVAL_RESULT: &[Code] = &[
    own("ArrivedMet", "Arrived and met"),
    own("ArrivedNotMet", "Arrived, not met"),
    own("NotArrived", "Not arrived"),
    own("Diverted", "Diverted"),
    own("ReturnedByBorder", "Turned back at the border"),
    own("ChoseNotToTravel", "Chose not to travel"),
];

pub(super) const NEEDS_NOW: &[Code] = &[
    own("Shelter", "Shelter"),
    own("Medical", "Medical help"),
    own("None", "None"),
    own("LeftAtOnce", "Left at once"),
];

pub(super) const MISSING_OUTCOME: &[Code] = &[
    own("Found", "Found"),
    own("ArrivedElsewhere", "Arrived elsewhere"),
    own("ChoseNot", "Chose not to come"),
    own("SuspectedReTrafficking", "Suspected re-trafficking"),
    own("Unknown", "Unknown"),
];

pub(super) const FOLLOW_UP_CONTACT: &[Code] = &[
    own("Face", "Face to face"),
    own("Phone", "Phone"),
    own("Text", "Text message"),
    own("ViaFamily", "Through family"),
    own("NoContact", "No contact"),
];

pub(super) const FOLLOW_UP_PHASE: &[Code] = &[
    own("Crisis0_3", "Crisis, months 0 to 3"),
    own("Transition4_12", "Transition, months 4 to 12"),
    own("Inclusion13_36", "Inclusion, months 13 to 36"),
];

pub(super) const FOLLOW_UP_DOMAIN: &[Code] = &[
    own("Housing", "Housing"),
    own("LegalStatus", "Legal status"),
    own("PhysicalHealth", "Physical health"),
    own("MentalHealth", "Mental health"),
    own("WorkIncome", "Work and income"),
    own("EducationTraining", "Education and training"),
    own("Safety", "Safety"),
    own("FamilySocial", "Family and social life"),
    own("CourtCase", "Court case"),
    own("ChildrenOfPerson", "The person's children"),
];

pub(super) const FOLLOW_UP_VALUE: &[Code] = &[
    own("Met", "Met"),
    own("PartlyMet", "Partly met"),
    own("NotMet", "Not met"),
    own("NotNeeded", "Not needed"),
    own("Unknown", "Unknown"),
];

pub(super) const RE_TRAFFICKING_CONCERN: &[Code] =
    &[own("None", "None"), own("Suspected", "Suspected"), own("Confirmed", "Confirmed")];

pub(super) const CLOSURE_REASON: &[Code] = &[
    own("GoalsReached", "Goals reached"),
    own("PersonEnded", "Ended by the person"),
    own("ConsentWithdrawn", "Consent withdrawn"),
    own("LostContact", "Lost contact"),
    own("MovedOn", "Moved on"),
    own("TransferredOnward", "Transferred onward"),
    own("ReTrafficked", "Re-trafficked"),
    own("Deceased", "Deceased"),
    own("NotAVictim", "Not a victim"),
    own("ChildReachedAdultCare", "Child reached adult care"),
    own("DuplicateMerged", "Duplicate, merged"),
    own("AdminError", "Administrative error"),
];

pub(super) const COURT_KIND: &[Code] = &[
    own("Summons", "Summons"),
    own("StatementRequest", "Request for a statement"),
    own("VideoLink", "Video link"),
    own("CompensationClaim", "Compensation claim"),
    own("VerdictNotice", "Notice of verdict"),
    own("ReleaseOfOffender", "Release of offender"),
];

pub(super) const COURT_DECISION: &[Code] = &[
    own("Agrees", "Agrees"),
    own("Declines", "Declines"),
    own("Undecided", "Undecided"),
    own("NotReached", "Not reached"),
];

pub(super) const ACTOR_ROLE: &[Code] =
    &[own("Caseworker", "Caseworker"), own("Manager", "Manager"), own("ChildOfficer", "Child officer")];
