"""Virtual fleets and networks: for tests, benchmarks, the demo and rehearsals."""
