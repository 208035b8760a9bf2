"""The twin: what would become of the installation if something were different. Every number is simulated."""

from fastapi import APIRouter

from api.deps import HouseDep, PrincipalDep
from factory_infra.iaas.twin.questions import WhatIf, WhatIfAnswer
from factory_infra.iaas.twin.service import Asker

router = APIRouter(prefix="/v1/twin", tags=["twin"])


@router.post("/what-if")
async def what_if(question: WhatIf, asker: PrincipalDep, held: HouseDep) -> WhatIfAnswer:
    """Run the installation on from now, as it is and with some changes, side by side. Nothing real changes; a team sees its own leases."""
    return await held.factory.what_ifs.ask(question, Asker(asker.tenant))
