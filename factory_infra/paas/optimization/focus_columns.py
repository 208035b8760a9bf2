"""FOCUS 1.2 (FinOps Open Cost and Usage Specification, FinOps Foundation, May 2025), written down as a table of its columns.

What is here is what the specification says of a column: its level, its type, whether it may be empty, and its allowed values.
"""

from typing import Literal, NamedTuple

VERSION = "1.2"
Level = Literal["mandatory", "conditional", "recommended"]
Type = Literal["string", "decimal", "datetime", "json"]


class Column(NamedTuple):
    """One column of the specification."""

    name: str
    level: Level
    type: Type
    nulls: bool
    allowed: frozenset[str] = frozenset()
    """Empty where any value of the type will do."""


def _c(name: str, level: Level, kind: Type = "string", *, nulls: bool = True, allowed: tuple[str, ...] = ()) -> Column:
    return Column(name, level, kind, nulls, frozenset(allowed))


SUBCATEGORIES: dict[str, tuple[str, ...]] = {
    "AI and Machine Learning": (
        "AI Platforms",
        "Bots",
        "Generative AI",
        "Machine Learning",
        "Natural Language Processing",
        "Other (AI and Machine Learning)",
    ),
    "Analytics": ("Analytics Platforms", "Business Intelligence", "Data Processing", "Search", "Streaming Analytics", "Other (Analytics)"),
    "Business Applications": ("Productivity and Collaboration", "Other (Business Applications)"),
    "Compute": ("Containers", "End User Computing", "Quantum Compute", "Serverless Compute", "Virtual Machines", "Other (Compute)"),
    "Databases": (
        "Caching",
        "Data Warehouses",
        "Ledger Databases",
        "NoSQL Databases",
        "Relational Databases",
        "Time Series Databases",
        "Other (Databases)",
    ),
    "Developer Tools": (
        "Developer Platforms",
        "Continuous Integration and Deployment",
        "Development Environments",
        "Source Code Management",
        "Quality Assurance",
        "Other (Developer Tools)",
    ),
    "Identity": ("Identity and Access Management", "Other (Identity)"),
    "Integration": ("API Management", "Messaging", "Workflow Orchestration", "Other (Integration)"),
    "Internet of Things": ("IoT Analytics", "IoT Platforms", "Other (Internet of Things)"),
    "Management and Governance": (
        "Architecture",
        "Compliance",
        "Cost Management",
        "Data Governance",
        "Disaster Recovery",
        "Endpoint Management",
        "Observability",
        "Support",
        "Other (Management and Governance)",
    ),
    "Media": ("Content Creation", "Gaming", "Media Streaming", "Mixed Reality", "Other (Media)"),
    "Migration": ("Data Migration", "Resource Migration", "Other (Migration)"),
    "Mobile": ("Other (Mobile)",),
    "Multicloud": ("Multicloud Integration", "Other (Multicloud)"),
    "Networking": (
        "Application Networking",
        "Content Delivery",
        "Network Connectivity",
        "Network Infrastructure",
        "Network Routing",
        "Network Security",
        "Other (Networking)",
    ),
    "Security": ("Secret Management", "Security Posture Management", "Threat Detection and Response", "Other (Security)"),
    "Storage": ("Backup Storage", "Block Storage", "File Storage", "Object Storage", "Storage Platforms", "Other (Storage)"),
    "Web": ("Application Platforms", "Other (Web)"),
    "Other": ("Other (Other)",),
}
"""Each subcategory belongs to one category."""

COLUMNS: tuple[Column, ...] = (
    _c("AvailabilityZone", "recommended"),
    _c("BilledCost", "mandatory", "decimal", nulls=False),
    _c("BillingAccountId", "mandatory", nulls=False),
    _c("BillingAccountName", "mandatory"),
    _c("BillingAccountType", "conditional"),
    _c("BillingCurrency", "mandatory", nulls=False),
    _c("BillingPeriodEnd", "mandatory", "datetime", nulls=False),
    _c("BillingPeriodStart", "mandatory", "datetime", nulls=False),
    _c("CapacityReservationId", "conditional"),
    _c("CapacityReservationStatus", "conditional", allowed=("Used", "Unused")),
    _c("ChargeCategory", "mandatory", nulls=False, allowed=("Usage", "Purchase", "Tax", "Credit", "Adjustment")),
    _c("ChargeClass", "mandatory", allowed=("Correction",)),
    _c("ChargeDescription", "mandatory"),
    _c("ChargeFrequency", "recommended", nulls=False, allowed=("One-Time", "Recurring", "Usage-Based")),
    _c("ChargePeriodEnd", "mandatory", "datetime", nulls=False),
    _c("ChargePeriodStart", "mandatory", "datetime", nulls=False),
    _c("CommitmentDiscountCategory", "conditional", allowed=("Spend", "Usage")),
    _c("CommitmentDiscountId", "conditional"),
    _c("CommitmentDiscountName", "conditional"),
    _c("CommitmentDiscountQuantity", "conditional", "decimal"),
    _c("CommitmentDiscountStatus", "conditional", allowed=("Used", "Unused")),
    _c("CommitmentDiscountType", "conditional"),
    _c("CommitmentDiscountUnit", "conditional"),
    _c("ConsumedQuantity", "conditional", "decimal"),
    _c("ConsumedUnit", "conditional"),
    _c("ContractedCost", "mandatory", "decimal", nulls=False),
    _c("ContractedUnitPrice", "conditional", "decimal"),
    _c("EffectiveCost", "mandatory", "decimal", nulls=False),
    _c("InvoiceId", "recommended"),
    _c("InvoiceIssuerName", "mandatory", nulls=False),
    _c("ListCost", "mandatory", "decimal", nulls=False),
    _c("ListUnitPrice", "conditional", "decimal"),
    _c("PricingCategory", "conditional", allowed=("Standard", "Dynamic", "Committed", "Other")),
    _c("PricingCurrency", "conditional"),
    _c("PricingCurrencyContractedUnitPrice", "conditional", "decimal"),
    _c("PricingCurrencyEffectiveCost", "conditional", "decimal"),
    _c("PricingCurrencyListUnitPrice", "conditional", "decimal"),
    _c("PricingQuantity", "mandatory", "decimal"),
    _c("PricingUnit", "mandatory"),
    _c("ProviderName", "mandatory", nulls=False),
    _c("PublisherName", "mandatory", nulls=False),
    _c("RegionId", "conditional"),
    _c("RegionName", "conditional"),
    _c("ResourceId", "conditional"),
    _c("ResourceName", "conditional"),
    _c("ResourceType", "conditional"),
    _c("ServiceCategory", "mandatory", nulls=False, allowed=tuple(SUBCATEGORIES)),
    _c("ServiceName", "mandatory", nulls=False),
    _c("ServiceSubcategory", "recommended", nulls=False, allowed=tuple(each for group in SUBCATEGORIES.values() for each in group)),
    _c("SkuId", "conditional"),
    _c("SkuMeter", "conditional"),
    _c("SkuPriceDetails", "conditional", "json"),
    _c("SkuPriceId", "conditional"),
    _c("SubAccountId", "conditional"),
    _c("SubAccountName", "conditional"),
    _c("SubAccountType", "conditional"),
    _c("Tags", "conditional", "json"),
)
BY_NAME = {column.name: column for column in COLUMNS}
MANDATORY = frozenset(column.name for column in COLUMNS if column.level == "mandatory")
