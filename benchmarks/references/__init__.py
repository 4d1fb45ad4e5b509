"""What the scheduler is measured beside."""
