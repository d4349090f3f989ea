"""Whom images are believed from: the policy (policy) and the keys (keys)."""
