"""Programs that are not ours, run so that they cannot outlive us or run what a repository tells them to."""
