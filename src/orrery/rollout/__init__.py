"""From a wish to a fleet that follows it: plans, cohorts, and carrying plans out. Pure."""
