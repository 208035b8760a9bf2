"""Fleets of EC2: a launch template that is the record and the fence, and one CreateFleet an effect."""

from collections.abc import Sequence

from factory_infra.errors import CapacityExceeded, Conflict, InvalidInput, LineshaftError, NotFound, Unavailable
from factory_infra.foundation.clusters.models import Cluster, ClusterSpec, Machine
from factory_infra.foundation.clusters.naming import cluster_id, form_of
from factory_infra.foundation.clusters.providers.aws_answers import Fleet, MachineType, Template
from factory_infra.foundation.clusters.providers.aws_ending import Ending
from factory_infra.foundation.clusters.providers.aws_look import Looking, Seen, unknown
from factory_infra.foundation.clusters.providers.aws_names import as_list, name_of, tags_of, token
from factory_infra.foundation.clusters.providers.aws_template import template_data
from factory_infra.foundation.pools.aws import Answer, AwsAccess
from factory_infra.foundation.pools.aws_errors import of_client_error, settled

CLASSES = {"on_demand": "on-demand", "reserved": "on-demand", "spot": "spot", "capacity_block": "capacity-block"}
PROVISION = "provision"
TAG_CHARACTERS_MAX = 256


class FleetForm:
    """The fleet form. What was asked for stands in the launch template's tags; each launch has a token of its own, made from the
    template's id and the effect's key: whoever asks again, after whatever was lost, gets the first answer again.
    """

    def __init__(self, access: AwsAccess) -> None:
        self._access = access
        self._pool = access.pool
        self._looking = Looking(access)
        self._ending = Ending(access, self._looking)
        self._types: dict[str, MachineType] = {}

    async def provision(self, wanted: ClusterSpec) -> Cluster:
        """See Clusters.provision."""
        seen = await self._looking.at(cluster_id(wanted.key, wanted.form))
        seen.refuse_others(wanted.tenant)
        if seen.template is not None and (len(seen.alive) >= wanted.count or seen.tag("wanted") != str(wanted.count)):
            return seen.told()
        machine = await self._checked(wanted)
        template = seen.template or await self._record(wanted, machine)
        fleet = await self._launch(template, PROVISION, wanted.count)
        if len(fleet.ids) < (wanted.count_min or wanted.count):
            await self._ending.end(seen.cluster, wanted.tenant)
            raise shortage(self._pool.name, fleet, wanted.count)
        return await self._granted(seen.cluster, fleet, template)

    async def get(self, cluster: str, tenant: str) -> Cluster:
        """See Clusters.get."""
        return (await self._found(cluster, tenant)).told()

    async def list(self) -> list[Cluster]:
        """Every cluster of this form, and machines with our tag that belong to none."""
        return [seen.told() for seen in await self._looking.at_all() if form_of(seen.cluster) in {"fleet", None}]

    async def scale(self, cluster: str, tenant: str, count: int, key: str) -> Cluster:
        """See Clusters.scale."""
        seen = await self._standing(cluster, tenant)
        effect = token("scale", str(count), key or ",".join(each.instance_id for each in seen.alive))[:24]
        if len(seen.alive) > count:
            await self._ending.end_machines([each.instance_id for each in seen.alive[count:]])
        elif len(seen.alive) < count:
            await self._grow(seen, effect, count - len(seen.alive) + len(seen.of(effect)))
        await self._want(seen, count)
        return (await self._looking.at(cluster)).told()

    async def replace(self, cluster: str, tenant: str, machine_id: str, key: str) -> Cluster:
        """See MachineReplacement.replace."""
        seen = await self._relieved(cluster, tenant, machine_id, key)
        if any(each.alive and each.instance_id == machine_id for each in seen.instances):
            await self._ending.end_machines([machine_id])
        return (await self._looking.at(cluster)).told()

    async def relieve(self, cluster: str, tenant: str, machine_id: str, key: str) -> Cluster:
        """See MachineReplacement.replace, without `ending`."""
        await self._relieved(cluster, tenant, machine_id, key)
        return (await self._looking.at(cluster)).told()

    async def _relieved(self, cluster: str, tenant: str, machine_id: str, key: str) -> Seen:
        """Launch the other one, unless it was."""
        seen = await self._standing(cluster, tenant)
        effect = token("replace", machine_id, key)[:24]
        old = [each for each in seen.instances if each.instance_id == machine_id]
        if not old and not seen.of(effect):
            raise NotFound(f"Cluster {cluster} has no machine {machine_id}.", code="machine_gone", remedy="Look at the cluster again.")
        if not seen.of(effect):
            await self._grow(seen, effect, 1)
        return seen

    async def release(self, cluster: str, tenant: str) -> Cluster:
        """See Clusters.release."""
        return await self._ending.end(cluster, tenant)

    async def _found(self, cluster: str, tenant: str) -> Seen:
        seen = await self._looking.at(cluster)
        if not seen.anything:
            raise unknown(cluster)
        seen.refuse_others(tenant)
        return seen

    async def _standing(self, cluster: str, tenant: str) -> Seen:
        seen = await self._found(cluster, tenant)
        if seen.template is None:
            raise Conflict(f"Cluster {cluster} is being released.", code="cluster_released", remedy="Ask for a new one with another key.")
        if len(seen.alive) >= int(seen.tag("wanted") or 0):
            return seen
        # Fewer than it wants: some may be too new to be shown, and must not be made twice.
        async for again in self._looking.watch(cluster, self._pool.settle_seconds, self.step_seconds):
            seen = again
            if len(seen.alive) >= int(seen.tag("wanted") or 0):
                break
        return seen

    async def _checked(self, wanted: ClusterSpec) -> MachineType:
        """What is known of the machine. Raises InvalidInput for one that is not offered here, and for what cannot go together."""
        names = types_of(wanted)
        allowed = self._pool.instance_types
        strangers = [name for name in names if allowed and name not in allowed]
        if strangers:
            raise InvalidInput(
                f"Pool '{self._pool.name}' does not allow {', '.join(strangers)}.",
                code="not_offered",
                remedy=f"It allows {', '.join(allowed)}.",
            )
        if wanted.price_class == "capacity_block" and not wanted.reservation_id:
            raise InvalidInput("A capacity block is named by its reservation.", code="reservation_missing", remedy="Name reservation_id.")
        missing = [name for name in names if name not in self._types]
        if missing:
            for told in await self._access.read_all("ec2", "describe_instance_types", "InstanceTypes", InstanceTypes=missing):
                known = MachineType.model_validate(told)
                self._types[known.instance_type] = known
        return self._types[wanted.machine]

    async def _record(self, wanted: ClusterSpec, machine: MachineType) -> Template:
        """Make the placement group and the template; one that is there already is taken as it is."""
        name, tags = name_of(cluster_id(wanted.key, wanted.form)), tags_of(self._pool, wanted)
        if wanted.topology == "rack":
            spec = [{"ResourceType": "placement-group", "Tags": as_list(tags)}]
            await settled(self._access.change("ec2", "create_placement_group", GroupName=name, Strategy="cluster", TagSpecifications=spec))
        record = {
            "lineshaft:wanted": str(wanted.count),
            "lineshaft:types": ",".join(types_of(wanted)),
            "lineshaft:class": wanted.price_class,
            "lineshaft:topology": wanted.topology,
        }
        answer = await settled(
            self._access.change(
                "ec2",
                "create_launch_template",
                LaunchTemplateName=name,
                LaunchTemplateData=template_data(self._pool, wanted, machine),
                TagSpecifications=[{"ResourceType": "launch-template", "Tags": as_list(tags | record)}],
            )
        )
        if answer is not None:
            return Template.model_validate(answer["LaunchTemplate"])
        return await self._shown(cluster_id(wanted.key, wanted.form))

    async def _shown(self, cluster: str) -> Template:
        """The template that somebody made and that may not be shown yet."""
        async for seen in self._looking.watch(cluster, self._pool.settle_seconds, self.step_seconds):
            if seen.template is not None:
                return seen.template
        raise Unavailable(f"AWS does not show the template of {cluster} yet.", remedy="Ask again with the same key.")

    @property
    def step_seconds(self) -> float:
        """How often it is looked while something settles."""
        return min(2.0, max(self._pool.settle_seconds / 4, 0.02))

    async def _launch(self, template: Template, effect: str, count: int) -> Fleet:
        """One effect's machines: asked for again under its token it is the same fleet."""
        spot = template.tag("class") == "spot"
        options: Answer = {"AllocationStrategy": "price-capacity-optimized"} if spot else {"AllocationStrategy": "prioritized"}
        if template.tag("topology") == "rack":
            options["SingleAvailabilityZone"] = True
        tags = {
            f"lineshaft:{each}": template.tag(each) for each in ("installation", "pool", "cluster", "tenant", "lease", "run", "key", "form")
        }
        arguments: Answer = {
            "Type": "instant",
            "LaunchTemplateConfigs": [
                {
                    "LaunchTemplateSpecification": {"LaunchTemplateId": template.launch_template_id, "Version": "$Default"},
                    "Overrides": self._overrides(template),
                }
            ],
            "TargetCapacitySpecification": {
                "TotalTargetCapacity": count,
                "DefaultTargetCapacityType": CLASSES.get(template.tag("class"), "on-demand"),
            },
            "SpotOptions" if spot else "OnDemandOptions": options,
            "TagSpecifications": [{"ResourceType": "instance", "Tags": as_list(tags | {"lineshaft:effect": effect})}],
        }
        if self._access.settings.idempotency_keys:
            arguments["ClientToken"] = token(template.launch_template_id, effect)
        return Fleet.model_validate(await self._access.change("ec2", "create_fleet", **arguments))

    def _overrides(self, template: Template) -> Sequence[Answer]:
        """Each type in each subnet; a rack whose network cards name the subnet is left to them."""
        types = template.tag("types").split(",")
        cards = template.tag("topology") == "rack" and any(self._types[each].efa_interfaces for each in types if each in self._types)
        subnets: Sequence[str] = () if cards else self._pool.subnet_ids
        places = [(kind, subnet) for kind in types for subnet in (subnets or ("",))]
        ranked = template.tag("class") != "spot"
        return [
            {"InstanceType": kind, **({"SubnetId": subnet} if subnet else {}), **({"Priority": float(types.index(kind))} if ranked else {})}
            for kind, subnet in places
        ]

    async def _grow(self, seen: Seen, effect: str, count: int) -> None:
        """Launch so many machines more, all or none."""
        assert seen.template is not None  # noqa: S101 - `_standing` saw it
        if len(seen.of(effect)) >= count:
            return
        try:
            fleet = await self._launch(seen.template, effect, count)
        except Conflict as error:
            if error.error_code != "key_reused":
                raise
            return  # it was asked for before, when the cluster had another size: what came of it is what there is
        if len(fleet.ids) < count:
            gone = {each.instance_id for each in seen.instances if not each.alive}
            await self._ending.end_machines([each for each in fleet.ids if each not in gone])
            raise shortage(self._pool.name, fleet, count)

    async def _want(self, seen: Seen, count: int) -> None:
        if seen.template is not None and seen.template.tag("wanted") != str(count):
            tags = as_list({"lineshaft:wanted": str(count)})
            await self._access.change("ec2", "create_tags", Resources=[seen.template.launch_template_id], Tags=tags)

    async def _granted(self, cluster: str, fleet: Fleet, template: Template) -> Cluster:
        """The cluster after a launch: what was granted belongs to it whether AWS shows it yet or not."""
        granted = [
            Machine(
                id=each, type=launched.instance_type, state="pending", price_class="spot" if launched.lifecycle == "spot" else "on_demand"
            )
            for launched in fleet.instances
            for each in launched.instance_ids
        ]
        seen = await self._looking.at(cluster)
        known = seen if seen.template is not None else Seen(cluster, self._pool.name, template, seen.instances)
        short = f"AWS gave {len(fleet.ids)}: {fleet.errors[0].error_message}" if fleet.errors else ""
        return known.told(granted, short)


