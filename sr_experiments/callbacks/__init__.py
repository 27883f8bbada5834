"""What happens beside the training itself: measuring, logging, saving, showing progress."""
