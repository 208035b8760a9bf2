"""SageMaker Feature Store: feature groups and their online records. Of two records of one entity the later event stays."""

from dataclasses import dataclass, field

from tests.emulators.aws.world import Answer, Json, Request, World


@dataclass
class Groups:
    """One account's feature groups."""

    groups: dict[str, Json] = field(default_factory=dict)
    records: dict[tuple[str, str], Json] = field(default_factory=dict)
    looks_before_created: int = 1
    """For so many looks a new group is still being made."""


def plug(world: World) -> None:
    """Put the service into a fresh world."""
    world.extra["feature_store"] = Groups()
    world.handlers["sagemaker", "CreateFeatureGroup"] = create
    world.handlers["sagemaker", "DescribeFeatureGroup"] = describe
    world.handlers["sagemaker", "DeleteFeatureGroup"] = delete
    world.handlers["sagemaker", "POST /BatchGetRecord"] = batch_get


def of(world: World) -> Groups:
    """The world's groups."""
    found: Groups = world.extra["feature_store"]
    return found


def missing(name: str) -> Answer:
    return Answer(f"Resource Not Found: Feature Group {name} does not exist.", 400, code="ResourceNotFound")


def create(world: World, request: Request) -> Answer:
    asked = request.json()
    name = asked["FeatureGroupName"]
    if name in of(world).groups:
        return Answer(f"Resource Already Exists: FeatureGroup with name {name} already exists.", 400, code="ResourceInUse")
    known = {each["FeatureName"] for each in asked["FeatureDefinitions"]}
    if not {asked["RecordIdentifierFeatureName"], asked["EventTimeFeatureName"]} <= known or len(name) > 64:
        return Answer("The identifier and the event time must be among the features.", 400, code="ValidationException")
    of(world).groups[name] = {**asked, "looks": of(world).looks_before_created}
    world.handlers["sagemaker", f"PUT /FeatureGroup/{name}"] = lambda w, r: put(w, name, r)
    return Answer({"FeatureGroupArn": f"arn:aws:sagemaker:{request.region}:{world.account}:feature-group/{name}"})


def describe(world: World, request: Request) -> Answer:
    name = request.json()["FeatureGroupName"]
    group = of(world).groups.get(name)
    if group is None:
        return missing(name)
    group["looks"] -= 1
    told = {key: group[key] for key in ("FeatureGroupName", "RecordIdentifierFeatureName", "EventTimeFeatureName", "FeatureDefinitions")}
    arn = f"arn:aws:sagemaker:{request.region}:{world.account}:feature-group/{name}"
    return Answer(
        {**told, "FeatureGroupArn": arn, "CreationTime": 0, "FeatureGroupStatus": "Creating" if group["looks"] >= 0 else "Created"}
    )


def delete(world: World, request: Request) -> Answer:
    name = request.json()["FeatureGroupName"]
    if of(world).groups.pop(name, None) is None:
        return missing(name)
    del world.handlers["sagemaker", f"PUT /FeatureGroup/{name}"]
    of(world).records = {key: record for key, record in of(world).records.items() if key[0] != name}
    return Answer({})


def put(world: World, name: str, request: Request) -> Answer:
    """Keep a record unless a later event of its entity is kept, as the service documents it."""
    group = of(world).groups[name]
    fields = {each["FeatureName"]: each["ValueAsString"] for each in request.json()["Record"]}
    kinds = {each["FeatureName"]: each["FeatureType"] for each in group["FeatureDefinitions"]}
    strangers = sorted(set(fields) - set(kinds))
    if strangers:
        return Answer(f"Validation Error: {strangers[0]} is no feature.", 400, code="ValidationError")
    for key, value in fields.items():
        if kinds[key] == "Integral":
            int(value)
        elif kinds[key] == "Fractional":
            float(value)
    identifier, at = fields[group["RecordIdentifierFeatureName"]], float(fields[group["EventTimeFeatureName"]])
    known = of(world).records.get((name, identifier))
    if known is None or known["at"] <= at:
        of(world).records[name, identifier] = {"at": at, "record": request.json()["Record"]}
    return Answer({})


def batch_get(world: World, request: Request) -> Answer:
    found = []
    for asked in request.json()["Identifiers"]:
        name = asked["FeatureGroupName"]
        if name not in of(world).groups:
            return missing(name)
        if len(asked["RecordIdentifiersValueAsString"]) > 100:
            return Answer("At most 100 records.", 400, code="ValidationError")
        for text in asked["RecordIdentifiersValueAsString"]:
            kept = of(world).records.get((name, text))
            if kept is not None:
                found.append({"FeatureGroupName": name, "RecordIdentifierValueAsString": text, "Record": kept["record"]})
    return Answer({"Records": found, "Errors": [], "UnprocessedIdentifiers": []})
