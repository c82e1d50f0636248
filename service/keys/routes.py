"""Routes of API keys: make one, list one's own, revoke one."""

from fastapi import APIRouter

from service.dependencies import CallerDependency, DatabaseDependency, KeyId
from service.keys import service
from service.problems.answers import PROBLEMS
from windtunnel.types import ApiKey, KeyRequest, NewApiKey
from windtunnel.types.base import Response

router = APIRouter(prefix="/v1/keys", tags=["keys"], responses=PROBLEMS)


class KeyList(Response):
    """API keys without their secrets, oldest first."""

    items: list[ApiKey]


@router.post("", status_code=201, response_model=NewApiKey)
def create_key(wanted: KeyRequest, caller: CallerDependency, database: DatabaseDependency) -> NewApiKey:
    """Another key of your own, with the rights of the one you use. The secret is in this answer and nowhere else."""
    return service.create(database, caller, wanted)


@router.get("", response_model=KeyList)
def list_keys(caller: CallerDependency, database: DatabaseDependency) -> KeyList:
    """Your keys, revoked ones too."""
    return KeyList(items=service.listing(database, caller))


@router.delete("/{key_id}", response_model=ApiKey)
def revoke_key(key_id: KeyId, caller: CallerDependency, database: DatabaseDependency) -> ApiKey:
    """Revoke one of your keys: its next request is refused. The one you use may be revoked, too."""
    return service.revoke(database, caller, key_id)
