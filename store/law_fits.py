"""Scaling-law fits: written once, read by id, listed newest first."""

from datetime import UTC, datetime

from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from store.dialect import now, take_turns
from store.errors import LawFitNotFound, TooManyFits
from store.tables import law_fits
from windtunnel.types.laws import LawFit, LawFitList, LawFitSummary


def save(s: Session, fit: LawFit, *, owner: str, most: int | None = None) -> None:
    """Keep a fit under its own id.

    Raises:
        TooManyFits: the owner has ``most`` (None: any number are allowed).
    """
    if most is not None:
        take_turns(s, "law_fits", whose=owner)
        if (s.scalar(select(func.count()).select_from(law_fits).where(law_fits.c.owner == owner)) or 0) >= most:
            raise TooManyFits(most)
    s.execute(
        insert(law_fits).values(
            id=fit.id,
            owner=owner,
            name=fit.name,
            rows=fit.rows,
            laws=[law.law for law in fit.laws],
            fit=fit.model_dump(mode="json"),
            created_at=now(),
        )
    )


def remove(s: Session, fit_id: str, *, owner: str) -> None:
    """Delete a fit of the owner; plans that it predicted a loss for keep what it predicted.

    Raises:
        LawFitNotFound: the owner has no such fit.
    """
    gone = delete(law_fits).where(law_fits.c.id == fit_id, law_fits.c.owner == owner)
    if s.scalar(gone.returning(law_fits.c.id)) is None:
        raise LawFitNotFound(fit_id)


def get(s: Session, fit_id: str, *, owner: str) -> LawFit:
    """One fit of the owner.

    Raises:
        LawFitNotFound: the owner has no such fit.
    """
    found = s.scalar(select(law_fits.c.fit).where(law_fits.c.id == fit_id, law_fits.c.owner == owner))
    if found is None:
        raise LawFitNotFound(fit_id)
    return LawFit.model_validate(found)


def page(s: Session, *, owner: str, limit: int = 50, after: str | None = None) -> LawFitList:
    """Fits, newest first, without what they hold.

    Args:
        s: a session.
        owner: whose.
        limit: of the page.
        after: the last id of the page before.
    """
    columns = [column for column in law_fits.c if column.name not in ("fit", "owner")]
    wanted = select(*columns).where(law_fits.c.owner == owner).order_by(law_fits.c.id.desc()).limit(limit + 1)
    if after is not None:
        wanted = wanted.where(law_fits.c.id < after)
    rows = s.execute(wanted).all()
    items = [
        LawFitSummary(
            id=row.id, name=row.name, created_at=datetime.fromtimestamp(row.created_at, UTC), rows=row.rows, laws=row.laws
        )
        for row in rows[:limit]
    ]
    return LawFitList(items=items, next_cursor=items[-1].id if len(rows) > limit else None)
