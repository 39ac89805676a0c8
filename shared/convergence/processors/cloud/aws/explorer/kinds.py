"""What AWS's kinds of charges (dimension RECORD_TYPE) and services are in FOCUS.

Cost Explorer spells a kind as in reports (`SavingsPlanCoveredUsage`) or as in its console (`Savings Plan Covered
Usage`): spaces and capitals are ignored. Sources: AWS Cost Management user guide, "Filtering the data" (charge types);
Cost and Usage Report, line item details (lineItem/LineItemType). A kind that is not listed has no category here.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple


class Kind(NamedTuple):
    """FOCUS's ChargeCategory, ChargeFrequency and PricingCategory; None if the kind does not determine it."""

    category: str | None
    frequency: str | None = None
    pricing: str | None = None


_UNKNOWN: Final = Kind(None)
_KINDS: Final = {
    "usage": Kind("Usage"),
    "discountedusage": Kind("Usage", pricing="Committed"),
    "reservationappliedusage": Kind("Usage", pricing="Committed"),
    "savingsplancoveredusage": Kind("Usage", pricing="Committed"),
    "tax": Kind("Tax"),
    "credit": Kind("Credit"),
    "refund": Kind("Credit"),
    "fee": Kind("Purchase"),
    "upfrontreservationfee": Kind("Purchase"),
    "savingsplanupfrontfee": Kind("Purchase"),
    "rifee": Kind("Purchase", "Recurring"),
    "recurringreservationfee": Kind("Purchase", "Recurring"),
    "savingsplanrecurringfee": Kind("Purchase", "Recurring"),
    "subscription": Kind("Purchase", "Recurring"),
    "supportfee": Kind("Purchase", "Recurring"),
    "savingsplannegation": Kind("Adjustment"),
    "bundleddiscount": Kind("Adjustment"),
    "enterprisediscountprogramdiscount": Kind("Adjustment"),
    "edpdiscount": Kind("Adjustment"),
    "privateratediscount": Kind("Adjustment"),
    "spprivateratediscount": Kind("Adjustment"),
    "riprivateratediscount": Kind("Adjustment"),
}
# Names of the dimension SERVICE; others are Other. Categories: FOCUS 1.3, ServiceCategory.
_SERVICES: Final = {
    "Compute": (
        "Amazon Elastic Compute Cloud - Compute", "EC2 - Other", "AWS Lambda", "Amazon Elastic Container Service",
        "Amazon Elastic Container Service for Kubernetes", "Amazon Lightsail",
    ),
    "Storage": (
        "Amazon Simple Storage Service", "Amazon Glacier", "Amazon S3 Glacier Deep Archive",
        "Amazon Elastic File System", "AWS Backup", "Amazon FSx",
    ),
    "Databases": (
        "Amazon Relational Database Service", "Amazon DynamoDB", "Amazon ElastiCache", "Amazon Neptune",
        "Amazon DocumentDB (with MongoDB compatibility)",
    ),
    "Analytics": (
        "Amazon Redshift", "Amazon Athena", "AWS Glue", "Amazon Elastic MapReduce", "Amazon Kinesis",
        "Amazon OpenSearch Service", "Amazon QuickSight",
    ),
    "AI and Machine Learning": ("Amazon Bedrock", "Amazon SageMaker", "Amazon Rekognition", "Amazon Textract"),
    "Integration": (
        "Amazon Simple Queue Service", "Amazon Simple Notification Service", "CloudWatch Events", "Amazon API Gateway",
        "AWS Step Functions", "Amazon EventBridge",
    ),
    "Networking": (
        "Amazon Virtual Private Cloud", "Amazon CloudFront", "Amazon Route 53", "Elastic Load Balancing",
        "AWS Direct Connect", "AWS Global Accelerator",
    ),
    "Management and Governance": ("AmazonCloudWatch", "AWS CloudTrail", "AWS Config", "AWS Systems Manager"),
    "Security": (
        "AWS Key Management Service", "AWS Secrets Manager", "Amazon GuardDuty", "AWS WAF", "AWS Security Hub",
        "Amazon Inspector",
    ),
}  # fmt: skip
_CATEGORIES: Final = {name: category for category, names in _SERVICES.items() for name in names}
# AWS Marketplace sells other companies' models on Bedrock, each as a service: "Claude (Amazon Bedrock Edition)".
_BEDROCK_EDITION: Final = " (Amazon Bedrock Edition)"


def kind_of(record_type: str) -> Kind:
    """Return the categories of a kind of charges; an unknown one has none."""
    return _KINDS.get(re.sub(r"[^a-z]", "", record_type.lower()), _UNKNOWN)


def category_of(service: str) -> str | None:
    """Return the ServiceCategory of a service, None for one that is not listed."""
    return _CATEGORIES["Amazon Bedrock"] if service.endswith(_BEDROCK_EDITION) else _CATEGORIES.get(service)
