"""Several processes as one colony: who is there, what each hosts, and how a call reaches a MAD that is elsewhere.

To read in this order: `members.py` knows the other nodes by their heartbeats, and `offers.py` makes tools of what they
offer. `outgoing.py` sends a call to one of them, `incoming.py` serves it there, and `relayed_client.py` is the caller's
client as the tool has it. `handover.py` moves a MAD from one node to another while calls go on. All that is said is one
of `events.py`, answered by one of `answers.py`; `seals.py` signs it and refuses what nobody enrolled has signed.
"""
