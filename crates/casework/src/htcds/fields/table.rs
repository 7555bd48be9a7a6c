//! The table of fields, in the order of domain.md section (a).
//!
//! Labels are those of the standard's spreadsheet and of its templates. Refuses to place a field twice in a profile: one
//! field, one data class.

use super::DataClass::{
    Contact, Documents, Family, Health, Identity, Needs, Risk, SexualExploitationDetail, Trafficking,
};
use super::FieldType::{
    Checkbox, Countries, Country, Date, Degrees, Email, Language, LongText, Multi, Number, Phone, Picklist, Text, Texts,
};
use super::Placement::{Dir, Fu, Hdr, Loc, Ra, Rn, St, Tip, Vp};
use super::Sharing::{Elsewhere, Local, Part};
use super::When::{Any, Past};
use super::{AGE_MAX, CHILDREN_MAX, Field, FieldType, Placement, Sharing};
use crate::htcds::codes::List;

type Names = &'static [&'static str];
type Places = &'static [Placement];

/// A field of the standard's wider set, or of ours.
const fn f(name: &'static str, labels: Names, kind: FieldType, placement: Places, sharing: Sharing) -> Field {
    Field { name, labels, aliases: &[], kind, core: false, deprecated: false, placement, sharing }
}

/// A core field.
const fn core(name: &'static str, labels: Names, kind: FieldType, placement: Places, sharing: Sharing) -> Field {
    Field { core: true, ..f(name, labels, kind, placement, sharing) }
}

/// A core field whose name some of the standard's own files spell otherwise.
const fn named(
    aliases: Names,
    name: &'static str,
    labels: Names,
    kind: FieldType,
    placement: Places,
    sharing: Sharing,
) -> Field {
    Field { aliases, ..core(name, labels, kind, placement, sharing) }
}

/// A deprecated field: read on import, never sent.
const fn old(name: &'static str, labels: Names, kind: FieldType, core: bool) -> Field {
    Field { core, deprecated: true, ..f(name, labels, kind, &[Loc], Local) }
}

