//! The picklists of HTCDS v2.0 (International Organization for Migration, CC BY 4.0), codes as published.
//!
//! Aliases are the standard's own second spellings: its definitions name some codes otherwise than its picklists do
//! (domain.md 1.1, traps 1, 2, 3 and 9). Refuses to correct a published code: a right spelling is an alias.

use super::{Code, also, code, own_as};

/// org_Type.
pub(super) const ORGANISATION_TYPE: &[Code] = &[
    code("NGO", "NGO"),
    code("LawEnforcement", "Law Enforcement"),
    code("HealthServiceOrganisation", "Health Service Organisation"),
    code("CentralGovernmentOrganisation", "Central Government Organisation"),
    code("LocalGovernmentOrganisation", "Local Government Organisation"),
    code("ImmigrationService", "Immigration Service"),
    code("LegalService", "Legal Service"),
    code("CorporateBusiness", "Corporate Business"),
    code("SchoolOrCollege", "School or College"),
];

/// prs_Gender.
pub(super) const GENDER: &[Code] = &[
    code("Feminine", "Feminine"),
    code("Masculine", "Masculine"),
    code("TransgenderFeminine", "Transgender Feminine"),
    code("TransgenderMasculine", "Transgender Masculine"),
    also("NonConforming", "Non-Conforming", &["Non conforming"]),
    also("NonSpecifiedUnknown", "Not Specified/Unknown", &["Not Specified / Unknown"]),
];

/// prs_MaritalStatus.
pub(super) const MARITAL_STATUS: &[Code] = &[
    code("Single", "Single"),
    code("Married", "Married"),
    code("Widowed", "Widowed"),
    code("Divorced", "Divorced"),
    code("Separated", "Separated"),
    code("RegisteredPartnership", "Registered Partnership"),
];

/// prs_HighestLevelOfEducation.
pub(super) const EDUCATION: &[Code] = &[
    code("EarlyChildhoodEducation", "Early Childhood Education"),
    code("PrimaryEducation", "Primary Education"),
    code("LowerSecondaryEducation", "Lower Secondary Education"),
    code("UpperSecondaryEducation", "Upper Secondary Education"),
    code("PostSecondaryNonTertiaryEducation", "Post-secondary Non-tertiary Education"),
    code("ShortCycleTertiaryEducation", "Short-cycle Tertiary Education"),
    code("BachelorsOrEquivalentLevel", "Bachelor's or Equivalent Level"),
    code("MastersOrEquivalentLevel", "Master's or Equivalent Level"),
    code("DoctoralOrEquivalentLevel", "Doctoral or Equivalent Level"),
];

/// vic_TraffickingStatus.
pub(super) const TRAFFICKING_STATUS: &[Code] = &[
    code("PossibleVictimOfTrafficking", "Possible victim of trafficking"),
    code("ActualVictimOfTrafficking", "Actual victim of trafficking"),
    code("NotAVictimOfTrafficking", "Not a victim of trafficking"),
];

/// vic_TraffickingStatusDecisionMakingOrg.
pub(super) const STATUS_DECIDED_BY: &[Code] = &[
    code("Police", "Police"),
    code("NGO", "NGO"),
    code("CourtOrProsecution", "Court or prosecution"),
    code("NonPoliceGovernmentalOrganization", "Non-police governmental organization"),
    code("Other", "Other"),
];

/// vic_RelationshipToTrafficker.
pub(super) const RELATIONSHIP_TO_TRAFFICKER: &[Code] = &[
    code("Familial", "Familial"),
    code("Acquainted", "Acquainted"),
    also("Unaquainted", "Unaquainted", &["Unacquainted"]),
];

/// vic_RecruitmentWebsitesAndApps.
pub(super) const WEBSITES_AND_APPS: &[Code] = &[
    code("Facebook", "Facebook"),
    code("Instagram", "Instagram"),
    code("WhatsApp", "WhatsApp"),
    code("Telegram", "Telegram"),
    code("FacebookMessenger", "Facebook Messenger"),
    code("Viber", "Viber"),
    code("SnapChat", "SnapChat"),
    code("Line", "Line"),
    code("4Sale", "4Sale"),
    code("WeChat", "WeChat"),
    code("QQ", "QQ"),
    code("QZone", "QZone"),
    code("TikTok", "TikTok"),
    code("Twitter", "Twitter"),
    code("Other", "Other"),
];

