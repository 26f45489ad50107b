"""Nights with known truth, as EDF files like those a site would send; each says that it is simulated."""

from encoders.simulation.files import SimulatedNight, simulate
from encoders.simulation.sites import site_facts

__all__ = ["SimulatedNight", "simulate", "site_facts"]
