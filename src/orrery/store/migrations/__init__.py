"""Migrations of the database, run by `orrery.store.schema` when a store is opened."""