/// vic_MethodOfRecruitment.
pub(super) const METHOD_OF_RECRUITMENT: &[Code] = &[
    code("AtAPlaceOfBusiness", "At a place of business"),
    code("AtAnEducationalInstitution", "At an educational institution"),
    code("AtWork", "At work"),
    code("ThroughOnlineSocialNetworks", "Through online social networks"),
    code("ThroughAnOnlineAdvertisement", "Through an online advertisement"),
    code("ThroughATelevisionAdvert", "Through a television advert"),
    code("ThroughANewspaperAdvert", "Through a newspaper advert"),
    code("ThroughFamilyOrFamilyEvents", "Through family or family events"),
    code("ThroughFriendsOrSocialEvents", "Through friends or social events"),
    code("Other", "Other"),
];

/// vic_MethodsOfControl.
pub(super) const METHODS_OF_CONTROL: &[Code] = &[
    also("PhysicalThreats", "Physical threats", &["Threats"]),
    also(
        "ThreatsLawEnforcement",
        "Threats of law enforcement",
        &["ThreatOfLawEnforcement", "Threat of law enforcement"],
    ),
    code("ThreatensChildrenFamily", "Threatens children/family"),
    code("DebtBondage", "Debt bondage"),
    code("FalsePromises", "False promises"),
    code("PhysicalAbuse", "Physical abuse"),
    code("SexualAbuse", "Sexual abuse"),
    code("TakesEarnings", "Takes earnings"),
    code("RestrictsFinancialAccess", "Restricts financial access"),
    code("RestrictsMedicalCare", "Restricts medical care"),
    code("WithholdsNecessities", "Withholds necessities"),
    code("PsychologicalAbuse", "Psychological abuse"),
    also("PsychoactiveSubstance", "Psychoactive substance", &["PsychoactiveSubstances", "Psychoactive substances"]),
    code("ExcessiveWorkingHours", "Excessive working hours"),
    code("WithholdsDocuments", "Withholds documents"),
    code("Other", "Other"),
    own_as("x_RestrictsMovement", "Restricts movement", &["RestrictsMovement"], "Other"),
    own_as("x_UsesChildren", "Uses children", &["UsesChildren"], "Other"),
];

/// vic_TypeOfExploitation.
pub(super) const TYPE_OF_EXPLOITATION: &[Code] = &[
    code("ForcedLabour", "Forced labour"),
    code("SexualExploitation", "Sexual exploitation"),
    code("ChildLabour", "Child labour"),
    code("ForcedMarriage", "Forced marriage"),
    code("Servitude", "Servitude"),
    code("ForcedMilitaryByNonStateActors", "Forced military (by non-state actors)"),
    code("OrganRemoval", "Organ removal"),
    code("ForcedBegging", "Forced begging"),
    code("ForcedAdoption", "Forced adoption"),
    code("Surrogacy", "Surrogacy"),
    code("Other", "Other"),
    own_as(
        "x_ForcedCriminality",
        "Forced criminality",
        &["ForcedCriminality", "Illicit activities", "IllicitActivities"],
        "Other",
    ),
];

/// vic_ForcedLabourIndustry.
pub(super) const FORCED_LABOUR_INDUSTRY: &[Code] = &[
    code("A_AgricultureForestryAndFishing", "Agriculture, forestry and fishing"),
    code("B_MiningAndQuarrying", "Mining and quarrying"),
    code("C_Manufacturing", "Manufacturing"),
    code("D_ElectricityGasSteamAndAirConditioningSupply", "Electricity, gas, steam and air conditioning supply"),
    code("E_WaterSupplySewerageWasteManagement", "Water supply; sewerage, waste management and remediation"),
    code("F_Construction", "Construction"),
    code(
        "G_WholesaleAndRetailTradeRepairOfMotorVehicles",
        "Wholesale and retail trade; repair of motor vehicles and motorcycles",
    ),
    code("H_TransportationAndStorage", "Transportation and storage"),
    code("I_AccommodationAndFoodServiceActivities", "Accommodation and food service activities"),
    code("J_InformationAndCommunication", "Information and communication"),
    code("K_FinancialAndInsuranceActivities", "Financial and insurance activities"),
    code("L_RealEstateActivities", "Real estate activities"),
    code("M_ProfessionalScientificAndTechnicalActivities", "Professional, scientific and technical activities"),
    code("N_AdministrativeAndSupportServiceActivities", "Administrative and support service activities"),
    code("O_PublicAdministrationAndDefence", "Public administration and defence; compulsory social security"),
    code("P_Education", "Education"),
    code("Q_HumanHealthAndSocialWorkActivities", "Human health and social work activities"),
    code("R_ArtsEntertainmentAndRecreation", "Arts, entertainment and recreation"),
    code("S_OtherServiceActivities", "Other service activities"),
    code(
        "T_ActivitiesOfHouseholdsAsEmployers",
        "Activities of households as employers; undifferentiated goods- and services- producing activities of households for own use",
    ),
    code("U_ActivitiesOfExtraterritorialOrganizations", "Activities of extraterritorial organizations and bodies"),
];

