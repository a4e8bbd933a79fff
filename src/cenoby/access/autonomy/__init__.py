"""How far an agent may go alone: its level, what lowers it, and who raised it."""
