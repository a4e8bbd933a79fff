"""Secrets at an OpenBao or HashiCorp Vault server (KV version 2), in the place of the colony's own database."""
