"""Plans: what is compared, over what, within which limits; read from TOML and expanded."""

from mipnet.bench.plan.expand import Matrix, expand
from mipnet.bench.plan.model import Plan
from mipnet.bench.plan.read import load_plan

__all__ = ["Matrix", "Plan", "expand", "load_plan"]
