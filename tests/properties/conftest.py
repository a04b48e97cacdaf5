"""Settings of hypothesis: a slow machine is no failure."""

from hypothesis import settings

settings.register_profile("orrery", deadline=None)
settings.load_profile("orrery")