def types_of(wanted: ClusterSpec) -> list[str]:
    """The types that may be launched, as many as a tag holds: in a rack it is one, for its network cards are of one kind."""
    names = [wanted.machine] if wanted.topology == "rack" else [wanted.machine, *wanted.alternatives]
    return [name for place, name in enumerate(names) if len(",".join(names[: place + 1])) <= TAG_CHARACTERS_MAX]


def shortage(pool: str, fleet: Fleet, count: int) -> LineshaftError:
    """Why a fleet got too few: a limit of the account, something wrong in the request, or no capacity."""
    told = [
        of_client_error(
            pool, {"Error": {"Code": each.error_code, "Message": each.error_message}, "ResponseMetadata": {"HTTPStatusCode": 400}}
        )
        for each in fleet.errors
    ]
    wrong = next((each for each in told if not isinstance(each, CapacityExceeded)), None)
    if wrong is not None and not fleet.ids:
        return wrong
    first = next((each for each in told if each.error_code == "account_limit"), told[0] if told else None)
    words = f" {first.reason}" if first is not None else ""
    return CapacityExceeded(
        f"AWS gave {len(fleet.ids)} of {count} machines; they were given back.{words}",
        code=first.error_code if isinstance(first, CapacityExceeded) else "capacity_short",
        remedy="Ask for fewer, name other types or zones, use a reservation, or wait.",
    )
