"""Where untrusted bytes are opened: short-lived processes without privileges, and the narrow RPC into them."""
