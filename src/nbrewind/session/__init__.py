"""The session: what kernels, extension and command line drive."""

from nbrewind.session.core import Restored, Session
from nbrewind.session.options import Options
from nbrewind.session.planning import PlanCell, plan_notebook

__all__ = ["Options", "PlanCell", "Restored", "Session", "plan_notebook"]
