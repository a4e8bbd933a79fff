"""What a MAD is, how it is hosted, and the pipeline that every call to it passes."""