/// vic_TypeOfSexExploitation.
pub(super) const TYPE_OF_SEX_EXPLOITATION: &[Code] = &[
    code("Prostitution", "Prostitution"),
    code("Pornography", "Pornography"),
    code("RemoteInteractiveServices", "Remote Interactive Services"),
    code("PrivateSexualServices", "Private Sexual Services"),
];

/// vic_Vulnerabilities.
pub(super) const VULNERABILITIES: &[Code] = &[
    code("Addiction", "Addiction"),
    code("SocialGroup", "Social Group"),
    code("Discrimination", "Discrimination"),
    code("Poverty", "Poverty"),
    code("DisabilityAndPhysicalHealth", "Disability and physical health"),
    code("MentalHealth", "Mental health"),
    code("Migration", "Migration"),
    code("Homelessness", "Homelessness"),
    code("AbuseSocialMedia", "Abuse - social media"),
    code("AbusePhysical", "Abuse - physical"),
    code("Education", "Education"),
    code("WorkEnvironment", "Work environment"),
];

/// per_RoleInProcess.
pub(super) const ROLE_IN_PROCESS: &[Code] = &[
    code("TravellingPartner", "Travelling Partner"),
    code("Transporter", "Transporter"),
    code("RecruiterOrIntermediary", "Recruiter Or Intermediary"),
    code("BrokerTravelAgent", "Broker Travel Agent"),
    code("TransferredIndividual", "Transferred Individual"),
    code("HarbouredIndividual", "Harboured Individual"),
    code("SoldIndividual", "Sold Individual"),
    code("BoughtIndividual", "Bought Individual"),
    code("ReceivedIndividual", "Received Individual"),
    code("ControlledIndividual", "Controlled Individual"),
    code("Smuggler", "Smuggler"),
    code("Abuser", "Abuser"),
    code("Kidnapper", "Kidnapper"),
    code("Exploiter", "Exploiter"),
    code("Other", "Other"),
];

/// cas_Status.
pub(super) const CASE_STATUS: &[Code] = &[
    code("Active", "Active"),
    code("FollowUp", "Follow Up"),
    code("Closed", "Closed"),
    code("ClosedReferred", "Closed Referred"),
];

/// cas_ReasonForIncomingReferral.
pub(super) const REFERRAL_REASON: &[Code] = &[
    code("AdditionalServicesRequired", "Additional Services Required"),
    code("MigrationOrChangeOfLocation", "Migration or Change of Location"),
    code("Other", "Other"),
];

/// hte_Type.
pub(super) const EVENT_TYPE: &[Code] =
    &[code("Recruitment", "Recruitment"), code("Transit", "Transit"), code("Exploitation", "Exploitation")];

/// spl_Type.
pub(super) const SUPPORT_TYPE: &[Code] = &[
    code("Education", "Education"),
    code("Financial", "Financial"),
    code("Health", "Health"),
    code("LabourExploitationRehabilitation", "Labour Exploitation Rehabilitation"),
    code("Legal", "Legal"),
    code("Livelihood", "Livelihood"),
    code("RightsBasedTraining", "Rights-based Training"),
    code("SexualExploitationRehabilitation", "Sexual Exploitation Rehabilitation"),
    code("SocialCare", "Social Care"),
];
