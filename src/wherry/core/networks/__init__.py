"""Networks of containers: the contracts (network, store) and the drivers (bridges by CNI plugins, SQLite)."""
