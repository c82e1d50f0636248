"""Plans of finished jobs, as the tests of muP have them."""

from tests.mup.conftest import finish, needs, one_thread, plan_of

__all__ = ["finish", "needs", "one_thread", "plan_of"]
