"""Registries: the contract (remote), the driver (registry, upload, http), what it is configured by (hosts)."""
