"""This repository's own datasets, one folder with a `defs.yaml` each, and the resources that all share."""
