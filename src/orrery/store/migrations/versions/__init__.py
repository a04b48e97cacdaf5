"""One module per migration, named by number."""
