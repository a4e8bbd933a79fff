"""The red team: attacks on a running colony, and how many of them it stopped. `./dev redteam`."""
