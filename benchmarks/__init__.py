"""Quality and speed, measured: every script prints ratios against a peer or a floor in one run, with its seed."""
