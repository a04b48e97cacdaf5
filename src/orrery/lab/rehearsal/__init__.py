"""Rehearsal: a plan carried out on a virtual fleet, in time-lapse, before it is carried out."""
