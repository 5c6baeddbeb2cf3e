"""What plugs in: Generator, Modality, Measure, and the registry that finds them by name."""
