"""Another colony as a MAD: its published tools, called through our own pipeline and then through its own."""
