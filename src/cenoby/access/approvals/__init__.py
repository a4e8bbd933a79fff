"""What a person decides: requests, decisions, grants, and the calls that wait for them."""
