"""Folders that outlive containers: the contract (store) and the driver (local)."""
