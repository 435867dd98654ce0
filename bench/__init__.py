"""Benchmarks: alfred beside its peers and beside the floor of the database, in one run on one machine."""
