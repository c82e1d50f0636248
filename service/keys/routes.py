"""Routes of API keys: make one, list one's own, revoke one."""

from fastapi import APIRouter

from service.dependencies import CallerDependency, DatabaseDependency, KeyId, OwnerDependency
from service.problems.answers import PROBLEMS, problem
from store import keys
from store.errors import TooManyKeys
from windtunnel.types import ApiKey, KeyRequest, NewApiKey
from windtunnel.types.base import Response

router = APIRouter(prefix="/v1/keys", tags=["keys"], responses=PROBLEMS)


class KeyList(Response):
    """API keys without their secrets, oldest first."""

    items: list[ApiKey]


@router.post("", status_code=201, response_model=NewApiKey)
def create_key(wanted: KeyRequest, caller: CallerDependency, database: DatabaseDependency) -> NewApiKey:
    """Another key of your own, with the rights of the one you use. The secret is in this answer and nowhere else."""
    try:
        with database.transaction() as session:
            return keys.create(session, caller.owner, wanted.name, operator=int(caller.operator))
    except TooManyKeys as error:
        raise problem(403, "quota", "You have as many as you may have", error.message) from error


@router.get("", response_model=KeyList)
def list_keys(owner: OwnerDependency, database: DatabaseDependency) -> KeyList:
    """Your keys, revoked ones too."""
    with database.snapshot() as session:
        return KeyList(items=keys.listing(session, owner))


@router.delete("/{key_id}", response_model=ApiKey)
def revoke_key(key_id: KeyId, owner: OwnerDependency, database: DatabaseDependency) -> ApiKey:
    """Revoke one of your keys: its next request is refused. The one you use may be revoked, too."""
    with database.transaction() as session:
        return keys.revoke(session, key_id, owner)