/// Every field.
pub static FIELDS: &[Field] = &[
    // a.1 Organisation.
    f("org_Name", &["Organisation Name"], Text, &[Dir], Elsewhere),
    f("org_ShippingCity", &["Shipping City"], Text, &[Loc], Local),
    f("org_ShippingCountry", &["Shipping Country"], Country, &[Dir, St], Elsewhere),
    f("org_ShippingState", &["Shipping State/Province"], Text, &[Dir], Elsewhere),
    f("org_ShippingStreet", &["Shipping Street"], Text, &[Loc], Local),
    f("org_ShippingPostalCode", &["Shipping Zip/Postal Code"], Text, &[Loc], Local),
    f("org_ShippingLongitude", &["Longitude"], Degrees(180), &[Loc], Local),
    f("org_ShippingLatitude", &["Latitude"], Degrees(90), &[Loc], Local),
    f("org_Phone", &["Phone"], Phone, &[Dir], Elsewhere),
    f("org_Type", &["Type"], Picklist(List::OrganisationType), &[Dir, St], Elsewhere),
    // a.2 Person.
    core("prs_Salutation", &["Salutation"], Text, &[Vp], Part(Identity)),
    named(&["prs_First_Name"], "prs_FirstName", &["First Name"], Text, &[Vp], Part(Identity)),
    f("prs_MiddleName", &["Middle Name"], Text, &[Vp], Part(Identity)),
    named(&["prs_Second_Name"], "prs_SecondName", &["Second Name"], Text, &[Vp], Part(Identity)),
    core("prs_Birthdate", &["Birthdate"], Date(Past), &[Vp, Rn, St], Part(Identity)),
    core("prs_Gender", &["Gender"], Picklist(List::Gender), &[Rn, Vp, St], Part(Identity)),
    f("prs_Deceased", &["Deceased"], Checkbox, &[Fu, St], Elsewhere),
    f("prs_MaritalStatus", &["Marital Status"], Picklist(List::MaritalStatus), &[Vp, St], Part(Family)),
    f("prs_NumberOfChildren", &["Number of Children"], Number(CHILDREN_MAX), &[Rn, Vp], Part(Family)),
    f("prs_PrimaryLanguage", &["Primary Language"], Language, &[Rn, Vp], Part(Needs)),
    f("prs_SecondaryLanguage", &["Secondary Language"], Language, &[Rn, Vp], Part(Needs)),
    f(
        "prs_HighestLevelOfEducation",
        &["Highest Level of Education"],
        Picklist(List::Education),
        &[Vp, Fu, St],
        Part(Needs),
    ),
    core("prs_Citizenship", &["Citizenship"], Countries, &[Rn, Vp, St], Part(Identity)),
    f("prs_IdentityNumber", &["Identity Number"], Text, &[Loc], Local),
    core("prs_Title", &["Title"], Text, &[Dir], Elsewhere),
    core("prs_Email", &["Email"], Email, &[Loc], Local),
    core("prs_HomePhone", &["Home Phone"], Phone, &[Loc], Local),
    core("prs_MobilePhone", &["Mobile Phone"], Phone, &[Vp], Part(Contact)),
    core("prs_MailingCity", &["Mailing City"], Text, &[Vp], Part(Contact)),
    core("prs_MailingCountry", &["Mailing Country"], Country, &[Rn, Vp, St], Part(Contact)),
    core("prs_MailingState", &["Mailing State/Province", "Mailing State"], Text, &[Rn, Vp, St], Part(Contact)),
    core("prs_MailingStreet", &["Mailing Street"], Text, &[Loc], Local),
    core("prs_MailingPostalCode", &["Mailing Zip/Postal Code", "Mailing Postal Code"], Text, &[Loc], Local),
    f("prs_MailingLongitude", &["Longitude", "Mailing Longitude"], Degrees(180), &[Loc], Local),
    f("prs_MailingLatitude", &["Latitude", "Mailing Latitude"], Degrees(90), &[Loc], Local),
    // a.3 Victim context.
    old("vic_AgreementToManagePersonalData", &["Agreement to Manage Personal Data"], Checkbox, false),
    core(
        "vic_TraffickingStatus",
        &["Trafficking Status"],
        Picklist(List::TraffickingStatus),
        &[Rn, Vp, St],
        Part(Trafficking),
    ),
    named(
        &["vic_TraffickinStatusDecisionMakingOrg"],
        "vic_TraffickingStatusDecisionMakingOrg",
        &["Trafficking Status Decision Making Organization", "Trafficking Status Decision Making Organisation"],
        Picklist(List::StatusDecidedBy),
        &[Vp, St],
        Part(Trafficking),
    ),
    f(
        "vic_RelationshipToTrafficker",
        &["Relationship to Trafficker"],
        Picklist(List::RelationshipToTrafficker),
        &[Ra, St],
        Part(Risk),
    ),
    f("vic_AgeWhenTrafficked", &["Age when Trafficked"], Number(AGE_MAX), &[Vp, St], Part(Trafficking)),
    f(
        "vic_RecruitmentWebsitesAndApps",
        &["Recruitment Websites and Apps"],
        Multi(List::WebsitesAndApps),
        &[Loc, St],
        Local,
    ),
    core(
        "vic_MethodOfRecruitment",
        &["Method of Recruitment"],
        Multi(List::MethodOfRecruitment),
        &[Vp, St],
        Part(Trafficking),
    ),
    core("vic_LocationOfRecruitment", &["Location of Recruitment"], Text, &[Ra, Loc], Local),
    named(
        &["vic_Methods_of_Control"],
        "vic_MethodsOfControl",
        &["Methods of Control"],
        Multi(List::MethodsOfControl),
        &[Ra, St],
        Part(Risk),
    ),
    core(
        "vic_TypeOfExploitation",
        &["Type of Exploitation"],
        Multi(List::TypeOfExploitation),
        &[Vp, St],
        Part(Trafficking),
    ),
    core(
        "vic_ForcedLabourIndustry",
        &["Forced Labour Industry"],
        Multi(List::ForcedLabourIndustry),
        &[St, Vp],
        Part(Trafficking),
    ),
    core(
        "vic_TypeOfSexExploitation",
        &["Type of Sex Exploitation"],
        Multi(List::TypeOfSexExploitation),
        &[Ra, St, Vp],
        Part(SexualExploitationDetail),
    ),
    core("vic_LocationOfExploitation", &["Location of Exploitation"], Text, &[Loc, Tip, St], Local),
    f(
        "vic_ExploitationWebsitesAndApps",
        &["Exploitation Websites and Apps"],
        Multi(List::WebsitesAndApps),
        &[Loc, St],
        Local,
    ),
    old("vic_Vulnerabilities", &["Vulnerabilities"], Multi(List::Vulnerabilities), true),
    old("vic_DetailsOfVulnerabilities", &["Details Of Vulnerabilities"], LongText, true),
    // a.8 Perpetrator context: local and tips only, never in a victim message.
    f("per_RoleInProcess", &["Role in Process"], Multi(List::RoleInProcess), &[Loc, Tip], Local),
    f("per_RoleDetails", &["Role Details"], LongText, &[Loc, Tip], Local),
    f("per_Organisation", &["Perpetrator Organisation"], Text, &[Loc, Tip], Local),
    // a.9 Case and referral.
    core("cas_Status", &["Status"], Picklist(List::CaseStatus), &[St], Elsewhere),
    core("cas_ReasonForCaseClosure", &["Reason for Case Closure"], LongText, &[Loc], Local),
    core("cas_CaseOwner", &["Case Owner"], Text, &[Hdr], Elsewhere),
    core("cas_ReferringOrganisation", &["Referring Organisation"], Text, &[Hdr, St], Elsewhere),
    core("cas_IncomingReferralDate", &["Incoming Referral Date"], Date(Past), &[Hdr], Elsewhere),
    core("cas_ReferringPrimaryCaseWorker", &["Referring Primary Case Worker"], Text, &[Rn], Elsewhere),
    core(
        "cas_ReasonForIncomingReferral",
        &["Reason for Incoming Referral"],
        Picklist(List::ReferralReason),
        &[Rn, St],
        Elsewhere,
    ),
    core("cas_IncomingReferralDetails", &["Incoming Referral Details"], LongText, &[Vp], Part(Needs)),
    core("cas_ReferredOrganisation", &["Referred Organisation"], Text, &[Hdr, St], Elsewhere),
    core("cas_ReferredPrimaryCaseWorker", &["Referred Primary Case Worker"], Text, &[Hdr], Elsewhere),
    core(
        "cas_ReasonForOutgoingReferral",
        &["Reason for Outgoing Referral"],
        Picklist(List::ReferralReason),
        &[Rn, St],
        Elsewhere,
    ),
    core("cas_OutgoingReferralDate", &["Outgoing Referral Date"], Date(Any), &[Hdr], Elsewhere),
    core("cas_OutgoingReferralDetails", &["Outgoing Referral Details"], LongText, &[Vp], Part(Needs)),
    // a.10 Comment, events, support plan, consent.
    f("cco_CaseComment", &["Case Comment"], LongText, &[Loc], Local),
    f("hte_Longitude", &["Longitude"], Degrees(180), &[Loc], Local),
    f("hte_Latitude", &["Latitude"], Degrees(90), &[Loc], Local),
    f("hte_City", &["City"], Text, &[Loc], Local),
    f("hte_State", &["State"], Text, &[Loc], Local),
    f("hte_Street", &["Street"], Text, &[Loc], Local),
    f("hte_PostalCode", &["PostalCode", "Postal Code"], Text, &[Loc], Local),
    f("hte_Country", &["Country"], Country, &[Vp, St], Part(Trafficking)),
    f("hte_Date", &["Date"], Date(Past), &[Loc, St], Local),
    f("hte_Type", &["Type"], Picklist(List::EventType), &[St, Ra], Part(Risk)),
    f("hte_Description", &["Description"], LongText, &[Loc], Local),
    f("spl_Objectives", &["Objectives"], LongText, &[Loc], Local),
    f("spl_ActionPlan", &["Action Plan"], LongText, &[Loc], Local),
    f("spl_PlannedEndDate", &["Planned End Date"], Date(Any), &[Fu, St], Elsewhere),
    f("spl_ActualEndDate", &["Actual End Date"], Date(Past), &[Fu, St], Elsewhere),
    f("spl_Type", &["Type"], Picklist(List::SupportType), &[Rn, Fu, St], Elsewhere),
    core("con_Consent", &["Consent"], Checkbox, &[Loc], Local),
    // a.12 Ours: what a profile needs and the standard has no field for.
    f("xpr_Alias", &["Alias"], Texts, &[Vp], Part(Identity)),
    f("xpr_NameOriginalScript", &["Name in Original Script"], Text, &[Vp], Part(Identity)),
    f("xpr_Transliteration", &["Transliteration"], Text, &[Vp], Part(Identity)),
    f("xpr_AgeBand", &["Age Band"], Picklist(List::AgeBand), &[Rn, Vp], Part(Identity)),
    f("xpr_AgeStatus", &["Age Status"], Picklist(List::AgeStatus), &[Rn, Vp], Part(Identity)),
    f("xpr_AgeBasis", &["Age Basis"], Picklist(List::AgeBasis), &[Rn, Vp], Part(Identity)),
    f("xpr_Stateless", &["Stateless"], Checkbox, &[Rn, Vp], Part(Identity)),
    f("xsc_Channel", &["Safe Channel"], Multi(List::SafeChannel), &[Vp, Fu], Part(Contact)),
    f("xsc_SafeTimes", &["Safe Times"], Text, &[Vp, Fu], Part(Contact)),
    f("xsc_CodeWord", &["Code Word"], Text, &[Vp, Fu], Part(Contact)),
    f("xsc_MayLeaveMessage", &["May Leave Message"], Checkbox, &[Vp, Fu], Part(Contact)),
    f("xsc_CallerMayNameNGO", &["Caller May Name NGO"], Checkbox, &[Vp, Fu], Part(Contact)),
    f("xrk_Level", &["Risk Level"], Picklist(List::RiskLevel), &[Rn, Ra], Part(Risk)),
    f("xrk_Source", &["Risk Source"], Multi(List::RiskSource), &[Ra], Part(Risk)),
    f("xrk_HomeSafe", &["Home Safe"], Picklist(List::YesNoUnknown), &[Ra], Part(Risk)),
    f("xrk_AssessedBy", &["Risk Assessed By"], Text, &[Ra], Part(Risk)),
    f("xrk_ValidUntil", &["Risk Assessment Valid Until"], Date(Any), &[Ra], Part(Risk)),
    f("xrn_Services", &["Services Wanted"], Multi(List::Service), &[Rn, Vp], Part(Needs)),
    f("xnd_Interpreter", &["Interpreter Needed"], Checkbox, &[Vp], Part(Needs)),
    f("xhs_Summary", &["Health Summary"], LongText, &[Vp], Part(Health)),
    f("xdc_Documents", &["Documents Held"], Texts, &[Vp], Part(Documents)),
    f("xfm_MayBeTold", &["Family May Be Told"], LongText, &[Vp], Part(Family)),
    f("xch_Guardian", &["Guardian"], Text, &[Rn, Vp], Part(Family)),
    f("xch_GuardianStatus", &["Guardian Status"], Picklist(List::GuardianStatus), &[Rn, Vp], Part(Family)),
    f("xch_BestInterests", &["Best Interests"], Picklist(List::BestInterests), &[Rn, Vp], Part(Family)),
    f("xch_FamilyAssessment", &["Family Assessment"], Picklist(List::FamilyAssessment), &[Vp], Part(Family)),
    f("xch_HandOverTo", &["Hand Over To"], Text, &[Vp], Part(Family)),
    f("xch_LegalNotification", &["Legal Notification"], LongText, &[Vp], Part(Family)),
];
