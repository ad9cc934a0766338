"""The platform as processes on one machine, for `make up`."""
