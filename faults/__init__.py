"""`./dev faults`: a colony of real processes under load, one fault after the other, and whether anything was lost."""
