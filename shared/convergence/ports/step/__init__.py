"""What the settings of a step may declare, and the warehouse as a step sees it."""
