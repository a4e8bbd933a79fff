"""The status page at `/`: plain HTML for a person, fed by Grace's tools through the pipeline like any other client."""
