"""Aerospike: the profile store of larger installs. The only users of aerospike and aerospike_helpers."""
