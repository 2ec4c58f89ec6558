"""A campaign's report: page, charts, files for programs."""
