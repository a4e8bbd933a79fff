"""The schema's history, run by `cenoby.store.migrate`; a revision's id is the name of its file."""
