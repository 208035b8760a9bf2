"""Signing in through a provider of identities: to it, and back from it."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, Field, ValidationError

from api.deps import HouseDep
from api.sessions import COOKIE, SESSION_SECONDS
from factory_infra.paas.tenants.oidc import CHARACTERS_MAX, Attempt, sign_in_failed
from factory_infra.records.audit import NewEntry
from factory_infra.second_wall import everything

router = APIRouter(prefix="/v1", tags=["tenants"])
ATTEMPT_COOKIE = "lineshaft_sign_in"
ATTEMPT_SECONDS = 600
PLACE = "/v1/sign-in"
ON = '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/console/"><a href="/console/">Go on</a>'
"""A page of ours and not a redirect: the session's cookie is not sent along with what began at another site."""
Given = Annotated[str, Query(max_length=CHARACTERS_MAX)]


class Provider(BaseModel):
    """Where people without a key can sign in."""

    provider: str | None = Field(description="The host of the provider of identities; none where none is set.")


@router.get("/sign-in/provider")
async def provider(held: HouseDep) -> Provider:
    """Tell whether a provider of identities is set: what the console offers before anybody has signed in."""
    return Provider(provider=held.factory.sign_in.host)


@router.get("/sign-in", status_code=303, response_class=RedirectResponse)
async def sign_in(held: HouseDep) -> Response:
    """Send the browser to the provider of identities."""
    address, attempt = await held.factory.sign_in.begin()
    response = RedirectResponse(address, status_code=303)
    signed = held.sessions.signed(attempt.model_dump_json(), ATTEMPT_SECONDS)
    secure = held.factory.sign_in.redirect.startswith("https:")
    response.set_cookie(ATTEMPT_COOKIE, signed, max_age=ATTEMPT_SECONDS, httponly=True, samesite="lax", secure=secure, path=PLACE)
    return response


@router.get("/sign-in/callback", response_class=HTMLResponse)
async def come_back(request: Request, held: HouseDep, state: Given = "", code: Given = "") -> Response:
    """Open a session for whom the provider vouches. Its cookie cannot be read by scripts nor sent from other sites."""
    try:
        attempt = Attempt.model_validate_json(held.sessions.subject(request.cookies.get(ATTEMPT_COOKIE, "")))
    except ValidationError as error:
        raise sign_in_failed() from error
    with everything():
        person = await held.factory.sign_in.finish(attempt, state, code)
        told = NewEntry(action="session:create", object=f"person/{person.key_id}", actor=person.actor, door="api")
        await held.factory.audit.add(told)
    response = HTMLResponse(ON)
    secure = held.factory.sign_in.redirect.startswith("https:")
    session = held.sessions.issue(person)
    response.set_cookie(COOKIE, session, max_age=SESSION_SECONDS, httponly=True, samesite="strict", secure=secure, path="/")
    response.delete_cookie(ATTEMPT_COOKIE, path=PLACE)
    return response
