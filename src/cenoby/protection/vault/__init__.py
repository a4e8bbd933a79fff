"""The vault: secrets under envelope encryption. Only `cenoby.app` imports it; everybody else gets a port."""
