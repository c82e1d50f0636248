"""Routes of API keys: make one, list one's own, revoke one; an operator's key does so for every owner."""

from typing import Annotated

from fastapi import APIRouter, Query

from service.dependencies import CallerDependency, DatabaseDependency, KeyId
from service.keys import service
from service.problems.answers import PROBLEMS
from windtunnel.types import ApiKey, KeyRequest, NewApiKey
from windtunnel.types.base import Response
from windtunnel.types.keys import KeysQuery

router = APIRouter(prefix="/v1/keys", tags=["keys"], responses=PROBLEMS)


class KeyList(Response):
    """API keys without their secrets, oldest first."""

    items: list[ApiKey]


@router.post("", status_code=201, response_model=NewApiKey)
def create_key(wanted: KeyRequest, caller: CallerDependency, database: DatabaseDependency) -> NewApiKey:
    """Another key of your own, with the rights of the one you use; an operator's may be for another owner.

    The secret is in this answer and nowhere else.
    """
    return service.create(database, caller, wanted)


@router.get("", response_model=KeyList)
def list_keys(query: Annotated[KeysQuery, Query()], caller: CallerDependency, database: DatabaseDependency) -> KeyList:
    """Your keys, revoked ones too; for an operator also those of another owner, or of everybody."""
    return KeyList(items=service.listing(database, caller, query))


@router.delete("/{key_id}", response_model=ApiKey)
def revoke_key(key_id: KeyId, caller: CallerDependency, database: DatabaseDependency) -> ApiKey:
    """Revoke one of your keys, or as an operator anybody's: its next request is refused. The one in use may be, too."""
    return service.revoke(database, caller, key_id)
